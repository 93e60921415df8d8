"""Corruptions whose observation is not exact, colour from gray, and slices on the prior's own grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Compose, Downsample, Grayscale, Identity, Jpeg, Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.observe import observe
from napari_brgm.engine.provenance import ESTIMATED
from napari_brgm.engine.restore import restore
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import latent_map
from napari_brgm.priors.prior import LowRankStatistics, PriorInfo


def error(a, b) -> float:
    return float(np.sqrt(np.mean(np.square(a - b))))


@pytest.fixture(scope="module")
def drawn(linear_prior) -> np.ndarray:
    """(24, 24) grey levels that the 24 px prior can draw."""
    return np.clip((linear_prior.sample(1, seed=3)[0, 0].double().numpy() + 1) * 127.5, 0, 255)


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


def test_the_noise_is_that_of_the_compression_unless_given(linear_prior, drawn):
    """In the scan's own units: 4 per grey level of the file."""
    f = Jpeg(10)
    compressed = f.compress(drawn * 4, 0, 1020)
    problem = observe(compressed, f, linear_prior)
    true = error(compressed, drawn * 4) * problem.window.gain
    assert 0.5 * true < problem.noise["measured"] < 2 * true
    given = observe(compressed, f, linear_prior, noise_sigma=2.0)
    assert given.noise["measured"] == pytest.approx(2 * given.window.gain)
    hole = np.zeros((24, 24), bool)
    hole[8:12, 8:12] = True
    both = observe(compressed, Compose(Mask(hole), f), linear_prior)
    assert both.noise["measured"] > 0.3 * problem.noise["measured"] and ESTIMATED in both.notes


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


@pytest.fixture(scope="module")
def head(upright_images) -> np.ndarray:
    """(64, 64) grey levels of a head as the 64 px prior knows it, and not one that it was made from."""
    return ((upright_images(1, 64, seed=9)[0, 0].double().numpy() + 1) * 127.5).clip(0)


@pytest.fixture
def strokes() -> Mask:
    missing = np.zeros((64, 64), bool)
    missing[20:30, 24:36] = True
    return Mask(missing)


OWN = (1.5, 1.5)  # mm


@pytest.mark.parametrize("seed", [9, 10, 11, 12])
def test_a_registered_slice_on_the_priors_grid_stays_where_it_is(upright_prior, upright_images, strokes, seed):
    """With its pixel size too: catches a fit that moves it for a gain that is none."""
    image = ((upright_images(1, 64, seed=seed)[0, 0].double().numpy() + 1) * 127.5).clip(0)
    for spacing in (None, OWN):
        problem = observe(image, strokes, upright_prior, spacing=spacing)
        assert problem.frame.is_identity and not problem.fitted
        assert problem.alignment.rotation == 0 and problem.alignment.scale == pytest.approx(1)


def test_a_scan_on_the_priors_grid_is_turned_about(upright_prior, head, strokes):
    """Only where its pixel size is given: an image without one is the prior's own."""
    turned = head[::-1, ::-1]
    problem = observe(turned, strokes, upright_prior, spacing=OWN)
    assert problem.fitted and abs(problem.alignment.rotation) == pytest.approx(180, abs=3)
    as_it_is = observe(turned, strokes, upright_prior)
    assert as_it_is.frame.is_identity and not as_it_is.fitted
    unfitted = observe(turned, strokes, upright_prior, spacing=OWN, pose=False)
    assert unfitted.frame.is_identity and not unfitted.fitted


def test_coarse_pixels_of_the_priors_field_are_turned_about(upright_prior, head):
    """Four of the restored pixels in one: the refined grid is the prior's own."""
    for image, turn in ((head, 0), (head[::-1, ::-1], 180)):
        coarse = image.reshape(16, 4, 16, 4).mean(axis=(1, 3))
        problem = observe(coarse, Downsample(4), upright_prior, spacing=(6.0, 6.0))
        assert problem.fitted == bool(turn) and abs(problem.alignment.rotation) == pytest.approx(turn, abs=3)
        assert problem.frame.shape == (64, 64)


def test_a_given_alignment_is_taken_as_it_is(upright_prior, head, strokes):
    given = Alignment(row=1.5, column=-2.0, scale=1.1, rotation=31.0, low=4.0, high=240.0)
    for spacing in (None, OWN):
        problem = observe(head, strokes, upright_prior, spacing=spacing, alignment=given)
        assert problem.alignment == given and not problem.fitted
        assert problem.frame.rotation == 31 and (problem.window.low, problem.window.high) == (4, 240)


def test_the_priors_rotation_is_the_first_guess(upright_prior, head, monkeypatch):
    """Of a slice on other pixels, without a fit: catches a first guess that is laid upside down."""
    monkeypatch.setattr(upright_prior, "info", replace(upright_prior.info, rotation=180.0))
    wide = np.pad(head[::-1, ::-1], ((5, 9), (8, 2)))
    problem = observe(wide, Identity(), upright_prior, spacing=OWN, pose=False)
    assert problem.frame.rotation == 180 and not problem.fitted
    found = problem.frame.to_frame(torch.from_numpy(wide)[None, None].float())[0, 0].numpy()
    assert np.corrcoef(found.ravel(), head.ravel())[0, 1] > 0.9
