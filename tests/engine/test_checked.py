"""Checked: what of a slice was measured, what is kept, and a sentence where slice, corruption and prior do not suit."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.corruptions import Blur, Compose, Downsample, Grayscale, Identity, Jpeg, Mask
from napari_brgm.engine.checked import checked
from napari_brgm.errors import InputError


class Halves:
    """Another's operator: it says nothing but what it does."""

    def A(self, x):
        return x[..., ::2, ::2]

    def A_adjoint(self, y):
        return y.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2) / 4

    A_dagger = A_adjoint


def test_in_painting_keeps_what_is_not_hidden(linear_prior, scan, hole):
    found = checked(scan, Mask(hole), linear_prior)
    np.testing.assert_array_equal(found.seen, ~hole)
    np.testing.assert_array_equal(found.kept, ~hole)
    assert found.grid.fine == found.grid.plane == (24, 24) and found.values.shape == ((~hole).sum(),)


@pytest.mark.parametrize(
    "corruption", [Blur(2), Identity(), Jpeg(10), Compose(Mask(np.eye(24, dtype=bool)), Jpeg(10))], ids=repr
)
def test_what_was_changed_is_not_kept(linear_prior, scan, corruption):
    found = checked(scan, corruption, linear_prior)
    assert not found.kept.any() and found.seen.sum() == (24 * 23 if "Compose" in repr(corruption) else 24 * 24)


def test_two_masks_are_one(linear_prior, scan, hole):
    other = np.roll(hole, 5, axis=1)
    found, one = (checked(scan, f, linear_prior) for f in (Compose(Mask(hole), Mask(other)), Mask(hole | other)))
    np.testing.assert_array_equal(found.seen, one.seen)
    np.testing.assert_array_equal(found.kept, one.kept)


@pytest.mark.parametrize("corruption", [Downsample(2), Compose(Blur(1), Downsample(2)), Halves()])
def test_a_finer_grid(linear_prior, scan, corruption):
    found = checked(scan[::2, ::2], corruption, linear_prior)
    assert found.grid.plane == (12, 12) and found.grid.fine == (24, 24) and found.grid.factor == (2, 2)
    assert found.kept.shape == (24, 24) and not found.kept.any() and found.seen.shape == (12, 12)


def test_coarse_pixels_may_be_hidden(linear_prior, scan):
    """Super-resolution of an image with a hole of its own; NaN there is no fault."""
    missing = np.zeros((12, 12), bool)
    missing[3:6, 4:8] = True
    image = np.where(missing, np.nan, scan[::2, ::2])
    found = checked(image, Compose(Downsample(2), Mask(missing)), linear_prior)
    np.testing.assert_array_equal(found.seen, ~missing)
    assert not found.kept.any()


def test_types_are_kept_but_those_that_nothing_holds(linear_prior, scan, hole):
    for kind in ("uint8", "int16", "uint64", "float64", ">i2"):
        assert checked((scan / 4).astype(kind), Mask(hole), linear_prior).image.dtype == np.dtype(kind)
    for image in (scan.astype(np.float16), scan > 300):
        assert checked(image, Mask(hole), linear_prior).image.dtype == np.float32


def test_colour_by_what_the_corruption_sees(tiny_colour, scan):
    colour = np.stack([scan, 2 * scan, 3 * scan], axis=-1)
    assert checked(colour, Identity(), tiny_colour).values.shape == (576, 3)
    assert checked(scan, Grayscale(), tiny_colour).plane.shape == (24, 24)
    assert checked(scan[::2, ::2], Compose(Downsample(2), Grayscale()), tiny_colour).grid.fine == (24, 24)


@pytest.fixture
def tiny_colour(linear_prior):
    import torch

    from napari_brgm.priors.linear_gaussian import LinearGaussian

    return LinearGaussian(linear_prior.mean.repeat(3, 1, 1), torch.cat([linear_prior.basis] * 3, dim=1), 1e-3)


@pytest.mark.parametrize("corruption", [None, lambda x: x, "mask"])
def test_what_is_no_corruption(linear_prior, scan, corruption):
    with pytest.raises(InputError, match="is not a corruption: it lacks A"):
        checked(scan, corruption, linear_prior)


def test_the_masks_of_a_stack_are_not_one_slice_s(linear_prior, scan, hole):
    with pytest.raises(InputError, match="restore takes one slice"):
        checked(scan, Mask(np.stack([hole, hole])), linear_prior)
