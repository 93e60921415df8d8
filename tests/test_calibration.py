"""Conformal factors: their guarantee, their groups, and records that are refused."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from scipy.stats import norm

from napari_brgm.calibration import (
    LEVELS,
    Calibration,
    Curve,
    conformal_factors,
    half_width,
    interval,
    pack_widths,
    unpack_widths,
)
from napari_brgm.errors import InputError, WeightsError


@pytest.fixture
def calibration() -> Calibration:
    flat = Curve((0.01, 0.1), ((0.9, 0.9, 0.9, 0.9), (1.5, 1.5, 1.5, 1.5)))
    skewed = Curve((2.0, 8.0), ((1.2, 1.0, 0.8, 0.9), (1.2, 1.0, 0.8, 0.9)))
    air = Curve((0.05,), ((1.0, 0.6, 0.5, 0.45),))
    return Calibration(
        "toy", 10, 20, "default",
        {("map", "mask", "tissue"): flat, ("map", "mask", "air"): air, ("map", "downsample", "tissue"): skewed},
        {"mask": 0.85},
    )  # fmt: skip


def test_one_more_pixel_lies_inside_as_often_as_promised():
    """Split conformal: at least the level, and at most 1 / (N + 1) above it, whatever the distribution."""
    rng = np.random.default_rng(0)
    hits = np.zeros(len(LEVELS))
    trials = 4000
    for _ in range(trials):
        scores = rng.exponential(size=40) ** 1.5  # nothing like a Gaussian
        widths = np.array(conformal_factors(scores[:39])) * norm.ppf(0.5 + np.array(LEVELS) / 2)
        hits += scores[39] <= widths
    exact = np.ceil(40 * np.array(LEVELS) - 1e-9) / 40
    np.testing.assert_allclose(hits / trials, exact, atol=0.025)
    assert (exact >= np.array(LEVELS) - 1e-9).all()


def test_factors_of_a_gaussian_are_one_and_of_a_wider_truth_its_width():
    z = np.abs(np.random.default_rng(1).normal(size=200_000))
    np.testing.assert_allclose(conformal_factors(z), 1.0, rtol=0.01)
    np.testing.assert_allclose(conformal_factors(1.7 * z), 1.7, rtol=0.01)


def test_factors_stay_finite():
    """Certain pixels that are right (0) or wrong (infinity) leave factors that a file can hold."""
    assert conformal_factors(np.zeros(50)) == (0.01,) * 4
    assert conformal_factors(np.full(50, np.inf)) == (100.0,) * 4


def test_groups_interpolate_between_nodes_and_hold_beyond(calibration):
    at = np.array([[0.001, 0.01, np.sqrt(0.001), 0.1, 3.0]])
    widths = calibration.widths("map", "mask", at, np.full((1, 5), 100.0))
    np.testing.assert_allclose(widths[2] / norm.ppf(0.95), [[0.9, 0.9, 1.2, 1.5, 1.5]])
    assert widths.shape == (4, 1, 5)


def test_tissue_is_told_by_the_mean_and_air_falls_back_on_it(calibration):
    mean = np.array([[8.5, 8.0, 0.0]])
    widths = calibration.widths("map", "mask", np.full((1, 3), 0.01), mean)[2] / norm.ppf(0.95)
    np.testing.assert_allclose(widths, [[0.9, 0.5, 0.5]])
    widths = calibration.widths("map", "downsample", np.full((1, 3), 4.0), mean)[2] / norm.ppf(0.95)
    np.testing.assert_allclose(widths, [[0.8, 0.8, 0.8]])
    assert calibration.knows("map", "mask") and not calibration.knows("vi", "mask")


def test_widths_of_all_levels_are_ordered(calibration):
    """Between known levels too; catches a factor of one level that leaps at the next."""
    widths = calibration.widths("map", "downsample", np.array([4.0]), np.array([50.0]))
    found = [float(half_width(level, widths)[0]) for level in np.linspace(0.01, 0.999, 300)]
    assert (np.diff(found) > 0).all() and found[0] < 0.02
    for level, width in zip(LEVELS, widths, strict=True):
        assert half_width(level, widths)[0] == pytest.approx(width[0])
    assert half_width(0.9) == pytest.approx(1.6449, abs=1e-4)


def test_the_interval_is_the_gaussian_s_or_the_calibrated_one():
    """In the scan's units, of any level; catches a width that is taken for a factor."""
    mean, std = np.array([[10.0, -5.0]]), np.array([[2.0, 0.0]], np.float32)
    low, high = interval(mean, std, 0.95)
    np.testing.assert_allclose([low, high], [[[10 - 3.92, -5]], [[10 + 3.92, -5]]], atol=1e-3)
    assert low.dtype == high.dtype == np.float32
    widths = np.array([0.5, 1.0, 3.0, 4.0], np.float32).reshape(4, 1, 1) * np.ones((1, 2), np.float32)
    low, high = interval(mean, std, 0.9, widths)
    np.testing.assert_allclose(high - low, [[12, 0]], atol=1e-5)
    for level in (0, 1, -0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="level"):
            interval(mean, std, level)


