"""Observed: the problem in grey levels, corruptions whose observation is not exact, and measured pixels put back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Compose, Downsample, Grayscale, Identity, Jpeg, Mask
from napari_brgm.engine.observed import observe
from napari_brgm.engine.provenance import ESTIMATED
from napari_brgm.engine.restore import restore
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import latent_map
from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
from napari_brgm.priors.residual_field import ResidualField


def error(a, b) -> float:
    return float(np.sqrt(np.mean(np.square(a - b))))


def test_a_jpeg_comes_closer_to_the_truth(linear_prior, drawn, quick):
    """Catches data consistency that puts the artefacts back."""
    compressed = Jpeg(10).compress(drawn)
    result = restore(compressed, Jpeg(10), linear_prior, samples=4, settings=quick)
    assert error(result.estimate, drawn) < 0.7 * error(compressed, drawn)
    assert not result.measured.any() and (result.variance > 0).mean() > 0.5
    assert ESTIMATED in result.provenance["notes"] and "every pixel is an estimate" in result.provenance["notice"]
    assert result.provenance["corruption"] == {"name": "Jpeg", "quality": 10}


def test_plain_noise_is_removed(linear_prior, drawn, quick):
    noisy = drawn + 15 * np.random.default_rng(0).normal(size=drawn.shape)
    result = restore(noisy, Identity(), linear_prior, samples=4, noise_sigma=15.0, settings=quick)
    assert error(result.estimate, drawn) < 0.7 * error(noisy, drawn)


@pytest.fixture(scope="module")
def colour_manifold() -> ConvolutionalManifold:
    """A latent convolutional model of 32 px in colour with random weights."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Hourglass(64, 3, trunk=(8, 8), fine=())
    with torch.no_grad():
        net.last.weight.mul_(8)
    phi = latent_map("convolutional")
    basis = 0.3 * torch.randn(6, phi.size, generator=generator)
    basis[:, : phi.weights] *= 0.01
    info = PriorInfo("colour-32", spacing_mm=1.0, representation_sigma=4.0)
    return ConvolutionalManifold(phi, net, LowRankStatistics(phi.start(generator), basis), info)


def test_colour_from_gray(colour_manifold, quick):
    """(H, W) in, (H, W, 3) out; the result, made gray again, is what was given."""
    image = ((colour_manifold.sample(1, seed=1) + 1) * 127.5).clamp(0, 255)
    gray = Grayscale().A(image)[0, 0].numpy()
    settings = quick.but(start="mean", steps=8)
    result = restore(gray, Grayscale(), colour_manifold, samples=2, settings=settings)
    assert result.estimate.shape == result.variance.shape == (32, 32, 3)
    assert result.samples.shape == (2, 32, 32, 3) and not result.measured.any()
    again = Grayscale().A(torch.from_numpy(result.estimate).permute(2, 0, 1)[None])[0, 0].numpy()
    assert np.abs(again - gray).mean() < 0.02 * np.ptp(gray)
    assert np.abs(result.estimate - gray[..., None]).max() > 1  # it has colours


def test_the_problem_in_grey_levels(linear_prior, scan, hole, with_parts):
    """Values by the window, 0 and no precision where nothing was measured, whatever lies there."""
    problem = observe(scan, Mask(hole), linear_prior, noise_sigma=4.0)
    grey = problem.window.to_grey(scan)
    y, measured = problem.likelihood.y[0, 0].numpy(), problem.likelihood.observation.measured[0, 0].numpy()
    np.testing.assert_array_equal(measured > 0, ~hole)
    np.testing.assert_allclose(y[~hole], grey[~hole], rtol=1e-5)
    assert (y[hole] == 0).all() and problem.likelihood.observation.sigma == problem.placed.noise.pixel
    for content in (np.nan, -np.inf, 1e6):
        spoilt = np.where(hole, content, scan)
        other = observe(spoilt, Mask(hole), linear_prior, noise_sigma=4.0)
        assert torch.equal(other.likelihood.y, problem.likelihood.y) and other.window == problem.window


