"""The Gaussian round a MAP."""

from __future__ import annotations

import pytest
import torch

from napari_brgm import settings
from napari_brgm.corruptions import Identity
from napari_brgm.inference import LowRankGaussian, Progress, laplace, laplace_at, laplace_batches
from napari_brgm.likelihood import Likelihood
from napari_brgm.observation import all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("few", [True, False])
def test_covariance_of_a_linear_problem(linear_problem, uneven, few, monkeypatch):
    """Within 5 % of the exact one, by all directions or by random ones: catches a lost sigma, prior or weight."""
    if not few:
        monkeypatch.setattr(laplace, "_FEW", 1)
    for sigma in (25.0, 100.0):
        exact = linear_problem("mask", sigma, uneven)
        v = exact.mean.float()[None, None]
        found = laplace_at(exact.posterior, v, torch.Generator().manual_seed(0))
        assert torch.equal(found.mean, v[0])
        assert ((found.std[0].double() / exact.mean_field_std) - 1).abs().max() < 0.02
        draws = found.sample(20_000, torch.Generator().manual_seed(1))[:, 0]
        covariance = torch.linalg.inv(exact.precision)
        assert (torch.cov(draws.T).double() - covariance).norm() < 0.05 * covariance.norm()
        assert (draws.mean(dim=0) - v[0, 0]).abs().max() < 1e-3


@pytest.mark.parametrize("uneven", [False, True])
def test_preconditioned_it_is_the_exact_covariance(linear_problem, uneven):
    """Catches draws that lose the correlations of the linear posterior."""
    exact = linear_problem("mask", uneven=uneven, start="linear")
    posterior = exact.posterior
    found = laplace_at(posterior, posterior.start(), torch.Generator().manual_seed(0))
    w = posterior.latents(found.sample(20_000, torch.Generator().manual_seed(1)))[:, 0]
    covariance = torch.linalg.inv(exact.precision)
    assert (torch.cov(w.T).double() - covariance).norm() < 0.05 * covariance.norm()


def test_leading_directions_of_many_latents(random_stylegan2):
    """With fewer directions than latents, the data's best known ones are found: catches a wrong product with J'."""
    y = torch.full((1, 1, 32, 32), 100.0)
    likelihood = Likelihood(all_measured(Identity(), y, 20.0), y)
    posterior = Posterior(random_stylegan2, likelihood, preset("default").but(start="mean", latent_space="w+"))
    v = posterior.start()
    whole = laplace_at(posterior, v, torch.Generator().manual_seed(0), linearised=False)
    assert whole.directions.shape[0] == whole.directions.shape[1]
    part = laplace_at(posterior, v, torch.Generator().manual_seed(0))
    assert part.directions.shape[1] <= 16 < whole.directions.shape[1]
    best = whole.gain.flip(0)[:5]
    assert ((part.gain.flip(0)[:5] / best) - 1).abs().max() < 0.05


def test_the_search_ends_where_the_spread_has_settled(random_stylegan2):
    """A part of the directions gives the image's spread, from 41 to 1.8 where all give 1.6: catches a search that ends
    early, or that never does."""
    y = torch.full((1, 1, 32, 32), 100.0)
    likelihood = Likelihood(all_measured(Identity(), y, 20.0), y)
    settings = preset("default").but(start="mean", latent_space="w+", directions=200)
    posterior = Posterior(random_stylegan2, likelihood, settings)
    v = posterior.start()
    jacobian = laplace._Jacobian(posterior, v, Progress(), exact=True)
    size = v[0].numel()
    images = jacobian.ahead(torch.eye(size))[1]  # (L D, N)
    found = laplace_at(posterior, v, torch.Generator().manual_seed(0))
    assert found.directions.shape[1] < 200

    def std(spread: LowRankGaussian) -> float:
        u, shrunk = spread.directions, spread.gain / (1 + spread.gain)
        return float((images.square().sum() - ((u.T @ images).square() * shrunk[:, None]).sum()).sqrt())

    seen = jacobian.ahead(torch.eye(size))[0]
    gain, vectors = torch.linalg.eigh((seen @ seen.T).double())
    exact = LowRankGaussian(v[0], posterior.start_std(), vectors.float(), gain.clamp(min=0).float())
    assert 0.98 * std(exact) < std(found) < 1.2 * std(exact) < 0.1 * float(images.square().sum().sqrt())


@pytest.mark.parametrize("few", [True, False])
def test_the_whole_jacobian_of_a_linear_generator_changes_nothing(linear_problem, few, monkeypatch):
    """Preconditioned, the linear answer is N(0, I): catches a prior precision that is not transformed along."""
    if not few:
        monkeypatch.setattr(laplace, "_FEW", 1)
    posterior = linear_problem("mask", start="linear").posterior
    found = laplace_at(posterior, posterior.start(), torch.Generator().manual_seed(0), linearised=False)
    assert found.gain.abs().max() < 0.02
    assert (found.std - 1).abs().max() < 0.01


@pytest.mark.parametrize("few", [True, False])
def test_it_takes_as_many_steps_as_it_says(linear_problem, collect, few, monkeypatch):
    """Else the steps after it are numbered wrongly; the line's own answer takes none."""
    if not few:
        monkeypatch.setattr(laplace, "_FEW", 1)
        monkeypatch.setattr(settings, "_LEAST", 11)
    posterior = linear_problem("mask").posterior
    told, _ = collect(laplace_at, posterior, posterior.start(), torch.Generator().manual_seed(0))
    assert len(told) == laplace_batches(posterior) > 1 and {step.phase for step, _ in told} == {"laplace"}
    exact = linear_problem("mask", start="linear").posterior
    told, _ = collect(laplace_at, exact, exact.start(), torch.Generator().manual_seed(0))
    assert not told and laplace_batches(exact) == 0 < laplace_batches(exact, linearised=False)
