"""Placed: slices on the prior's own grid and on others, given alignments, and how much of a pixel is noise."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Compose, Downsample, Identity, Jpeg, Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.checked import checked
from napari_brgm.engine.placed import PlacedSlice, noise_levels, placed
from napari_brgm.errors import Cancelled


@pytest.fixture
def strokes() -> Mask:
    missing = np.zeros((64, 64), bool)
    missing[20:30, 24:36] = True
    return Mask(missing)


OWN = (1.5, 1.5)  # mm


def put(image, corruption, prior, *, spacing=None, noise_sigma=None, **how) -> PlacedSlice:
    return placed(checked(image, corruption, prior, spacing, noise_sigma), prior, **how)


@pytest.mark.parametrize("seed", [9, 10, 11, 12])
def test_a_registered_slice_on_the_priors_grid_stays_where_it_is(upright_prior, upright_images, strokes, seed):
    """With its pixel size too: catches a fit that moves it for a gain that is none."""
    image = ((upright_images(1, 64, seed=seed)[0, 0].double().numpy() + 1) * 127.5).clip(0)
    for spacing in (None, OWN):
        found = put(image, strokes, upright_prior, spacing=spacing)
        assert found.frame.is_identity and not found.fitted
        assert found.alignment.rotation == 0 and found.alignment.scale == pytest.approx(1)


def test_a_scan_on_the_priors_grid_is_turned_about(upright_prior, head, strokes):
    """An image without a pixel size is the prior's own, but may be the way up in which radiologists look at it."""
    turned = head[::-1, ::-1]
    found = put(turned, strokes, upright_prior, spacing=OWN)
    assert found.fitted and abs(found.alignment.rotation) == pytest.approx(180, abs=3)
    as_shown = put(turned, strokes, upright_prior)
    assert as_shown.fitted and as_shown.alignment.rotation == -180
    assert (as_shown.alignment.row, as_shown.alignment.column, as_shown.alignment.scale) == (0, 0, 1)
    assert (as_shown.window.low, as_shown.window.high) == (put(head, strokes, upright_prior).window.low, 255)
    unfitted = put(turned, strokes, upright_prior, spacing=OWN, pose=False)
    assert unfitted.frame.is_identity and not unfitted.fitted


def test_a_large_picture_without_a_pixel_size_fills_the_frame(upright_prior, head, strokes):
    """Catches pixels taken for the prior's own, so that 2,048 of them are a head of two metres, fitted for minutes."""
    large = np.kron(head, np.ones((4, 4)))
    hole = Mask(np.kron(strokes.missing, np.ones((4, 4), bool)))
    found = put(large, hole, upright_prior)
    field = upright_prior.resolution * upright_prior.info.spacing_mm
    assert found.notes == [
        f"the pixel size is not known; the longer side is taken for the {field:g} mm that the prior knows"
    ]
    assert min(found.frame.ratio) == pytest.approx(0.25, rel=0.1)
    assert put(large, hole, upright_prior, spacing=(1.5 / 4, 1.5 / 4)).notes == []
    coarse = large.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    assert put(coarse, Downsample(4), upright_prior).frame.ratio == pytest.approx((0.25, 0.25), rel=0.1)
    near = np.pad(head, ((0, 30), (0, 0)))  # not large enough to say otherwise
    assert put(near, Mask(np.pad(strokes.missing, ((0, 30), (0, 0)))), upright_prior).notes == []


def test_coarse_pixels_of_the_priors_field_are_turned_about(upright_prior, head):
    """Four of the restored pixels in one: the refined grid is the prior's own."""
    for image, turn in ((head, 0), (head[::-1, ::-1], 180)):
        coarse = image.reshape(16, 4, 16, 4).mean(axis=(1, 3))
        found = put(coarse, Downsample(4), upright_prior, spacing=(6.0, 6.0))
        assert found.fitted == bool(turn) and abs(found.alignment.rotation) == pytest.approx(turn, abs=3)
        assert found.frame.shape == (64, 64)