@pytest.mark.parametrize("kind", ["mask", "downsample"])
def test_pixels_weigh_by_the_prior_s_residual(linear_prior, scan, hole, with_parts, kind):
    """sigma^2 over the pixel's own variance: the mean noise stays, and where the prior draws well counts more."""
    std = torch.linspace(1, 30, 24).expand(24, 24).contiguous()
    field = ResidualField(std, torch.eye(24)[:1].T @ torch.eye(24)[:1])
    prior = with_parts(linear_prior, residual=field)
    f = Mask(hole) if kind == "mask" else Downsample(2)
    image = scan if kind == "mask" else scan.reshape(12, 2, 12, 2).mean(axis=(1, 3))
    problem = observe(image, f, prior, noise_sigma=4.0)
    weight = problem.likelihood.observation.weight
    noise = problem.placed.noise
    relative = f.A(field.relative_variance[None, None])
    wanted = (noise.measured**2 + noise.representation**2) / (noise.measured**2 + noise.representation**2 * relative)
    seen = problem.likelihood.observation.measured.expand_as(weight) > 0
    torch.testing.assert_close(weight[seen], wanted[seen])
    assert weight[0, 0, 0, 0] > 1 > weight[0, 0, 0, -1]
    assert observe(image, f, prior, noise_sigma=4.0, field=False).likelihood.observation.weight is None
    assert observe(image, f, linear_prior, noise_sigma=4.0).likelihood.observation.weight is None


def test_what_is_an_estimate_is_said(linear_prior, drawn, hole):
    for f in (Jpeg(10), Identity(), Compose(Mask(hole), Jpeg(10))):
        assert ESTIMATED in observe(drawn, f, linear_prior).notes
    assert ESTIMATED not in observe(drawn, Mask(hole), linear_prior).notes


def test_masked_pixels_outside_the_frame_are_unseen(linear_prior, scan):
    wide = np.pad(scan, ((0, 0), (10, 26)))
    missing = np.zeros(wide.shape, bool)
    missing[10:14, 18:22] = missing[5:8, 55:58] = True
    problem = observe(wide, Mask(missing), linear_prior, pose=False)
    np.testing.assert_array_equal(problem.unseen, missing & (np.arange(60) > 50))
    assert any(note.startswith("9 masked pixels lie outside") for note in problem.notes)
    assert not observe(scan, Identity(), linear_prior, pose=False).unseen.any()


@pytest.mark.parametrize("kind", ["uint8", "int16", "uint64", "int64", "float32", "float64"])
def test_measured_pixels_are_put_back_bit_for_bit(linear_prior, scan, hole, kind):
    """Of the type that holds them; integers that no float of 64 bits holds keep their own."""
    image = (scan / 4).astype(kind)
    if kind in ("uint64", "int64"):
        image = image + np.array(2**53 + 1, kind)
    problem = observe(image, Mask(hole), linear_prior, noise_sigma=1.0, pose=False)
    value = float(image[~hole].max()) + 0.3
    found = problem.whole(np.full(np.count_nonzero(hole), value))
    assert (found[~hole] == image[~hole]).all()  # of the same type, or one without rounding
    np.testing.assert_allclose(found[hole].astype(float), value, rtol=1e-6, atol=0.5 if found.dtype.kind in "iu" else 0)
    if kind in ("uint64", "int64"):
        assert found.dtype == image.dtype
    restored = np.random.default_rng(0).random((24, 24))
    plain = observe(scan, Identity(), linear_prior).whole(restored.ravel())
    np.testing.assert_allclose(plain, restored, rtol=1e-6)


def test_windows_leave_out_nothing_that_is_read(brain_prior):
    """Fine detail round a small hole is told by pixels far away: in a window it came out a sixth too wide."""
    scan = np.random.default_rng(0).random((208, 176)) * 200
    large, small = np.zeros(scan.shape, dtype=bool), np.zeros(scan.shape, dtype=bool)
    large[90:120, 70:100] = True
    small[100, 80] = True
    fine, own = {"spacing": (1.0, 1.0)}, {"spacing": (1.5, 1.5)}
    assert observe(scan, Mask(large), brain_prior, pose=False, **fine).near
    assert observe(scan, Mask(small), brain_prior, pose=False, **fine).near == ()
    assert observe(scan, Mask(small), brain_prior, pose=False, **own).near
