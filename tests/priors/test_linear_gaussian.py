"""The linear-Gaussian prior is probabilistic PCA, and its posterior is the Gaussian conditional in pixel space."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_brgm.corruptions import Identity
from napari_brgm.errors import InputError
from napari_brgm.observation import all_measured
from napari_brgm.priors import linear_model
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.linear_model import Differentiated, LinearModel
from napari_brgm.priors.prior import LatentStatistics, Prior

SIGMA = 0.2


def pca(images: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean (P,), covariance (P, P) of the leading components, mean variance of a pixel outside them; by SVD."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    _, s, vt = np.linalg.svd(flat - mean, full_matrices=False)
    power = s**2 / len(flat)
    kept = (vt[:components].T * power[:components]) @ vt[:components]
    return mean, kept, power[components:].sum() / (flat.shape[1] - components)


@pytest.mark.parametrize("mirror", [False, True])
def test_fit_is_pca(smooth_images, mirror):
    """Catches components of the wrong scale, a wrong noise variance, and a mirror that leaks between even and odd."""
    images = smooth_images(20, 8, seed=3)
    found = LinearGaussian.fit(images, 5, mirror=mirror)
    whole = torch.cat([images, images.flip(-1)]) if mirror else images
    mean, covariance, noise = pca(whole.numpy(), 5)
    np.testing.assert_allclose(found.mean.flatten(), mean, atol=1e-5)
    basis = found.basis.flatten(1).double().numpy()
    np.testing.assert_allclose(basis.T @ basis, covariance, atol=1e-4 * np.abs(covariance).max())
    assert found.noise_variance == pytest.approx(noise, rel=1e-3)
    assert found.info.representation_sigma == pytest.approx(127.5 * noise**0.5, rel=1e-3)


def test_mirrored_components_are_even_or_odd(smooth_images):
    basis = LinearGaussian.fit(smooth_images(20, 8, seed=3), 6, mirror=True).basis
    for component in basis:
        parity = min((component - s * component.flip(-1)).norm() for s in (1, -1)) / component.norm()
        assert parity < 1e-3


def test_too_many_components_are_refused(smooth_images):
    with pytest.raises(InputError, match="20 images cannot give 20 components"):
        LinearGaussian.fit(smooth_images(20, 8), 20)


def double(prior: LinearGaussian) -> LinearGaussian:
    return LinearGaussian(prior.mean.double(), prior.basis.double(), prior.noise_variance)


def shrink(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 3)


def left_part(x: torch.Tensor) -> torch.Tensor:
    return x[..., :9]


def seen_as(prior: LinearGaussian, function) -> Differentiated:
    return Differentiated(function, tuple(prior.mean.shape))


def test_posterior_is_the_gaussian_conditional_of_the_pixels(linear_prior):
    """mean + C A' (A C A' + s^2)^-1 (y - A mean) and C - C A' (...)^-1 A C, by dense matrices."""
    prior = double(linear_prior)
    pixels = prior.mean.numel()
    a = shrink(torch.eye(pixels, dtype=torch.float64).reshape(pixels, 1, 24, 24)).flatten(1).T.numpy()  # (M, P)
    basis, mean = prior.basis.flatten(1).numpy(), prior.mean.flatten().numpy()
    c = basis.T @ basis
    y = shrink(prior.sample(1, seed=4).double()) + 0.1
    gain = c @ a.T @ np.linalg.inv(a @ c @ a.T + SIGMA**2 * np.eye(len(a)))
    operator = seen_as(prior, shrink)
    found = prior.posterior(y, operator, SIGMA**2)
    wanted = mean + gain @ (y.flatten().numpy() - a @ mean)
    np.testing.assert_allclose(prior.posterior_mean(y, operator, SIGMA**2).flatten(), wanted, atol=1e-6)
    np.testing.assert_allclose(basis.T @ found.covariance.numpy() @ basis, c - gain @ a @ c, atol=1e-6)


def test_mean_field_std_minimises_the_divergence(linear_prior):
    """Catches marginal standard deviations, sqrt(diag(covariance)), in place of the best diagonal Gaussian's."""
    found = linear_prior.posterior(
        left_part(linear_prior.sample(1, seed=4)), seen_as(linear_prior, left_part), SIGMA**2
    )

    def divergence(std: torch.Tensor) -> float:  # KL(N(mean, diag std^2) || posterior) without constants
        return float(0.5 * (found.precision.diagonal() * std.square()).sum() - std.log().sum())

    best = found.mean_field_std
    for k in range(len(best)):
        for factor in (0.95, 1.05):
            other = best.clone()
            other[k] *= factor
            assert divergence(other) > divergence(best)
    assert (found.covariance.diagonal().sqrt() > best * 1.01).any()  # they differ here


def test_draws_have_the_posterior_covariance(linear_prior):
    """Catches a transposed Cholesky factor: right variances in total, wrong directions."""
    found = linear_prior.posterior(shrink(linear_prior.sample(1, seed=4)), seen_as(linear_prior, shrink), SIGMA**2)
    draws = found.sample(40_000, torch.Generator().manual_seed(0))
    scale = found.covariance.norm()
    assert (torch.cov(draws.T) - found.covariance).norm() < 0.03 * scale
    assert ((draws.mean(dim=0) - found.mean) / found.covariance.diagonal().sqrt()).abs().max() < 0.03


