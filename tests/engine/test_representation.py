"""What the generator cannot draw is in the uncertainty, and a slice that it draws badly is less certain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.calibrate import scale_tissue
from napari_brgm.engine.draws import Draws
from napari_brgm.engine.observed import observe
from napari_brgm.engine.representation import field_of, residual_scale
from napari_brgm.engine.restore import restore
from napari_brgm.inference import complete
from napari_brgm.likelihood import to_grey
from napari_brgm.posterior import Posterior
from napari_brgm.priors.parts import Parts
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.settings import preset


@pytest.fixture
def hole() -> np.ndarray:
    missing = np.zeros((32, 32), dtype=bool)
    missing[8:22, 10:24] = True
    return missing


def with_field(prior: StyleGAN2Prior, std: float) -> StyleGAN2Prior:
    lag = torch.fft.fftfreq(32) * 32
    correlation = torch.exp(-(lag[:, None].square() + lag[None].square()) / 8)
    field = ResidualField(torch.full((32, 32), std), correlation)
    parts = Parts(residual=field)
    return StyleGAN2Prior(prior.synthesis, prior.latents, prior.info, mapping=prior.mapping, parts=parts)


def drawn_with(prior: StyleGAN2Prior, true_std: float, seed: int) -> np.ndarray:
    """A slice of the model with residuals of ``true_std``, whatever the prior believes."""
    field = with_field(prior, true_std).parts.residual
    assert field is not None
    clean = to_grey(prior.sample(1, seed))[0, 0].numpy()
    return clean + field.sample(1, torch.Generator().manual_seed(seed))[0, 0].numpy()


def problem_of(prior, image, corruption):
    """The posterior and the problem of a slice on the prior's own grid."""
    problem = observe(image, corruption, prior, pose=False, noise_sigma=0.0)
    return Posterior(prior, problem.likelihood, preset("unaided")), problem


@pytest.mark.parametrize("true_std", [4.0, 8.0, 12.0])
def test_scale_is_that_of_the_residual(random_stylegan2, hole, true_std):
    """Residuals of half, once and one and a half times the believed std: catches a ratio of the wrong things."""
    prior = with_field(random_stylegan2, 8.0)
    clean = prior.sample(1, 3)
    scales = []
    for seed in range(6):
        truth = with_field(random_stylegan2, true_std).parts.residual.sample(1, torch.Generator().manual_seed(seed))
        posterior, problem = problem_of(prior, to_grey(clean)[0, 0].numpy(), Mask(hole))
        measured = problem.likelihood.observation.measured
        likelihood = replace(problem.likelihood, y=(to_grey(clean) + truth) * measured)  # no window between
        problem, shown = replace(problem, likelihood=likelihood), clean
        field = field_of(posterior.prior, posterior.settings, problem, shown)
        assert field is prior.parts.residual
        seeded = torch.Generator().manual_seed(0)
        scales.append(residual_scale(posterior.prior, posterior.settings, problem, field, shown, seeded))
    assert np.mean(scales) == pytest.approx(true_std / 8.0, rel=0.25)


def test_without_a_model_the_slice_itself_gives_one(random_stylegan2, hole):
    """A published network's draws hold what it cannot draw: catches a variance of the latents alone."""
    image = drawn_with(random_stylegan2, 15.0, 3)
    settings = preset("unaided").but(steps=40)
    found = {
        adapt: restore(image, Mask(hole), random_stylegan2, samples=24, settings=settings.but(adapt_residual=adapt))
        for adapt in (True, False)
    }
    error = np.sqrt(np.mean((found[True].mean - image)[hole] ** 2))
    spread = {adapt: float(np.sqrt(result.variance[hole].mean())) for adapt, result in found.items()}
    assert (spread[True] ** 2 - spread[False] ** 2) ** 0.5 > 10 and error < 3 * spread[True]
    assert (found[True].estimate[~hole] == image[~hole]).all()


@pytest.mark.parametrize("std", [20.0, 160.0])
def test_the_slice_s_own_field_is_solved_for(random_stylegan2, hole, std):
    """Against a dense solution: with a field as smooth as a Gaussian the rounds ended up to 58 levels from it."""
    clean = random_stylegan2.sample(1, 3)
    posterior, problem = problem_of(random_stylegan2, to_grey(clean)[0, 0].numpy(), Mask(hole))
    measured = problem.likelihood.observation.measured
    truth = std * torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    likelihood = replace(problem.likelihood, y=(to_grey(clean) + truth) * measured)
    field = field_of(posterior.prior, posterior.settings, replace(problem, likelihood=likelihood), clean)
    assert field is not None and float(field.std[0, 0]) == pytest.approx(std, rel=0.15)
    found = to_grey(complete(clean, field, likelihood, 2.0))[0, 0].double()
    rows = torch.eye(32**2).reshape(-1, 1, 32, 32)
    covariance = field.covariance(rows).reshape(32**2, 32**2).double()
    seen = torch.from_numpy(~hole).flatten()
    residual = likelihood.residual(clean).flatten().double()[seen]
    inner = covariance[seen][:, seen] + 4.0 * torch.eye(int(seen.sum()), dtype=torch.float64)
    exact = to_grey(clean).flatten().double() + covariance[:, seen] @ torch.linalg.solve(inner, residual)
    assert float((found.flatten() - exact).abs().max()) < 0.01 * std


