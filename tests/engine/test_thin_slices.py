"""Thin slices of thick ones: where they lie, and how much of each a thick one holds."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.corruptions import Downsample, Identity
from napari_brgm.engine.thin_slices import ThinSlices
from napari_brgm.errors import InputError


def test_outer_edges_coincide_and_thick_slices_are_means():
    thin = ThinSlices.of(3, 6.0, 4)
    stack = thin.stack()
    assert thin.count == 12 and stack.places == (0.0, 6.0, 12.0)
    np.testing.assert_allclose(stack.thin, -3 + 0.75 + 1.5 * np.arange(12))
    np.testing.assert_allclose(stack.profile @ stack.thin, stack.places)
    assert [thin.holder(i) for i in range(12)] == [0] * 4 + [1] * 4 + [2] * 4
    np.testing.assert_allclose(stack.profile, np.eye(3).repeat(4, axis=1) / 4)


def test_parts_of_slices():
    thin = ThinSlices.of(4, 5.0, 2.5)
    assert thin.count == 10 and thin.factor == 2.5
    np.testing.assert_allclose(thin.stack().thin[0], 5 * (0.5 / 2.5 - 0.5))
    assert [thin.holder(i) for i in range(10)] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(("thickness", "held"), [(None, 5), (5.02, 5), (3.0, 3), (7.0, 7)])
def test_gaps_and_overlap(thickness, held):
    """A slice of 3 mm in every 5 holds three of those of 1 mm, and knows nothing of the two in the gap."""
    profile = ThinSlices.of(3, 5.0, 5, thickness).stack().profile
    assert profile is not None
    np.testing.assert_allclose(np.sort(profile[1])[-held:], 1 / held)
    assert np.count_nonzero(profile[1]) == held


def test_records_say_all_that_happened():
    thin = ThinSlices.of(3, 5.0, 5, 3.0)
    assert thin.describe(Identity()) == {
        "name": "Downsample", "factor": [5.0, 1.0, 1.0], "kernel": "slice_profile", "width": 0.6, "fwhm": 0.0,
    }  # fmt: skip
    assert [part["factor"] for part in thin.describe(Downsample(2))["parts"]] == [[5.0, 1.0, 1.0], [2.0, 2.0]]


@pytest.mark.parametrize("factor", [1, 0.5, float("nan"), float("inf")])
def test_factors_that_cannot_be(factor):
    with pytest.raises(InputError, match="must be a number above 1"):
        ThinSlices.of(3, 5.0, factor)


@pytest.mark.parametrize("thickness", [0, -1, float("nan")])
def test_a_thickness_that_cannot_be(thickness):
    with pytest.raises(InputError, match="must be a length above 0 mm"):
        ThinSlices.of(3, 5.0, 5, thickness)


def test_more_thin_slices_than_memory_can_relate_are_refused():
    """Each of a window is related to each: 1,000 of a thick one had taken 13 GB before anything was asked."""
    ThinSlices.of(4, 4.0, 16)
    with pytest.raises(InputError, match="at most 16 thin slices of each thick one can be made, got 1000"):
        ThinSlices.of(4, 4.0, 1000)
    with pytest.raises(InputError, match="at most 16 thin slices"):
        ThinSlices(4, 4.0, Downsample((20, 1, 1)))