@pytest.mark.parametrize("kinds", [1, 3, 300, 70_000])
def test_widths_survive_as_text(kinds):
    """Bit for bit, with few different pixels and with many; and it is text that a record can hold."""
    rng = np.random.default_rng(0)
    shape = (301, 240)
    palette = rng.uniform(0.01, 5, (4, kinds)).astype(np.float32)
    widths = palette[:, rng.integers(0, kinds, shape)]
    text = json.loads(json.dumps(pack_widths(widths)))
    found = unpack_widths(text, shape)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, widths)
    if kinds <= 3:
        assert len(text) < 40_000 + 100 * kinds
    runs = np.sort(widths.reshape(4, -1), axis=1)[:, ::-1].reshape(widths.shape)  # most pixels as the one before
    np.testing.assert_array_equal(unpack_widths(pack_widths(runs), shape), runs)
    for other in ((240, 300), (302, 240), (2, 2)):
        assert unpack_widths(text, other) is None


def test_text_that_holds_no_widths():
    """Of damaged or hostile files: None, and no more memory than the image asks for."""
    import base64
    import zlib

    good = pack_widths(np.full((4, 3, 2), 1.5, np.float32))
    cut = base64.b64encode(base64.b64decode(good)[:-9]).decode()
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000), 9)).decode()

    def packed(head, kinds, index):
        data = np.array(head, "<u4").tobytes() + np.array(kinds, "<f4").tobytes() + np.array(index, "<u2").tobytes()
        return base64.b64encode(zlib.compress(data)).decode()

    assert unpack_widths(packed([1, 2], [[1, 1, 1, 1]], [0] * 6), (3, 2)) is not None
    wrong = [
        "", "no base64!", None, 3, cut, bomb, good[:-4], packed([1, 2], [[1, 1, 1, 1]], [1] * 6),
        packed([1, 2], [[1, 1, 1, 1]], [0] * 5), packed([1, 2], [[1, np.nan, 1, 1]], [0] * 6),
        packed([1, 2], [[1, -1, 1, 1]], [0] * 6), packed([9, 2], [[1, 1, 1, 1]], [0] * 6),
        packed([1, 3], [[1, 1, 1, 1]], [0] * 6), packed([1, 0], [[1, 1, 1, 1]], [0] * 6),
    ]  # fmt: skip
    for text in wrong:
        assert unpack_widths(text, (3, 2)) is None


