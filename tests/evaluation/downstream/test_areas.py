"""Areas of drawn heads and chests whose sizes are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.evaluation.downstream.areas import area_measure, lung_mask, ventricle_mask
from napari_brgm.evaluation.held_out import SETS

N = 128
ROWS, COLUMNS = np.mgrid[:N, :N]


def ellipse(row: float, column: float, high: float, wide: float) -> np.ndarray:
    return ((ROWS - row) / high) ** 2 + ((COLUMNS - column) / wide) ** 2 < 1


def head(radius: float, dark: float = 30.0) -> np.ndarray:
    """A brain with two ventricles, and a groove at its rim that is as dark."""
    image = np.where(ellipse(64, 64, 52, 42), 140.0, 0.0)
    for column in (56, 72):
        image[ellipse(60, column, radius, radius / 2)] = dark
    image[ellipse(64, 25, 12, 3)] = dark
    return image


@pytest.mark.parametrize("radius", [8.0, 14.0])
def test_ventricles_have_their_area_and_grooves_do_not_count(radius):
    truth = sum(int(ellipse(60, column, radius, radius / 2).sum()) for column in (56, 72))
    region = ventricle_mask(head(radius), 1.5)
    assert region.sum() == pytest.approx(truth, rel=0.12)
    assert not region[:, :32].any()


def test_brightness_does_not_matter_and_there_may_be_none():
    np.testing.assert_array_equal(ventricle_mask(head(10), 1.5), ventricle_mask(1.5 * head(10), 1.5))
    assert not ventricle_mask(head(10, dark=140.0), 1.5).any()
    assert not ventricle_mask(np.zeros((N, N)), 1.5).any()


def test_area_in_square_millimetres_holds_in_another_frame():
    coarse, fine = area_measure(SETS[0]), area_measure(SETS[1])
    assert (coarse.unit, coarse.pixel, fine.pixel) == ("mm²", 2.25, 1.0)
    image = head(12)
    stretched = np.kron(image, np.ones((2, 2)))  # 1.5 mm pixels as four of 0.75: the rule is told 1 mm
    assert fine(stretched) / fine.pixel == pytest.approx(4 * coarse(image) / coarse.pixel, rel=0.15)


def chest(lungs: float = 60.0, column: float = 38.0) -> np.ndarray:
    image = np.full((N, N), 200.0)
    for at in (column, N - column):
        image[ellipse(56, at, 30, 14)] = lungs
    return image


def test_lungs_have_their_area():
    truth = 100 * (chest() < 100).mean()
    assert area_measure(SETS[2])(chest()) == pytest.approx(truth, rel=0.1)


def test_a_chest_whose_fields_run_over_the_window_is_left_out():
    assert lung_mask(chest()).any() and not lung_mask(np.full((N, N), 90.0)).any()
    measure = area_measure(SETS[2])
    assert np.isnan(measure(np.full((N, N), 90.0)))
    assert np.isnan(measure(chest(column=20.0)))
