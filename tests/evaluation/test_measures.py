"""Figures of many rows, and differences that know how few witnesses they have."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation.grid_rows import grid_row

from napari_brgm.evaluation.grid.measures import difference, pooled, spread_of


def rows(method, values, subjects):
    return [
        grid_row(method=method, image=f"i{i}", subject=s, rmse=v)
        for i, (v, s) in enumerate(zip(values, subjects, strict=True))
    ]


def test_errors_are_pooled_as_squares_and_sharpness_as_a_share():
    two = [
        grid_row(rmse=3.0, mae=1.0, energy=1.0, true_energy=4.0),
        grid_row(rmse=4.0, mae=2.0, energy=3.0, true_energy=4.0),
    ]
    assert pooled(two, "rmse") == pytest.approx(12.5**0.5)
    assert pooled(two, "mae") == 1.5 and pooled(two, "sharpness") == 0.5
    assert pooled(two, "lpips") is None and spread_of(two, "rmse") == pytest.approx(0.5)


def test_a_difference_is_of_common_images_and_its_interval_of_subjects():
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(10), 5)
    level = rng.normal(20, 3, 10)[subjects]  # slices of a head are alike
    ours = rows("ours", level - 2 + rng.normal(0, 0.1, 50), subjects)
    other = rows("other", level, subjects)
    found = difference(ours, other[:40], "rmse")
    assert found.images == 40 and found.subjects == 8
    assert found.value == pytest.approx(-2, abs=0.1) and found.low < found.value < found.high < 0 and found.certain
    assert difference(ours, other, "rmse") == difference(ours, other, "rmse")  # seeded
    assert difference(ours, rows("other", [1.0], [0])[:0], "rmse") is None
    assert difference(ours, other, "lpips") is None


def test_many_slices_of_few_heads_are_no_certainty():
    """One head in four is far better, the rest a little worse: who counts slices is sure, who counts heads is not."""
    subjects = np.repeat(np.arange(4), 50)
    better = np.where(subjects == 0, 8.0, 10.3)
    found = difference(rows("ours", better, subjects), rows("other", np.full(200, 10.0), subjects), "rmse")
    assert not found.certain and found.subjects == 4
    alone = difference(
        rows("ours", better, np.arange(200)), rows("other", np.full(200, 10.0), np.arange(200)), "rmse"
    )  # fmt: skip
    assert alone.certain