def test_more_noise_moves_the_posterior_to_the_prior(linear_prior):
    y, operator = shrink(linear_prior.sample(1, seed=4)), seen_as(linear_prior, shrink)
    means, spreads = [], []
    for sigma in (0.1, 0.4, 1.6, 1e4):
        found = linear_prior.posterior(y, operator, sigma**2)
        means.append(float(found.mean.norm()))
        spreads.append(float(found.covariance.trace()))
    assert means == sorted(means, reverse=True) and spreads == sorted(spreads)
    assert means[-1] < 1e-3 and spreads[-1] == pytest.approx(12, rel=1e-3)
    with pytest.raises(InputError, match="noise_variance"):
        linear_prior.posterior(y, operator, 0.0)


def test_encode_undoes_synthesis_and_it_is_a_prior(linear_prior):
    w = torch.randn(3, 12, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(linear_prior.encode(linear_prior.synthesize(w[:, None])), w, atol=1e-3, rtol=0)
    assert isinstance(linear_prior, Prior) and linear_prior.parts.line.exact
    covariance = torch.cov(linear_prior.sample(4000, seed=1).flatten(1).T)
    flat = linear_prior.basis.flatten(1)
    assert (covariance - flat.T @ flat).norm() < 0.1 * covariance.norm()


class Enlarging:
    """Onto a grid of 60 x 50 pixels, some of them trusted less than others; counts what is asked for at once."""

    def __init__(self, size: int, precision: torch.Tensor | None) -> None:
        self.precision, self.asked = precision, []
        self.own = Differentiated(lambda x: F.interpolate(x, size=(60, 50), mode="bilinear"), (1, size, size))

    def A(self, x: torch.Tensor) -> torch.Tensor:
        self.asked.append(len(x))
        return self.own.A(x)

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        return self.own.A_adjoint(y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("side", [8, 32])
@pytest.mark.parametrize("most", [0, 1e9])
def test_posterior_on_a_finer_grid(side, weighted, most, monkeypatch):
    """From observed components and from returned ones: catches a wrong adjoint of grids, a weight that counts twice."""
    monkeypatch.setattr("napari_brgm.priors.linear_model._FINER", most)
    generator = torch.Generator().manual_seed(0)
    model = LinearModel(
        torch.randn(1, 32, 32, generator=generator, dtype=torch.float64),
        torch.randn(70, 1, side, side, generator=generator, dtype=torch.float64), 0.1,
    )  # fmt: skip
    y = torch.randn(1, 1, 60, 50, generator=generator, dtype=torch.float64)
    weight = torch.rand(1, 1, 60, 50, generator=generator, dtype=torch.float64)
    weight[..., :9] = 0
    seen = Enlarging(32, weight if weighted else None)
    found = model.posterior(y, seen, 0.3)
    assert max(seen.asked) <= 32, "the basis must not be observed as a whole"
    b = seen.A(model.basis).flatten(1)
    n = weight.flatten() if weighted else torch.ones(3000, dtype=torch.float64)
    precision = (b * n) @ b.T / 0.3 + torch.eye(70)
    mean = torch.linalg.solve(precision, (b * n) @ (y - seen.A(model.mean[None])).flatten() / 0.3)
    torch.testing.assert_close(found.precision, precision, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(found.mean, mean, rtol=1e-6, atol=1e-8)


def test_memory_does_not_grow_with_the_basis_on_the_native_grid(monkeypatch):
    """Catches a chunk that is sized by the image where the observation is larger."""
    model = LinearModel(torch.zeros(1, 8, 8), torch.randn(20, 1, 8, 8), 0.1)
    monkeypatch.setattr("napari_brgm.priors.linear_model._CHUNK", 4 * 3000 * 3)
    seen = Enlarging(8, None)
    model.posterior(torch.zeros(1, 1, 60, 50), seen, 1.0)
    assert set(seen.asked) == {1, 3, 2}


def test_whitened_images_are_those_of_the_latents(linear_prior):
    statistics = LatentStatistics(0.3 * torch.ones(12), torch.eye(12) + 0.2)
    u = torch.randn(3, 1, 12, generator=torch.Generator().manual_seed(0))
    found = linear_prior.whitened(statistics).synthesize(u)
    torch.testing.assert_close(found, linear_prior.synthesize(statistics.colour(u)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("finer", [0.0, 10.0])
def test_where_components_are_zero_nothing_is_lost(monkeypatch, finer):
    """On a grid of half the resolution: drawn, observed and brought back by their own part of it only."""
    monkeypatch.setattr(linear_model, "_FINER", finer)  # by either way of making the normal matrix
    generator = torch.Generator().manual_seed(4)
    coarse = torch.zeros(5, 1, 12, 12)
    coarse[..., 2:7, 3:11] = torch.randn(5, 1, 5, 8, generator=generator)
    model = LinearModel(torch.randn(1, 24, 24, generator=generator), coarse, 0.0)
    basis = F.interpolate(coarse, size=(24, 24), mode="bicubic", align_corners=False)
    w = torch.randn(2, 5, generator=generator, requires_grad=True)
    images = model.synthesize(w[:, None])
    torch.testing.assert_close(images, model.mean + torch.einsum("bk,kcij->bcij", w, basis), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(images.square().sum(), w)
    torch.testing.assert_close(gradient, 2 * images.detach().flatten(1) @ basis.flatten(1).T, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(model.components(1, 4, (3, 8), 9), basis[1:4, :, 3:12, 8:17], rtol=1e-4, atol=1e-5)
    y = torch.randn(1, 1, 24, 24, generator=generator)
    found, right = model.normal(y, all_measured(Identity(), y, 1.0))
    torch.testing.assert_close(found, basis.flatten(1) @ basis.flatten(1).T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(right[:, 0], basis.flatten(1) @ (y - model.mean).flatten(), rtol=1e-4, atol=1e-4)
