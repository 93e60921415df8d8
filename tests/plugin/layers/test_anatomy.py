"""Axis names decide the anatomical plane: a slice must be known as the plane it is, and turned the usual way up."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from napari.layers import Image

from napari_brgm.plugin.layers.anatomy import (
    direction,
    orientation_fault,
    plane_of,
    spatial_axes,
    turned_radiological,
)
from napari_brgm.scan import Plane, Scan


def layer(*labels: str) -> Image:
    return Image(np.zeros((2,) * len(labels)), axis_labels=labels)


@pytest.mark.parametrize(
    ("label", "way"),
    [("A-P", "A-P"), ("s-i", "S-I"), ("-1", None), ("A-R", None), ("A-A", None), ("x", None), ("A_P", None)],
)
def test_direction_is_an_axis_of_the_patient_or_nothing(label: str, way: str | None) -> None:
    assert direction(layer(label, "x"), 0) == way


@pytest.mark.parametrize(
    ("labels", "axes"),
    [
        (("y", "x"), [0, 1]),
        (("Time", "I-S", "A-P", "R-L"), [1, 2, 3]),
        (("I-S", "A-P", "R-L", "t"), [0, 1, 2]),
        (("sample", "A-P", "R-L"), [1, 2]),
        (("-4", "-3", "-2", "-1"), [1, 2, 3]),
    ],
)
def test_time_and_samples_are_no_axes_of_space(labels: tuple[str, ...], axes: list[int]) -> None:
    assert spatial_axes(layer(*labels)) == axes


def test_plane_whatever_the_order_and_direction() -> None:
    volume = layer("S-I", "P-A", "L-R")
    expected = {(1, 2): "axial", (0, 2): "coronal", (0, 1): "sagittal"}
    for (one, other), plane in expected.items():
        assert plane_of(volume, one, other) == plane_of(volume, other, one) == plane
    assert plane_of(layer("I-S", "y", "x"), 1, 2) is None
    assert plane_of(layer("A-P", "P-A"), 0, 1) is None  # two names of one way


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_turned_as_radiologists_look_at_it(plane: Plane, order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    """Every order and direction of the three axes is turned into the picture that ``Scan.slice`` shows."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] * signs
    scan = Scan(np.random.default_rng(0).random((3, 4, 5)), affine)
    names = {(0, 1): "L-R", (0, -1): "R-L", (1, 1): "P-A", (1, -1): "A-P", (2, 1): "I-S", (2, -1): "S-I"}
    shown = Image(scan.array, axis_labels=[names[way] for way in zip(order, signs, strict=True)])
    one, other = (axis for axis in range(3) if order[axis] != {"axial": 2, "coronal": 1, "sagittal": 0}[plane])
    rows, columns, flips = found = turned_radiological(shown, other, one)
    image = np.moveaxis(scan.array, (3 - rows - columns, rows, columns), (0, 1, 2))[0]
    image = np.flip(image, [axis for axis, flip in enumerate(flips) if flip])
    np.testing.assert_allclose(image, scan.slice(plane, 0).image, rtol=1e-6)
    assert orientation_fault(shown, *found) == ""


def test_axes_without_names_stay_as_they_are() -> None:
    assert turned_radiological(layer("z", "y", "x"), 2, 0) == (0, 2, (False, False))
    assert orientation_fault(layer("z", "y", "x"), 2, 1, (True, True)) == ""


@pytest.mark.parametrize(
    ("rows", "columns", "flips", "fault"),
    [
        (1, 2, (False, False), ""),
        (1, 2, (True, False), "the slice is shown upside down"),
        (1, 2, (False, True), "the slice is shown mirrored"),
        (1, 2, (True, True), "the slice is shown upside down and mirrored"),
        (2, 1, (False, False), "the slice lies on its side"),
    ],
)
def test_what_is_wrong_with_a_view(rows: int, columns: int, flips: tuple[bool, bool], fault: str) -> None:
    assert orientation_fault(layer("I-S", "A-P", "R-L"), rows, columns, flips) == fault
