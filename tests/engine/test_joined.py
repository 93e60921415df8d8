"""Slices of a volume become one restoration, each where it belongs, beside those that stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.corruptions import Mask
from napari_brgm.engine.joined import joined, outside_the_brain
from napari_brgm.engine.restoration import Restoration


@pytest.fixture
def volume() -> np.ndarray:
    found = np.random.default_rng(0).normal(100, 10, (4, 5, 6))
    found[0, 0, 0] = np.inf
    return found


@pytest.fixture
def missing() -> np.ndarray:
    """Of the first slice, which stays as it is, and of two that are restored."""
    found = np.zeros((4, 5, 6), dtype=bool)
    found[0, 1], found[1, 2:4], found[3, :, 2] = True, True, True
    return found


def restored(image, missing, drawn: int) -> Restoration:
    estimate = np.where(missing, 50.0, image)
    samples = np.stack([np.where(missing, 50.0 + k, image) for k in range(drawn)] or [image[:0]])[:drawn]
    record = {"window": {"low": 0.0, "high": 120.0}, "samples": drawn, "notes": [], "calibration": {}}
    variance = np.where(missing, 2.0 if drawn else np.nan, 0).astype(np.float32)
    latents = np.zeros((1, 2), np.float32)
    return Restoration(estimate, estimate, variance, samples.reshape(drawn, 5, 6), latents, ~missing, [], record)


@pytest.mark.parametrize("drawn", [3, 0])
def test_each_value_lies_in_its_slice(volume, missing, drawn):
    """Draws of what was left, too: catches values that are put together in another order than they are taken apart."""
    one, three = (restored(volume[i], missing[i], drawn) for i in (1, 3))
    found = joined(volume, Mask(missing), [one, three], [1, 3], 4)
    left = missing.copy()
    left[[1, 3]], left[0, 0, 0] = False, True
    np.testing.assert_array_equal(found.measured, ~(missing | left))
    for i, own in ((1, one), (3, three)):
        np.testing.assert_array_equal(found.estimate[i], own.estimate)
        np.testing.assert_array_equal(found.samples[:, i], own.samples.astype(np.float32))
    for image in (found.estimate, found.mean):
        np.testing.assert_array_equal(image[[0, 2]], volume[[0, 2]])
    assert found.samples.shape == (drawn, 4, 5, 6)
    for image in found.samples:
        np.testing.assert_array_equal(image[[0, 2]], volume[[0, 2]].astype(np.float32))
    np.testing.assert_array_equal(found.variance[left], 120**2 / 12 if drawn else np.nan)
    assert (found.variance[found.measured] == 0).all()


def test_what_was_left_is_named_in_the_record(volume, missing):
    one, three = (restored(volume[i], missing[i], 2) for i in (1, 3))
    (note,) = joined(volume, Mask(missing), [one, three], [1, 3], 4).provenance["notes"]
    assert note.startswith("what is missing of slice 0 lies outside the brain")
    missing[0] = False
    assert not joined(volume, Mask(missing), [one, three], [1, 3], 4).provenance["notes"]


@pytest.mark.parametrize(
    ("slices", "named"),
    [([4], "slice 4 "), ([0, 1], "slices 0, 1 "), ([0, 1, 2, 7, 9, 10, 11], "slices 0 to 2, 7, 9 to 11 ")],
)
def test_slices_in_words(slices, named):
    assert outside_the_brain(slices).startswith(f"what is missing of {named}lies")


def test_intervals_of_a_volume_are_calibrated_where_those_of_all_its_slices_are(volume, missing):
    one, three = (restored(volume[i], missing[i], 2) for i in (1, 3))
    one.provenance["calibration"] |= {"applied": True, "label": "calibrated"}
    three.provenance["calibration"] |= {"applied": False, "label": "not calibrated"}
    for results, places in (([one, three], [1, 3]), ([three, one], [1, 3])):
        assert joined(volume, Mask(missing), results, places, 4).provenance["calibration"]["label"] == "not calibrated"
