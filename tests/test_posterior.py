"""Each term of BRGM Eq. 6 by its equation, and coordinates that change the scale but not the density."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from napari_brgm.corruptions import Mask
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.posterior import Posterior
from napari_brgm.priors.prior import LatentStatistics
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from napari_brgm.priors.linear_gaussian import LinearGaussian


class Flat:
    """Toy features: the image itself."""

    name, size = "flat", 32

    def __call__(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]


@pytest.fixture
def posterior(random_stylegan2):
    likelihood = Likelihood(
        to_grey(random_stylegan2.sample(1, seed=3)), lambda x: x, torch.ones(1, 1, 32, 32), 5.0, features=Flat()
    )
    return lambda **changes: Posterior(random_stylegan2, likelihood, preset("default").but(start="mean", **changes))


def draw(posterior: Posterior, batch: int = 3) -> torch.Tensor:
    noise = torch.randn(batch, *posterior.shape, generator=torch.Generator().manual_seed(8))
    return posterior.start(batch) + 0.5 * posterior.start_std() * noise


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_terms_by_their_equations(posterior, reduction):
    """The paper's density in W+: L_w by sigma_i, the cosines by loops over all pairs, weights as given."""
    p = posterior(
        latent_space="w+", prior_density="diagonal", reduction=reduction, lambda_w=2.0, lambda_colinear=0.3,
        lambda_pixel=1e-3, lambda_perceptual=0.7,
    )  # fmt: skip
    v = draw(p)
    terms, images = p.terms(v)
    statistics = p.prior.latents
    for b in range(len(v)):
        w = v[b]  # (8, 32): in the paper's coordinates v is w
        deviations = (w - statistics.mean) / statistics.covariance.diagonal().sqrt()
        cosines = torch.stack([torch.dot(a, c) / (a.norm() * c.norm()) for a in w for c in w])
        difference = p.likelihood.observation[0] - (p.prior.synthesize(w[None])[0] + 1) * 127.5
        total = torch.Tensor.sum if reduction == "sum" else torch.Tensor.mean
        wanted = {
            "w": 2.0 * total(deviations.square()),
            "colinear": -0.3 * total(cosines),
            "pixel": 1e-3 * total(difference.square()),
            "perceptual": 0.7 * total((difference / 127.5).square()),
        }
        assert set(terms) == set(wanted)
        for name, value in wanted.items():
            assert float(terms[name][b]) == pytest.approx(float(value), rel=1e-3), name
    torch.testing.assert_close(images, p.prior.synthesize(v))