def test_the_field_of_coarse_pixels_is_that_of_fine_ones(random_stylegan2):
    """Means over four by four hide most of a rough residual: its std is not theirs."""
    clean = random_stylegan2.sample(1, 3)
    lag = torch.fft.fftfreq(64) * 64
    own = ResidualField(torch.full((32, 32), 30.0), torch.exp(-(lag[:, None].square() + lag[None].square()).sqrt() / 4))
    found = []
    for seed in range(6):
        image = to_grey(clean) + own.sample(1, torch.Generator().manual_seed(seed))
        low = image.reshape(8, 4, 8, 4).mean(dim=(1, 3)).numpy()
        posterior, problem = problem_of(random_stylegan2, low, Downsample(4))
        likelihood = replace(problem.likelihood, y=torch.from_numpy(low)[None, None])
        field = field_of(posterior.prior, posterior.settings, replace(problem, likelihood=likelihood), clean)
        found.append(float(field.std[0, 0]))
    assert np.mean(found) == pytest.approx(30.0, rel=0.2)


def test_scaled_draws_keep_their_mean_and_the_data(random_stylegan2):
    """Super-resolution: every draw still averages to the observed pixels after it was scaled."""
    prior = with_field(random_stylegan2, 4.0)
    image = drawn_with(random_stylegan2, 8.0, 5)
    low = image.reshape(16, 2, 16, 2).mean(axis=(1, 3))
    result = restore(low, Downsample(2), prior, samples=8, settings=preset("unaided").but(steps=30))
    assert result.provenance["noise"]["residual_scale"] > 1.05
    back = result.samples.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4))
    assert np.abs(back - low).max() < 2e-2 * np.ptp(low)


def test_air_keeps_its_spread(random_stylegan2, hole):
    """Tissue's error says nothing of air's: its draws stay as they came, bit for bit, and no mean moves."""
    image = drawn_with(random_stylegan2, 4.0, 5)
    problem = problem_of(random_stylegan2, image, Mask(hole))[1]
    mean = image.astype(np.float64)
    dark = np.zeros_like(hole)
    dark[8:15, 10:24] = True
    mean[dark] = problem.window.from_grey(np.float64(4.0))
    mean[hole & ~dark] = problem.window.from_grey(np.float64(60.0))
    noise = np.random.default_rng(0).normal(size=(5, 32, 32))
    came = (mean + noise - noise.mean(axis=0)).astype(np.float32)
    draws = Draws(problem, came[:, hole].copy())
    scale_tissue(draws, 1.7)
    scaled = draws.samples()
    np.testing.assert_array_equal(scaled[:, dark], came[:, dark])
    for one in scaled:
        np.testing.assert_array_equal(one[~hole], image[~hole].astype(np.float32))
    tissue = hole & ~dark
    np.testing.assert_allclose((scaled - mean)[:, tissue], 1.7 * (came - mean)[:, tissue], atol=1e-4)


def test_laplace_is_offered_and_reports_its_steps(random_stylegan2, hole):
    """Steps are numbered to the end without a gap, and the spread differs from the prior's."""
    image = drawn_with(random_stylegan2, 4.0, 7)
    steps = []
    result = restore(
        image, Mask(hole), random_stylegan2, method="laplace", samples=8, settings=preset("unaided").but(steps=10),
        callback=lambda step: steps.append(step) or True,
    )  # fmt: skip
    assert [step.iteration for step in steps] == list(range(1, steps[-1].total + 1))
    assert {step.phase for step in steps} == {"map", "laplace", "samples"}
    assert result.provenance["method"] == "laplace"
    assert all(np.isfinite(entry["loss"]) for entry in result.trace)


def test_known_noise_is_not_restored(random_stylegan2):
    """Super-resolution of a noisy slice: the data are met within their noise, not to the last digit of it."""
    prior = with_field(random_stylegan2, 6.0)
    image = drawn_with(random_stylegan2, 6.0, 5)
    low = image.reshape(16, 2, 16, 2).mean(axis=(1, 3))
    sigma = 0.08 * float(np.ptp(low))
    noisy = low + sigma * np.random.default_rng(0).standard_normal(low.shape)
    settings = preset("unaided").but(steps=60)
    told = restore(noisy, Downsample(2), prior, samples=8, noise_sigma=sigma, settings=settings)
    exact = restore(noisy, Downsample(2), prior, samples=8, noise_sigma=0.0, settings=settings)

    def misfit(x: np.ndarray) -> float:
        return float(np.sqrt(np.mean((x.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4)) - noisy) ** 2)))

    assert misfit(exact.estimate) < 0.02 * sigma
    assert 0.2 * sigma < misfit(told.estimate) < 1.001 * sigma
    assert all(misfit(sample) < 1.001 * sigma for sample in told.samples)
    errors = [float(np.sqrt(np.mean((r.mean - image) ** 2))) for r in (told, exact)]
    assert errors[0] < errors[1]
