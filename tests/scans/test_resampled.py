"""A scan on the voxels of another one, by their affines."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from napari_brgm.errors import InputError
from napari_brgm.scan import Scan
from napari_brgm.scans.resampled import resampled_onto


@pytest.fixture(scope="module")
def scan() -> Scan:
    array = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(30, 34, 20)), 2).astype(np.float32)
    return Scan(array, np.diag([1.0, 1.0, 1.5, 1.0]), name="t1")


def turned(degrees: float, affine: np.ndarray) -> np.ndarray:
    turn = np.eye(4)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn[:2, :2] = [[c, -s], [s, c]]
    return turn @ affine


def test_on_its_own_voxels_it_is_itself(scan):
    np.testing.assert_allclose(resampled_onto(scan, scan).array, scan.array, atol=1e-6)


def test_there_and_back(scan):
    """Turned by 8 degrees; catches axes, half a voxel and what splines carry in from outside."""
    other = Scan(np.zeros(scan.shape, np.float32), turned(8, scan.affine))
    there = resampled_onto(scan, other)
    assert np.array_equal(there.affine, other.affine)
    assert 0.05 < np.isnan(there.array).mean() < 0.5
    back = resampled_onto(there, scan).array
    known = np.isfinite(back)
    assert known.mean() > 0.6
    assert np.sqrt(np.mean((back - scan.array)[known] ** 2)) < 0.05 * scan.array.std()


def test_finer_voxels_are_averaged(scan):
    """White noise of a finer scan comes out as of means over the coarser voxels."""
    fine = Scan(np.random.default_rng(1).normal(size=(120, 120, 8)).astype(np.float32), np.diag([0.25, 0.25, 1.5, 1]))
    coarse = Scan(np.zeros((26, 26, 6), np.float32), np.array(np.diag([1.0, 1, 1.5, 1])) + _at(2, 2, 1.5))
    found = resampled_onto(fine, coarse).array
    assert np.isfinite(found).all()
    assert found.std() < 0.35


def _at(*where: float) -> np.ndarray:
    found = np.zeros((4, 4))
    found[:3, 3] = where
    return found


def test_what_was_not_measured_stays_so(scan):
    missing = np.zeros(scan.shape, dtype=bool)
    missing[10:15, 10:15, 5:10] = True
    found = resampled_onto(scan, scan, missing).array
    assert np.array_equal(np.isnan(found), missing)
    np.testing.assert_allclose(found[~missing], scan.array[~missing], atol=0.05)


def test_a_single_slice_fills_its_thickness(scan):
    one = Scan(scan.array[:, :, 9:10], scan.affine + _at(0, 0, 9 * 1.5))
    found = resampled_onto(one, scan).array
    assert [bool(np.isfinite(found[:, :, k]).any()) for k in (8, 9, 10)] == [False, True, False]
    np.testing.assert_allclose(found[:, :, 9], scan.array[:, :, 9], atol=1e-5)


def test_places_that_do_not_meet_are_refused(scan):
    far = Scan(scan.array, scan.affine + _at(500, 0, 0))
    with pytest.raises(InputError, match="no place in common"):
        resampled_onto(far, scan)
    with pytest.raises(InputError, match="one volume of a series"):
        resampled_onto(Scan(scan.array[..., None].repeat(2, axis=3), scan.affine), scan)


@pytest.mark.parametrize("seed", range(4))
def test_a_repeat_on_the_same_oblique_voxels_is_seen_to_the_rim(scan, seed):
    """Also with a file's affine of 32 bits: rounding puts outermost voxels just outside, a whole slice of them."""
    turn = Rotation.random(random_state=seed).as_matrix()
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * [0.94, 0.94, 3.3], (-80.3, 31.7, 55.1)
    first = Scan(scan.array, affine)
    for same in (affine, affine.astype(np.float32).astype(float)):
        np.testing.assert_allclose(resampled_onto(Scan(scan.array, same), first).array, scan.array, atol=1e-4)