def test_an_offset_of_all_pixels_is_told_of(upright_prior, head, strokes):
    """Catches it taken for tissue, which made any restoration nonsense."""
    scan = 10 * (head - np.percentile(head, 5)).clip(0)
    found = [
        placed(checked(image, strokes, upright_prior, (1.5, 1.5)), upright_prior, pose=False)
        for image in (scan, scan + 40_000)
    ]
    grey = [one.window.to_grey(np.array([0.0, 1000.0]) + 40_000 * i) for i, one in enumerate(found)]
    np.testing.assert_allclose(*grey, atol=1)
    assert [len(one.notes) for one in found] == [0, 1] and "40000, the darkest" in found[1].notes[0]


def test_a_given_alignment_is_taken_as_it_is(upright_prior, head, strokes):
    given = Alignment(row=1.5, column=-2.0, scale=1.1, rotation=31.0, low=4.0, high=240.0)
    for spacing in (None, OWN):
        found = put(head, strokes, upright_prior, spacing=spacing, alignment=given)
        assert found.alignment == given and not found.fitted
        assert found.frame.rotation == 31 and (found.window.low, found.window.high) == (4, 240)


def test_the_priors_rotation_is_the_first_guess(upright_prior, head, monkeypatch):
    """Of a slice on other pixels, without a fit: catches a first guess that is laid upside down."""
    monkeypatch.setattr(upright_prior, "info", replace(upright_prior.info, rotation=180.0))
    wide = np.pad(head[::-1, ::-1], ((5, 9), (8, 2)))
    found = put(wide, Identity(), upright_prior, spacing=OWN, pose=False)
    assert found.frame.rotation == 180 and not found.fitted
    moved = found.frame.to_frame(torch.from_numpy(wide)[None, None].float())[0, 0].numpy()
    assert np.corrcoef(moved.ravel(), head.ravel())[0, 1] > 0.9


def test_the_noise_is_that_of_the_compression_unless_given(linear_prior, drawn):
    """In the scan's own units: 4 per grey level of the file."""
    f = Jpeg(10)
    compressed = f.compress(drawn * 4, 0, 1020)
    found = put(compressed, f, linear_prior)
    true = float(np.sqrt(np.mean(np.square(compressed - drawn * 4)))) * found.window.gain
    assert 0.5 * true < found.noise.measured < 2 * true
    given = put(compressed, f, linear_prior, noise_sigma=2.0)
    assert given.noise.measured == pytest.approx(2 * given.window.gain)
    hole = np.zeros((24, 24), bool)
    hole[8:12, 8:12] = True
    both = put(compressed, Compose(Mask(hole), f), linear_prior)
    assert both.noise.measured > 0.3 * found.noise.measured


def test_noise_of_a_pixel_adds_up(linear_prior, scan):
    """Measured and of the generator, which averages over larger pixels; never less than rounding."""
    levels = noise_levels((2.0, 0.5), 3.0, linear_prior)
    assert (levels.measured, levels.representation) == (3.0, 6.0) and levels.pixel == pytest.approx(45**0.5)
    assert noise_levels((4.0, 4.0), 0.0, linear_prior).representation == pytest.approx(1.5)
    exact = copy.copy(linear_prior)
    exact.info = replace(linear_prior.info, representation_sigma=0.0)
    assert noise_levels((1.0, 1.0), 0.0, exact).pixel == 0.29
    coarse = put(scan.reshape(12, 2, 12, 2).mean(axis=(1, 3)), Downsample(2), linear_prior, noise_sigma=0.0)
    assert coarse.pixel == pytest.approx((2, 2)) and coarse.noise.representation == pytest.approx(3.0)


def test_texture_of_coarse_pixels_is_not_taken_for_noise(linear_prior):
    rough = np.random.default_rng(0).uniform(0, 1000, (12, 12))
    found = put(rough, Downsample(2), linear_prior)
    assert found.noise.measured <= 3.0 < put(np.kron(rough, np.ones((2, 2))), Identity(), linear_prior).noise.measured


def test_a_fit_can_be_ended(upright_prior, head, strokes):
    """Catches a pose whose search goes on after a person has cancelled."""
    asked = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Cancelled("enough")

    given = checked(np.pad(head, 5), strokes_of(head, strokes), upright_prior, OWN)
    with pytest.raises(Cancelled):
        placed(given, upright_prior, check=check)
    assert len(asked) == 3


def strokes_of(head: np.ndarray, strokes: Mask) -> Mask:
    return Mask(np.pad(strokes.missing.numpy(), 5))
