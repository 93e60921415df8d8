"""Draws: of what was not measured alone, the same however many are finished at a time, scaled about their mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Blur, Compose, Downsample, Mask
from napari_brgm.engine import draws as module
from napari_brgm.engine.draws import Draws
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restore import restore
from napari_brgm.priors.residual_field import ResidualField


@pytest.fixture
def in_paint(linear_prior, scan, hole):
    return observe(scan, Mask(hole), linear_prior, noise_sigma=4.0)


def some(count: int, pixels: int, seed: int = 0) -> np.ndarray:
    """Draws whose mean is that of their pixel, centred as those of our Gaussians are."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 30, (count, pixels))
    noise = (noise - noise.mean(axis=0)) * (count / (count - 1)) ** 0.5
    return (rng.uniform(100, 900, pixels) + noise).astype(np.float32)


def test_hidden_pixels_alone_are_held(in_paint, scan, hole):
    """Catches a volume's worth of copies of what was measured."""
    draws = Draws(in_paint, some(5, int(hole.sum())))
    np.testing.assert_array_equal(draws.free, hole)
    assert draws.values.shape == (5, hole.sum())
    images = draws.samples()
    assert images.shape == (5, 24, 24) and images.dtype == np.float32
    np.testing.assert_array_equal(images[:, hole], draws.values)
    np.testing.assert_array_equal(images[3][~hole], scan[~hole].astype(np.float32))
    mean = draws.image(draws.mean)
    assert (mean[~hole] == 0).all() and mean.dtype == np.float64
    np.testing.assert_array_equal(mean[hole], draws.mean)


def test_their_variance_is_the_mean_square(in_paint, hole):
    """Centred draws are as wide as they would be apart: no n / (n - 1) on top."""
    values = some(6, int(hole.sum()))
    draws = Draws(in_paint, values)
    np.testing.assert_allclose(draws.variance, np.square(values - values.mean(axis=0)).mean(axis=0), rtol=1e-3)


def test_grey_levels_are_those_of_the_window(in_paint, hole):
    draws = Draws(in_paint, some(3, int(hole.sum())))
    np.testing.assert_allclose(draws.grey_mean, in_paint.window.to_grey(draws.mean))


def test_scaling_leaves_the_mean(in_paint, hole):
    values = some(4, int(hole.sum()))
    draws = Draws(in_paint, values.copy())
    factor = np.linspace(0.5, 2, values.shape[1])
    before = draws.mean.copy()
    draws.scale(factor)
    np.testing.assert_array_equal(draws.mean, before)
    np.testing.assert_allclose(draws.values - before, factor * (values - before), atol=1e-3)


@pytest.mark.parametrize("scale", [0.8, 1.5])
def test_finished_ones_are_shown_and_as_wide_as_is_said_at_each_pixel(in_paint, scan, hole, scale):
    """Catches samples that are surer than the standard deviation beside them, and histograms of another width."""
    plain = some(6, int(hole.sum()))
    textured = 0.8 * plain + some(6, int(hole.sum()), seed=1) / 8
    draws = Draws(in_paint, plain.copy(), finished=Draws(in_paint, textured.copy()))
    draws.scale(scale)
    draws.match_finished()
    shown = draws.samples()
    wide = np.clip(scale * plain.std(axis=0) / textured.std(axis=0), 1 / 3, 3) * textured.std(axis=0)
    np.testing.assert_allclose(shown[:, hole].std(axis=0), wide, rtol=1e-2)
    assert np.mean(np.abs(shown[:, hole].std(axis=0) / (scale * plain.std(axis=0)) - 1) < 0.01) > 0.9
    np.testing.assert_allclose(shown[:, hole].mean(axis=0), plain.mean(axis=0), atol=1e-2)
    np.testing.assert_array_equal(shown[:, ~hole], np.repeat(scan[~hole].astype(np.float32)[None], 6, 0))
    np.testing.assert_allclose(draws.mean, plain.mean(axis=0), rtol=1e-6)


def test_a_finished_pixel_without_spread_has_the_mean(in_paint, hole):
    plain = some(6, int(hole.sum()))
    textured = some(6, int(hole.sum()), seed=1)
    textured[:, 0] = 7.0
    draws = Draws(in_paint, plain, finished=Draws(in_paint, textured))
    draws.match_finished()
    np.testing.assert_allclose(draws.finished.values[:, 0], plain[:, 0].mean(), rtol=1e-6)


@pytest.mark.parametrize("factor", [2, (3, 1)])
def test_scaling_leaves_what_was_observed(linear_prior, scan, factor):
    """Factors that differ within a coarse pixel would move its mean."""
    f = Downsample(factor)
    image = f.A(torch.from_numpy(scan)[None, None])[0, 0].numpy()
    draws = Draws(observe(image, f, linear_prior, noise_sigma=0.0), some(4, 24 * 24))

    def seen() -> torch.Tensor:
        return f.A(torch.from_numpy(draws.samples()).double()[:, None])

    before, apart = seen(), draws.values.copy()
    draws.scale(np.random.default_rng(3).uniform(0.5, 2, 24 * 24))
    torch.testing.assert_close(seen(), before, atol=2e-3, rtol=0)
    assert np.abs(draws.values - apart).max() > 10


def test_what_takes_no_means_is_scaled_plainly(linear_prior, scan):
    """Blurs amplify: what is taken off again would be noise."""
    draws = Draws(observe(scan, Blur(2.0), linear_prior, noise_sigma=0.0), some(4, 24 * 24))
    plain = draws.values.copy()
    draws.scale(1.5)
    np.testing.assert_allclose(draws.values - draws.mean, 1.5 * (plain - draws.mean), atol=1e-3)


@pytest.mark.parametrize("kind", ["mask", "downsample", "blur, downsample"])
def test_they_do_not_depend_on_how_many_are_finished_at_a_time(
    linear_prior, scan, hole, quick, with_parts, monkeypatch, kind
):
    """Catches random numbers that are drawn part by part, and a last part that is left out."""
    correlation = torch.zeros(24, 24)
    correlation[0, 0], correlation[0, 1], correlation[0, -1] = 1, 0.4, 0.4
    prior = with_parts(linear_prior, residual=ResidualField(torch.full((24, 24), 20.0), correlation))
    f = {"mask": Mask(hole), "downsample": Downsample(2), "blur, downsample": Compose(Blur(1.0), Downsample(2))}[kind]
    image = scan if kind == "mask" else f.A(torch.from_numpy(scan)[None, None])[0, 0].numpy()
    settings = quick.but(adapt_residual=False)
    whole = restore(image, f, prior, samples=7, settings=settings)
    monkeypatch.setattr(module, "_PIXELS", 3 * 24 * 24)
    parts = restore(image, f, prior, samples=7, settings=settings)
    np.testing.assert_allclose(parts.samples, whole.samples, atol=0.02 * np.ptp(scan))
    np.testing.assert_allclose(parts.std, whole.std, atol=0.01 * np.ptp(scan))
