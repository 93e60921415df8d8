"""Each term of BRGM Eq. 6 by its equation, coordinates that change the scale but not the density, and the starts."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from napari_brgm.corruptions import Downsample, Identity, Mask
from napari_brgm.errors import Cancelled
from napari_brgm.likelihood import GreyLevels, Likelihood, to_grey
from napari_brgm.observation import all_measured
from napari_brgm.posterior import Posterior, encoded
from napari_brgm.priors import linear_model
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.parts import Line
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
    y = to_grey(random_stylegan2.sample(1, seed=3))
    likelihood = Likelihood(all_measured(Identity(), y, 5.0), y, features=Flat())
    return lambda **changes: Posterior(random_stylegan2, likelihood, preset("default").but(start="mean", **changes))


def draw(posterior: Posterior, batch: int = 3) -> torch.Tensor:
    noise = torch.randn(batch, *posterior.shape, generator=torch.Generator().manual_seed(8))
    return posterior.start(batch) + 0.5 * posterior.start_std() * noise


def test_terms_by_their_equations(posterior):
    """The paper's density in W+: L_w by sigma_i, the cosines by loops over all pairs, weights as given."""
    p = posterior(
        latent_space="w+", prior_density="diagonal", lambda_w=2.0, lambda_colinear=0.3,
        lambda_pixel=1e-3, lambda_perceptual=0.7,
    )  # fmt: skip
    v = draw(p)
    terms, images = p.terms(v)
    statistics = p.prior.latents
    for b in range(len(v)):
        w = v[b]  # (8, 32): in the paper's coordinates v is w
        deviations = (w - statistics.mean) / statistics.covariance.diagonal().sqrt()
        cosines = torch.stack([torch.dot(a, c) / (a.norm() * c.norm()) for a in w for c in w])
        difference = p.likelihood.y[0] - (p.prior.synthesize(w[None])[0] + 1) * 127.5
        wanted = {
            "w": 2.0 * deviations.square().sum(),
            "colinear": -0.3 * cosines.sum(),
            "pixel": 1e-3 * difference.square().sum(),
            "perceptual": 0.7 * (difference / 127.5).square().sum(),
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


def test_many_large_images_have_the_same_gradients_a_few_at_a_time(posterior, monkeypatch):
    p = posterior(latent_space="w+")
    v = draw(p, 5)

    def gradient() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = v.clone().requires_grad_(True)
        terms, images = p.terms(leaf)
        return torch.autograd.grad(torch.stack(list(terms.values())).sum(), leaf)[0], images

    wanted, images = gradient()
    drawn, synthesize = [], p.prior.synthesize
    monkeypatch.setattr("napari_brgm.posterior._ROOM", 2 * 2500 * 32**2)
    monkeypatch.setattr(p.prior, "synthesize", lambda ws, noise: drawn.append(len(ws)) or synthesize(ws, noise))
    found, same = gradient()
    assert drawn[:3] == [2, 2, 1] and sorted(drawn[3:]) == [1, 2, 2]  # once more for the gradient
    torch.testing.assert_close(same, images)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def linear(prior: LinearGaussian, start: str) -> Posterior:
    missing = torch.zeros(24, 24, dtype=torch.bool)
    missing[4:16, 10:24] = True
    f = Mask(missing)
    y = f.A(to_grey(prior.sample(1, seed=21)))
    return Posterior(prior, Likelihood(all_measured(f, y, 20.0), y), preset("default").but(start=start))


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

    class Bent(Identity):
        __slots__ = ()

        @property
        def linear(self) -> bool:
            return False

    bent = Likelihood(replace(p.likelihood.observation, corruption=Bent()), p.likelihood.y)
    assert Posterior(linear_prior, bent, p.settings).linear is None
    y = torch.zeros(1, 1, 32, 32)
    curved = Likelihood(all_measured(Identity(), y, 20.0), y)
    assert Posterior(random_stylegan2, curved, p.settings).linear is None
    assert Posterior(linear_prior, p.likelihood, p.settings.but(prior_density="diagonal")).linear is None


def test_a_line_that_is_not_exact_is_a_start_and_no_answer(linear_prior):
    """It preconditions, with its error in the noise; catches one that is taken for the posterior itself."""
    exact = linear(linear_prior, "linear")
    model = linear_prior.parts.line.model
    rough = copy.copy(linear_prior)
    rough.parts = replace(linear_prior.parts, line=Line(model, exact=False))
    p = Posterior(rough, exact.likelihood, exact.settings)
    assert p.linear is None and p.coordinates.given is not None
    noise = 20.0**2 + 127.5**2 * model.noise_variance
    shifted = p.likelihood.y - GreyLevels(p.likelihood.observation).A(torch.ones(1, 1, 24, 24))
    wanted = model.posterior(shifted, GreyLevels(p.likelihood.observation), noise)
    torch.testing.assert_close(p.coordinates.given.mean, wanted.mean)
    torch.testing.assert_close(p.coordinates.given.precision, wanted.precision)
    rough.parts = replace(linear_prior.parts, line=Line(model, exact=False, complete=False))
    assert Posterior(rough, exact.likelihood, exact.settings).coordinates.given is None  # of poses only


def test_the_linear_start_asks_whether_to_go_on(linear_prior, monkeypatch):
    """Thousands of components on native pixels take seconds; catches a start that cannot be cancelled."""
    monkeypatch.setattr(linear_model, "_MOST", 5)
    monkeypatch.setattr(linear_model, "_ROWS", 4)
    p = linear(linear_prior, "linear")
    asked = []
    assert Posterior(linear_prior, p.likelihood, p.settings, check=lambda: asked.append(1)).linear is not None
    assert len(asked) == 3 + 3  # twelve components: observed, and multiplied with each other

    def cancel():
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        Posterior(linear_prior, p.likelihood, p.settings, check=cancel)


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


# ---- the start from the encoder: a filled-in observation, and the leading latents it gives


@pytest.fixture
def truth(linear_prior):
    return to_grey(linear_prior.sample(1, seed=5))


class Known(Encoder):
    """Gives the leading latents of a prior's own images; ``looked`` at."""

    def encode(self, images):
        self.looked = images
        return self.knows.encode(images)[:, : self.latents]


def with_encoder(prior, encoder):
    found = copy.copy(prior)
    found.parts = replace(prior.parts, encoder=encoder)
    return found


def known(prior):
    encoder = Known((4, 8), 5, 24).eval().requires_grad_(False)
    encoder.knows = prior
    return encoder


@pytest.mark.parametrize("kind", ["mask", "downsample"])
def test_the_observation_is_put_into_the_mean(linear_prior, truth, kind):
    """Measured pixels exactly, the hole from the mean; coarse pixels exactly, detail from the mean."""
    hole = torch.zeros(24, 24, dtype=torch.bool)
    hole[4:16, 10:24] = True
    f = Mask(hole) if kind == "mask" else Downsample(3)
    y = f.A(truth)
    encoder = known(linear_prior)
    likelihood = Likelihood(all_measured(f, y, 10.0), y)
    p = Posterior(with_encoder(linear_prior, encoder), likelihood, preset("default").but(start="encoder"))
    p.start()
    found, mean = to_grey(encoder.looked), to_grey(linear_prior.mean[None]).clamp(0, 255)
    assert truth.min() >= 0 and truth.max() <= 255  # else the data could not be met within the grey levels
    torch.testing.assert_close(f.A(found), y, rtol=0, atol=0.05)
    if kind == "mask":
        torch.testing.assert_close(found[..., hole], mean[..., hole])
    else:
        torch.testing.assert_close(found, mean + f.A_dagger(f.A(truth - mean), (24, 24)), rtol=0, atol=0.1)


def test_leading_latents_are_the_encoder_s_and_the_others_the_mean(linear_prior, truth):
    likelihood = Likelihood(all_measured(Identity(), truth, 10.0), truth)
    prior = with_encoder(linear_prior, known(linear_prior))
    p = Posterior(prior, likelihood, preset("default").but(start="encoder"))
    w = p.latents(p.start(2))[:, 0]
    expected = linear_prior.encode(truth / 127.5 - 1)[0]
    torch.testing.assert_close(w[:, :5], expected[:5].expand(2, 5), rtol=1e-2, atol=1e-2)
    assert w[:, 5:].abs().max() < 1e-5
    best = p.terms(p.start())[0]["pixel"]
    assert best < p.terms(p.coordinates.start(1))[0]["pixel"]


def test_without_a_fitting_encoder_the_mean_is_the_start(linear_prior, truth):
    likelihood = Likelihood(all_measured(Identity(), truth, 10.0), truth)
    for encoder in (None, Encoder((4, 8), 5, 32), Encoder((4, 8), 13, 24)):
        prior = with_encoder(linear_prior, encoder)
        p = Posterior(prior, likelihood, preset("default").but(start="encoder"))
        assert encoded(p) is None
        assert torch.equal(p.start(), p.coordinates.start(1))
