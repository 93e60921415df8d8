"""Regions that are too uncertain: where the interval is wide on the whole, no speckle, nothing that was measured."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_brgm.plugin.uncertainty.outline import INSIDE, OUTLINE, averaged, finer_grid, outlined, too_wide

ALL = np.ones((64, 64), bool)


def noisy(seed: int = 0) -> np.ndarray:
    """Widths of some 100, and of some 200 in a disc of radius 12; each pixel is off by a fifth."""
    rows, columns = np.mgrid[:64, :64]
    mean = np.where((rows - 30) ** 2 + (columns - 34) ** 2 < 144, 200.0, 100.0)
    return mean * np.random.default_rng(seed).normal(1, 0.2, mean.shape)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_one_smooth_region_of_a_noisy_width(factor: int) -> None:
    wide = too_wide(noisy(), ALL, 150, factor)
    assert wide.shape == (64 * factor, 64 * factor)
    assert ndimage.label(noisy() > 150)[1] > 10  # speckle
    assert ndimage.label(wide)[1] == 1 and ndimage.label(~wide)[1] == 1
    assert wide.sum() / factor**2 == pytest.approx(np.pi * 144, rel=0.12)
    middle = (np.array(ndimage.center_of_mass(wide)) + 0.5) / factor - 0.5
    np.testing.assert_allclose(middle, (30, 34), atol=0.7)
    border = (wide & ~ndimage.binary_erosion(wide)).sum() / factor
    assert border < 1.2 * 2 * np.pi * 12


def test_what_was_measured_is_in_no_region_and_does_not_count() -> None:
    free = np.zeros((64, 64), bool)
    free[20:40, 20:40] = True
    width = np.where(free, 200.0, 0)
    np.testing.assert_array_equal(too_wide(width, free, 190), free)  # up to its rim
    np.testing.assert_allclose(averaged(width, free)[free], 200, rtol=1e-5)
    assert not too_wide(width, free, 210).any()
    assert not too_wide(np.full((64, 64), 1e9), np.zeros((64, 64), bool), 1).any()
    width[~free] = np.nan  # as of what is missing outside a brain
    np.testing.assert_array_equal(too_wide(width, free, 190), free)


def test_a_small_hole_has_small_regions() -> None:
    free = np.zeros((64, 64), bool)
    free[20:24, 20:24] = True
    np.testing.assert_array_equal(too_wide(np.full((64, 64), 5.0), free, 4, 2), np.kron(free, np.ones((2, 2))) > 0)


def test_a_higher_limit_holds_less() -> None:
    areas = [int(too_wide(noisy(), ALL, limit, 2).sum()) for limit in range(90, 220, 10)]
    assert areas == sorted(areas, reverse=True) and areas[0] > areas[-1]


def test_the_outline_is_the_rim_of_the_region() -> None:
    region = np.zeros((12, 12), bool)
    region[2:9, 3:12] = True  # reaches the end of the plane, where no line is
    labels = outlined(region, 2)
    np.testing.assert_array_equal(labels > 0, region)
    assert (labels[2:4, 3:] == OUTLINE).all() and (labels[4:7, 5:] == INSIDE).all()
    assert set(np.unique(outlined(np.zeros((5, 5), bool)))) == {0}


@pytest.mark.parametrize(("shape", "factor"), [((181, 217), 2), ((128, 128), 3), ((256, 256), 2), ((512, 512), 1)])
def test_fine_planes_keep_their_grid(shape, factor) -> None:
    assert finer_grid(shape) == factor