def test_json_gives_it_back(calibration):
    record = json.loads(json.dumps(calibration.to_dict()))
    assert Calibration.from_dict(record) == calibration
    del record["scales"]  # as records were written before there were any
    assert Calibration.from_dict(record).scales == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("levels",), [0.5, 0.9]),
        (("subjects",), 0),
        (("slices",), True),
        (("source",), None),
        (("preset",), 3),
        (("methods",), []),
        (("scales",), [0.9]),
        (("scales",), {"blur": 0.9}),
        (("scales",), {"mask": 0.0}),
        (("scales",), {"mask": float("nan")}),
        (("scales",), {"mask": "wide"}),
        (("methods", "map", "mask"), {"air": {"at": [1.0], "factors": [[1, 1, 1, 1]]}}),
        (("methods", "map", "blur"), {"tissue": {"at": [1.0], "factors": [[1, 1, 1, 1]]}}),
        (("methods", "map", "mask", "bone"), {"at": [1.0], "factors": [[1, 1, 1, 1]]}),
        (("methods", "map", "mask", "tissue", "at"), [0.1, 0.01]),
        (("methods", "map", "mask", "tissue", "at"), [0.0, 0.1]),
        (("methods", "map", "mask", "tissue", "at"), [0.1, float("nan")]),
        (("methods", "map", "mask", "tissue", "at"), []),
        (("methods", "map", "mask", "tissue", "factors"), [[1, 1, 1, 1]]),
        (("methods", "map", "mask", "tissue", "factors"), [[1, 1, 1], [1, 1, 1]]),
        (("methods", "map", "mask", "tissue", "factors"), [[1, 1, 1, 1], [1, -1, 1, 1]]),
        (("methods", "map", "mask", "tissue", "factors"), [[1, 1, 1, 1], [1, 1, 1, float("nan")]]),
        (("methods", "map", "mask", "tissue", "factors"), [[1, 1, 1, 1], [1, 1, 1e9, 1e9]]),
        (("methods", "map", "mask", "tissue", "factors"), [[1, 1, 1, 1], [1, 1, 1, 0.5]]),  # 95 % inside 90 %
        (("methods", "map", "mask", "tissue", "factors"), "wide"),
    ],
)
def test_malformed_records_are_refused(calibration, path, value):
    record = copy.deepcopy(calibration.to_dict())
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(WeightsError, match="calibration of a prior is malformed"):
        Calibration.from_dict(record)


@pytest.mark.parametrize("record", [None, [], "factors", {}, {"levels": 3}])
def test_what_is_no_record_is_refused(record):
    with pytest.raises(WeightsError, match="malformed"):
        Calibration.from_dict(record)


# slices restored together


@pytest.fixture
def of_stacks(calibration) -> Calibration:
    """Intervals three times as wide 4 mm from what was measured as 1 mm from it."""
    near, far = (Curve((0.1,), ((f, f, f, f),)) for f in (0.5, 1.5))
    more = {("map", "hole 4.0 mm", "tissue"): far, ("map", "hole 1 mm", "tissue"): near}
    return Calibration("toy", 10, 20, "default", {**calibration.curves, **more}, calibration.scales)


def test_between_distances_factors_are_interpolated_and_beyond_them_held(of_stacks):
    """Linear in the logarithm: 2 mm is half way from 1 to 4."""
    assert of_stacks.hole_tasks("map") == [(1.0, "hole 1 mm"), (4.0, "hole 4.0 mm")]
    assert of_stacks.hole_tasks("vi") == []
    distance = np.array([0.5, 1.0, 2.0, 4.0, 30.0])
    found = of_stacks.stack_widths("map", np.full(5, 0.1), distance, np.full(5, 100.0))
    np.testing.assert_allclose(found[2] / half_width(0.9), [0.5, 0.5, 1.0, 1.5, 1.5], rtol=1e-6)


def test_factors_of_stacks_outlive_their_record(of_stacks):
    again = Calibration.from_dict(json.loads(json.dumps(of_stacks.to_dict())))
    assert again.hole_tasks("map") == of_stacks.hole_tasks("map") and again.curves == dict(of_stacks.curves)


@pytest.mark.parametrize("task", ["hole", "hole 0 mm", "hole -1 mm", "hole 1 m", "hole x mm", "hole 1 mm "])
def test_distances_that_are_none_are_refused(of_stacks, task):
    record = of_stacks.to_dict()
    record["methods"]["map"][task] = record["methods"]["map"]["hole 1 mm"]
    with pytest.raises(WeightsError, match="is not known"):
        Calibration.from_dict(record)
