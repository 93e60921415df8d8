"""Each set of coordinates draws the prior that it says, and measures L_w by its equation."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Identity
from napari_brgm.errors import InputError
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.priors.gaussian_posterior import GaussianPosterior
from napari_brgm.priors.stylegan2_layers import bent, unbent
from napari_brgm.settings import preset


def seen(image: torch.Tensor, sigma: float) -> Likelihood:
    """All of an image (1, 1, R, R) in [-1, 1], with noise of ``sigma`` grey levels."""
    y = to_grey(image)
    return Likelihood(all_measured(Identity(), y, sigma), y)


@pytest.fixture
def posterior(random_stylegan2):
    likelihood = seen(random_stylegan2.sample(1, seed=3), 5.0)
    return lambda **changes: Posterior(random_stylegan2, likelihood, preset("default").but(start="draw", **changes))


def drawn(p: Posterior, n: int = 20_000) -> torch.Tensor:
    return p.start(n, torch.Generator().manual_seed(0))


def test_bent_and_unbent_are_inverse():
    w = torch.randn(50)
    torch.testing.assert_close(unbent(bent(w)), w)
    assert bent(torch.tensor(-1.0)) == pytest.approx(-0.2)


def test_z_is_standard_normal_and_maps_to_the_prior_of_w(posterior):
    """Draws of z through the network have the mean and covariance of mapped latents; L_w is |z|^2."""
    p = posterior(latent_space="z")
    v = drawn(p)
    assert p.shape == (1, p.prior.mapping.z_dim)
    torch.testing.assert_close(p.whitened(v), v)
    w = p.latents(v)[:, 0]
    statistics = p.prior.latents
    assert (w.mean(dim=0) - statistics.mean).norm() < 0.1 * statistics.std.norm()
    assert (torch.cov(w.T) - statistics.covariance).norm() < 0.15 * statistics.covariance.norm()


def test_z_of_a_drawn_length_is_the_network_s_own(posterior):
    """The mapping without its scaling agrees with the published one where z has unit mean square."""
    mapping = posterior().prior.mapping
    z = torch.randn(4, mapping.z_dim)
    z = z / z.square().mean(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(mapping.layers(z), mapping(z)[:, 0], rtol=1e-4, atol=1e-5)


def test_gaussianised_w_draws_what_the_network_draws(posterior):
    """Mean and covariance of the unbent latents are those of 10,000 mapped z; L_w is their Mahalanobis distance."""
    p = posterior(prior_density="gaussianised")
    v = drawn(p)
    x = unbent(p.latents(v)[:, 0])
    statistics = p.prior.unbent_latents
    assert (torch.cov(x.T) - statistics.covariance).norm() < 0.1 * statistics.covariance.norm()
    inverse = torch.linalg.inv(statistics.covariance.double())
    away = (x[:20] - statistics.mean).double()
    wanted = torch.einsum("bd,de,be->b", away, inverse, away)
    torch.testing.assert_close(p.terms(v[:20])[0]["w"].double(), wanted, rtol=3e-2, atol=1e-2)


def test_gaussianised_w_is_nearer_to_the_network_than_gaussian_w(posterior):
    """Unbent latents are less skewed: catches a slope that bends the wrong way."""
    p = posterior()
    w = p.prior.mapping(torch.randn(4000, p.prior.mapping.z_dim, generator=torch.Generator().manual_seed(4)))[:, 0]

    def skewness(x: torch.Tensor) -> float:
        white = (x - x.mean(dim=0)) / x.std(dim=0)
        return float(white.pow(3).mean(dim=0).abs().mean())

    assert skewness(unbent(w)) < 0.5 * skewness(w)


def test_without_a_mapping_there_is_nothing_to_make_gaussian(linear_prior):
    likelihood = seen(torch.zeros(1, 1, 24, 24), 5.0)
    with pytest.raises(InputError, match="no mapping network"):
        Posterior(linear_prior, likelihood, preset("default").but(prior_density="gaussianised"))
    p = Posterior(linear_prior, likelihood, preset("default").but(latent_space="z", start="mean"))
    assert p.shape == (1, linear_prior.rank)  # whitened latents are exactly normal already


def test_layers_deviate_by_tau(posterior):
    """w_i - w ~ N(0, tau^2 C), the same w for all; L_w counts w once and each deviation."""
    p = posterior(latent_space="w+", layer_spread=0.3)
    v = drawn(p)
    assert p.shape == (1 + p.prior.num_ws, p.prior.latents.rank)
    ws, statistics = p.latents(v), p.prior.latents
    apart = (ws[:, 0] - ws[:, 1]) / 2**0.5
    assert (torch.cov(apart.T) - 0.09 * statistics.covariance).norm() < 0.1 * 0.09 * statistics.covariance.norm()
    whole = torch.cov(ws[:, 3].T)
    assert (whole - 1.09 * statistics.covariance).norm() < 0.1 * statistics.covariance.norm()
    torch.testing.assert_close(p.terms(v[:8])[0]["w"], v[:8].square().sum(dim=(1, 2)))


@pytest.mark.parametrize("changes", [{}, {"prior_density": "gaussianised"}, {"prior_density": "diagonal"},
                                     {"latent_space": "w+", "layer_spread": 0.3}])  # fmt: skip
def test_coordinates_of_given_latents(posterior, changes):
    p = posterior(**changes)
    w = p.prior.mapping(torch.randn(3, p.prior.mapping.z_dim, generator=torch.Generator().manual_seed(1)))[:, 0]
    ws = p.latents(p.coordinates.at(w))
    torch.testing.assert_close(ws, w[:, None].expand_as(ws), rtol=1e-2, atol=1e-2)


def test_what_preconditions_is_asked_for_only_where_it_is_used(linear_prior, random_stylegan2, tiny_manifold):
    """It costs a product of the basis' size: catches one that is computed for z, for v = w, or for another start."""
    settings, given = preset("default"), GaussianPosterior(torch.ones(12), 4 * torch.eye(12))

    def refused() -> None:
        raise AssertionError("not to be computed")

    assert linear_prior.coordinates(settings, lambda: given).given is given
    assert linear_prior.coordinates(settings.but(latent_space="w+", layer_spread=0.2), lambda: given).given is given
    for prior in (linear_prior, random_stylegan2, tiny_manifold):
        for changes in ({"start": "mean"}, {"prior_density": "diagonal"}, {"prior_density": "flat"}):
            assert prior.coordinates(settings.but(**changes), refused).given is None
        assert prior.coordinates(settings, lambda: None).given is None
    assert random_stylegan2.coordinates(settings.but(latent_space="z"), refused).given is None
    assert random_stylegan2.coordinates(settings.but(prior_density="gaussianised"), refused).given is None


def test_preconditioned_draws_are_draws_of_the_prior(linear_prior):
    """Candidates drawn for a preconditioned search must not come from the posterior: catches a missing F'."""
    likelihood = seen(linear_prior.sample(1, 3), 20.0)
    p = Posterior(linear_prior, likelihood, preset("default"))
    assert p.linear is not None
    v = p.coordinates.drawn(20_000, torch.Generator().manual_seed(0))
    u = p.whitened(v)[:, 0]
    assert (torch.cov(u.T) - torch.eye(u.shape[1])).norm() < 0.05 * u.shape[1] ** 0.5
    w = linear_prior.latents.colour(u[:3])
    torch.testing.assert_close(p.latents(p.coordinates.at(w))[:, 0], w, rtol=1e-3, atol=1e-3)


def test_bfloat16_stays_near(posterior):
    """The image in half the digits differs, but by little; results stay float32."""
    p, half = posterior(), posterior(precision="bfloat16")
    v = p.start(2, torch.Generator().manual_seed(0))
    a, b = p.images(v), half.images(v)
    assert b.dtype == torch.float32
    assert 0 < (a - b).abs().max() < 0.1 * a.std()
