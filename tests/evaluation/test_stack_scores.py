"""Scores of restored stacks: their groups are those of the engine, and factors make shares what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.calibration import LEVELS
from napari_brgm.evaluation.stack_scores import StackScores, gathered_scores, stack_curves


def test_a_pixel_is_as_far_as_the_nearest_slice_in_which_it_was_measured():
    missing = np.zeros((7, 16, 16), dtype=bool)
    missing[2:5, 4:12, 4:12] = True
    missing[3, 0:2, 0:2] = True
    truth = np.full(missing.shape, 100.0)
    mean, std = truth + 6.0, np.full(missing.shape, 2.0)
    found = StackScores.of_hole(missing, 1.5, mean, std, truth, 1)
    where = np.argwhere(missing)
    expected = np.where(where[:, 0] == 3, 3.0, 1.5)
    expected[(where[:, 1] < 2)] = 1.5
    np.testing.assert_allclose(found.distance, expected)
    np.testing.assert_allclose(found.scores, 3.0)
    # deepest pixels: 4 from the rim of a square of 8, the corner of the frame 2
    np.testing.assert_allclose(found.at, np.where(where[:, 1] < 2, 2 / 16, 4 / 16))
    assert len(StackScores.of_hole(missing, 1.5, mean, std, truth, 5).scores) == -(-missing.sum() // 5)


def test_thin_slices_are_scored_in_tissue_by_the_thickness():
    mean = np.zeros((4, 8, 8))
    mean[:, 2:6, 2:6] = 90
    found = StackScores.of_thick(3.0, mean, np.ones(mean.shape), mean + 1, 1)
    assert len(found.scores) == 64 and (found.distance == 3).all() and found.thick


def test_saved_scores_come_back(tmp_path):
    found = StackScores.of_thick(3.0, np.full((2, 4, 4), 50.0), np.ones((2, 4, 4)), np.full((2, 4, 4), 52.0), 1)
    found.save(tmp_path / "a.npz")
    again = StackScores.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(again.scores, found.scores)
    assert again.thick is True


@pytest.fixture
def gathered():
    """Intervals too narrow by 2 next to what was measured, right 4 mm away, too wide by 2 in thin slices."""
    rng = np.random.default_rng(0)
    every = []
    for subject in range(6):
        n = 4000
        far = np.where(np.arange(n) % 2, 1.0, 4.0)
        scores = np.abs(rng.normal(size=n)) * np.where(far == 1, 2.0, 1.0)
        hole = StackScores(
            *(np.asarray(x, np.float32) for x in (np.full(n, 0.1), far, np.full(n, 90.0), scores)), False
        )
        thick = np.abs(rng.normal(size=n)) / 2
        ones = np.ones(n, np.float32)
        thin = StackScores(ones, 5 * ones, 90 * ones, thick.astype(np.float32), True)
        every += [("a hole", subject, hole), ("thin", subject, thin)]
    return gathered_scores(every)


def test_factors_are_those_of_each_distance(gathered):
    curves = stack_curves(gathered, set(range(6)))
    for key, factor in (("hole 1 mm", 2.0), ("hole 4.5 mm", 1.0), ("thick", 0.5)):
        curve = curves["map", key, "tissue"]
        np.testing.assert_allclose(curve.factors[0], [factor] * len(LEVELS), rtol=0.05)
    assert curves["map", "thick", "tissue"].at == pytest.approx((5.0,))


def test_random_halves_hold_what_they_promise(gathered):
    raw = gathered.coverage({}, set(range(6)))
    assert raw["a hole"] < 0.8 and raw["thin"] > 0.99
    for halves in gathered.halvings(10).values():
        assert halves.mean == pytest.approx(0.9, abs=0.01)
