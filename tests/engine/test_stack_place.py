"""Intervals of slices that were restored together: which factor each pixel has, and what scaling leaves alone."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.calibration import Calibration, Curve
from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.volume import restore_volume
from napari_brgm.settings import preset

PLAIN = preset("default").but(steps=2)
MM = (1.0, 1.5, 1.5)
SCALE = 0.7  # of single slices
HERE = Alignment(0, 0, 1, 0, 0, 255)  # of the prior's own draws
HOLE = (slice(7, 17), slice(8, 18))


def flat(factor: float) -> Curve:
    return Curve((0.1,), ((factor,) * 4,))


@pytest.fixture(scope="module")
def curves():
    """Of tissue; in air half as wide."""
    holes = {"hole 1 mm": 0.5, "hole 2 mm": 1.0, "hole 4 mm": 2.0, "thick": 1.25}
    tissue = {("map", task, "tissue"): flat(factor) for task, factor in holes.items()}
    return tissue | {("map", task, "air"): flat(factor / 2) for task, factor in holes.items()}


@pytest.fixture(scope="module")
def prior(stack_prior, curves):
    known = copy.copy(stack_prior)
    plain = {("map", "mask", "tissue"): flat(1.0)}
    calibration = Calibration("toys", 7, 14, "default", plain | curves, {"mask": SCALE})
    known.info = replace(stack_prior.info, calibration=calibration)
    return known


def both(truth, corruption, prior, **more):
    """Without and with calibration."""
    given = {"spacing": MM, "samples": 6, "alignment": HERE} | more
    plain = restore_volume(truth, corruption, prior, settings=PLAIN.but(calibrate=False), **given)
    return plain, restore_volume(truth, corruption, prior, settings=PLAIN, **given)


def test_each_pixel_has_the_factor_of_its_distance_to_where_it_was_measured(prior, stack_of):
    """Of the pixel, not of the slice: a hole that moves from slice to slice is measured next to itself."""
    truth = stack_of(9, seed=3) + 40
    missing = np.zeros(truth.shape, dtype=bool)
    missing[(slice(3, 6), *HOLE)] = True
    missing[4, 2:5, 2:5] = True  # a hole of the middle slice alone
    plain, found = both(truth, Mask(missing), prior)
    np.testing.assert_array_equal(found.estimate, plain.estimate)
    np.testing.assert_array_equal(found.mean, plain.mean)
    ratio = np.divide(found.std, plain.std, out=np.ones_like(found.std), where=plain.std > 0)
    tissue = found.mean > 8
    for region, factor in (
        ((3, *HOLE), 0.5), ((4, *HOLE), 1.0), ((5, *HOLE), 0.5), ((4, slice(2, 5), slice(2, 5)), 0.5)
    ):  # fmt: skip
        assert tissue[region].mean() > 0.5
        np.testing.assert_allclose(ratio[region][tissue[region]], factor, rtol=2e-3)
        np.testing.assert_allclose(ratio[region][~tissue[region]], factor / 2, rtol=2e-3)
    assert (found.variance[~missing] == 0).all()
    assert found.provenance["calibration"]["applied"]
    assert "90 % intervals calibrated on 7 held-out subjects" in found.provenance["calibration"]["label"]


def test_slices_of_which_nothing_was_measured_have_factors_too(prior, stack_of):
    truth = stack_of(9, seed=3) + 40
    missing = np.zeros(truth.shape, dtype=bool)
    missing[3:6] = True
    plain, found = both(truth, Mask(missing), prior)
    tissue = found.mean[4] > 8
    np.testing.assert_allclose((found.std[4] / plain.std[4])[tissue], 1.0, rtol=2e-3)
    np.testing.assert_allclose((found.std[3] / plain.std[3])[found.mean[3] > 8], 0.5, rtol=2e-3)


def test_draws_of_thin_slices_still_agree_with_the_thick_ones(prior, stack_of):
    """One factor in tissue and air: catches one of each, with which sums of draws move."""
    truth, f = stack_of(12, seed=11), Downsample((3, 1, 1))
    seen = f(torch.from_numpy(truth)[None])[0].numpy()
    plain, found = both(seen, f, prior, spacing=(3.0, 1.5, 1.5))
    np.testing.assert_allclose(found.std, 1.25 * plain.std, rtol=2e-3, atol=1e-3)
    assert np.abs(f(torch.from_numpy(np.asarray(found.samples))).numpy() - seen).max() < 1e-2
    assert found.provenance["calibration"]["applied"]


def test_where_stacks_were_not_measured_the_scale_of_single_slices_serves_holes_alone(prior, stack_of):
    """And the label says so; of thin slices it would move their sums."""
    known = copy.copy(prior)
    assert prior.info.calibration is not None
    only = {key: curve for key, curve in prior.info.calibration.curves.items() if key[1] == "mask"}
    known.info = replace(prior.info, calibration=replace(prior.info.calibration, curves=only))
    truth, missing = stack_of(5, seed=3) + 40, np.zeros((5, 24, 24), dtype=bool)
    missing[(2, *HOLE)] = True
    plain, found = both(truth, Mask(missing), known)
    tissue = missing & (found.mean > 8)
    np.testing.assert_allclose((found.std / np.maximum(plain.std, 1e-6))[tissue], SCALE, rtol=2e-3)
    label = found.provenance["calibration"]["label"]
    assert label.startswith("intervals are not calibrated: it was not measured for slices that are restored together")
    f = Downsample((3, 1, 1))
    seen = f(torch.from_numpy(stack_of(12, seed=11))[None])[0].numpy()
    plain, found = both(seen, f, known, spacing=(3.0, 1.5, 1.5))
    np.testing.assert_array_equal(found.std, plain.std)


def test_coarse_pixels_of_a_stack_are_not_calibrated(prior, stack_of):
    f = Downsample((1, 2, 2))
    seen = f(torch.from_numpy(stack_of(5, seed=3))[None])[0].numpy()
    found = restore_volume(seen, f, prior, spacing=(1.0, 3.0, 3.0), samples=4, settings=PLAIN, alignment=HERE)
    assert not found.provenance["calibration"]["applied"]
    assert "coarse pixels of slices that are restored together" in found.provenance["calibration"]["label"]


@pytest.mark.parametrize("unseen", [2, 3])
def test_beside_a_second_scan_no_slice_claims_calibrated_intervals(prior, stack_of, unseen):
    """Nor one of which that scan saw nothing, and which its neighbours tell of; nor the volume, whichever is first."""
    truth = stack_of(6, seed=3) + 40
    missing = np.zeros(truth.shape, dtype=bool)
    missing[(slice(2, 4), *HOLE)] = True
    second = truth.copy()
    second[unseen] = np.nan
    _, found = both(truth, Mask(missing), prior, second=second)
    assert not found.provenance["calibration"]["applied"]
    assert "without a second one" in found.provenance["calibration"]["label"]
    assert found.widths is None