@pytest.mark.parametrize("space", ["w", "w+"])
def test_whitened_distance_is_the_mahalanobis_distance(posterior, space):
    """L_w = (w - mu)' C^-1 (w - mu): catches a transposed or missing Cholesky factor."""
    p = posterior(latent_space=space)
    v = draw(p)
    terms, _ = p.terms(v)
    statistics = p.prior.latents
    away = (p.latents(v)[:, : p.shape[0]] - statistics.mean).double()  # (B, L, D)
    inverse = torch.linalg.inv(statistics.covariance.double())
    wanted = torch.einsum("bld,de,ble->b", away, inverse, away)
    torch.testing.assert_close(terms["w"].double(), wanted, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_entries_of_a_batch_are_apart(posterior, space):
    """Catches a term that reads the first entry only, as the released code's cosine does."""
    p = posterior(latent_space=space, lambda_colinear=0.1, lambda_perceptual=1.0)
    v = draw(p)
    together, _ = p.terms(v)
    for b in range(len(v)):
        alone, _ = p.terms(v[b : b + 1])
        for name, value in alone.items():
            assert float(together[name][b]) == pytest.approx(float(value), rel=1e-4), name


def test_gradients_are_those_of_the_loss(posterior):
    """Central differences along random directions, in float32: catches a detached term."""
    p = posterior(latent_space="w+", prior_density="diagonal", lambda_colinear=0.1, lambda_perceptual=1.0)
    v = draw(p, 1).requires_grad_(True)

    def loss(at: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(p.terms(at)[0].values())).sum()

    (gradient,) = torch.autograd.grad(loss(v), v)
    direction = gradient / gradient.norm()
    with torch.no_grad():
        slope = (loss(v + 1e-2 * direction) - loss(v - 1e-2 * direction)) / 2e-2
    assert float(slope) == pytest.approx(float(gradient.norm()), rel=0.05)


def linear(prior: LinearGaussian, start: str) -> Posterior:
    missing = torch.zeros(24, 24, dtype=torch.bool)
    missing[4:16, 10:24] = True
    f = Mask(missing)
    y = f.A(to_grey(prior.sample(1, seed=21)))
    return Posterior(
        prior, Likelihood(y, f.A, (~missing).float()[None, None], 20.0), preset("default").but(start=start)
    )


def test_preconditioned_coordinates_keep_the_density(linear_prior):
    """Loss(v) in preconditioned coordinates is |v|^2 plus a constant, and the loss of the same w without them."""
    p, plain = linear(linear_prior, "linear"), linear(linear_prior, "mean")
    assert p.linear is not None and plain.linear is None
    v = torch.randn(5, 1, 12, generator=torch.Generator().manual_seed(0))

    def loss(posterior: Posterior, at: torch.Tensor) -> torch.Tensor:
        return torch.stack(list(posterior.terms(at)[0].values())).sum(dim=0)

    rise = loss(p, v) - loss(p, torch.zeros_like(v))
    torch.testing.assert_close(rise, v.square().sum(dim=(1, 2)), rtol=1e-2, atol=0.05)
    torch.testing.assert_close(p.latents(v), plain.latents(p.whitened(v)))
    torch.testing.assert_close(loss(p, v), loss(plain, p.whitened(v)), rtol=1e-4, atol=0)


def test_the_linear_start_needs_a_linear_problem(linear_prior, random_stylegan2):
    p = linear(linear_prior, "linear")
    bent = Likelihood(p.likelihood.observation, p.likelihood.forward_map, p.likelihood.observed, 20.0, linear=False)
    assert Posterior(linear_prior, bent, p.settings).linear is None
    curved = Likelihood(torch.zeros(1, 1, 32, 32), lambda x: x, torch.ones(1, 1, 32, 32), 20.0)
    assert Posterior(random_stylegan2, curved, p.settings).linear is None
    assert Posterior(linear_prior, p.likelihood, p.settings.but(prior_density="diagonal")).linear is None


def test_start_is_the_mean_latent(posterior):
    for changes in ({}, {"prior_density": "diagonal"}, {"latent_space": "w+"}):
        p = posterior(**changes)
        ws = p.latents(p.start(2))
        torch.testing.assert_close(ws, p.prior.latents.mean.expand(2, 8, 32))


def test_lambda_pixel_is_the_noise_unless_set(posterior):
    assert posterior().lambda_pixel == pytest.approx(1 / 25)
    assert posterior(lambda_pixel=0.5).lambda_pixel == 0.5


def test_latent_statistics_of_standard_normal():
    statistics = LatentStatistics.standard(3)
    assert statistics.mean.tolist() == [0, 0, 0] and statistics.std.tolist() == [1, 1, 1]


def test_a_flat_density_leaves_the_data_alone(posterior):
    """LCM: v is w, and nothing but the generator holds it."""
    p = posterior(prior_density="flat")
    v = draw(p)
    terms, images = p.terms(v)
    assert set(terms) == {"pixel"} and p.shape == (1, 32)
    torch.testing.assert_close(p.latents(v), v.expand(-1, 8, -1))
    torch.testing.assert_close(images, p.prior.synthesize(v.expand(-1, 8, -1)))
    away = torch.cat([v[:1], v[:1] + 100])
    (gradient,) = torch.autograd.grad(p.terms(away.requires_grad_(True))[0]["pixel"].sum(), away)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("density", ["gaussian", "diagonal", "flat"])
def test_a_drawn_start_is_a_draw_of_the_prior(posterior, density):
    """Catches starts that are not coloured (v = w) or coloured twice (v = u), or that share one draw."""
    p = posterior(prior_density=density).prior.latents
    drawn = posterior(prior_density=density)
    drawn = Posterior(drawn.prior, drawn.likelihood, drawn.settings.but(start="draw"))
    v = drawn.start(6000, torch.Generator().manual_seed(0))
    assert v.shape == (6000, 1, 32)
    wanted = torch.eye(32) if density == "gaussian" else p.covariance
    mean = torch.zeros(32) if density == "gaussian" else p.mean
    assert (torch.cov(v[:, 0].T) - wanted).norm() < 0.1 * wanted.norm()
    assert (v[:, 0].mean(dim=0) - mean).norm() < 0.1 * wanted.trace().sqrt()
    torch.testing.assert_close(drawn.start(6000, torch.Generator().manual_seed(0)), v)
