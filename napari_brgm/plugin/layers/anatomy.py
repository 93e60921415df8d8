"""Which way a layer lies in the patient, by the names of its axes ('I-S', 'A-P', ...), as our readers write them.

axis label 'A-P': the index grows from anterior to posterior
radiological display: axial rows A-P, columns R-L; coronal rows S-I, columns R-L; sagittal rows S-I, columns A-P
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from napari_brgm.plugin.canvas.orientation import axis_way

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_brgm.scan import Plane

__all__ = ["RADIOLOGICAL", "direction", "orientation_fault", "plane_of", "spatial_axes", "turned_radiological"]

RADIOLOGICAL: dict[Plane, tuple[str, str]] = {
    "axial": ("A-P", "R-L"),
    "coronal": ("S-I", "R-L"),
    "sagittal": ("S-I", "A-P"),
}
_TIME = frozenset({"t", "time", "volume", "sample"})


def direction(layer: Layer, axis: int) -> str | None:
    """'A-P' and the like for a data axis; None where the layer does not say."""
    way = axis_way(layer.axis_labels[axis])
    return None if way is None else "-".join(way)


def spatial_axes(layer: Layer) -> list[int]:
    """Data axes that are not time: at most the last three."""
    axes = [axis for axis in range(layer.ndim) if str(layer.axis_labels[axis]).lower() not in _TIME]
    return axes[-3:]


def plane_of(layer: Layer, rows: int, columns: int) -> Plane | None:
    """Anatomical plane that two data axes span; None where the layer does not say."""
    ways = {frozenset(way[::2]) for axis in (rows, columns) if (way := direction(layer, axis))}
    for plane, wanted in RADIOLOGICAL.items():
        if ways == {frozenset(way[::2]) for way in wanted}:
            return plane
    return None


def turned_radiological(layer: Layer, one: int, other: int) -> tuple[int, int, tuple[bool, bool]]:
    """Rows, columns and flips that show the plane of two data axes as radiologists look at it.

    Axes without a name keep their order and direction.
    """
    plane = plane_of(layer, one, other)
    if plane is None:
        return min(one, other), max(one, other), (False, False)
    ways = {axis: cast("str", direction(layer, axis)) for axis in (one, other)}
    row_way, column_way = RADIOLOGICAL[plane]
    rows = next(axis for axis, way in ways.items() if frozenset(way[::2]) == frozenset(row_way[::2]))
    columns = other if rows == one else one
    return rows, columns, (ways[rows] != row_way, ways[columns] != column_way)


def orientation_fault(layer: Layer, rows: int, columns: int, flips: tuple[bool, bool]) -> str:
    """What is wrong with the way a plane is shown, '' if nothing or if the layer does not say.

    ``rows`` and ``columns`` are the axes along the screen's rows and columns, ``flips`` whether they run backwards.
    """
    plane = plane_of(layer, rows, columns)
    if plane is None:
        return ""
    right_rows, right_columns, right_flips = turned_radiological(layer, rows, columns)
    if (rows, columns) != (right_rows, right_columns):
        return "the slice lies on its side"
    wrong = [name for name, is_, ok in zip(("upside down", "mirrored"), flips, right_flips, strict=True) if is_ != ok]
    return f"the slice is shown {' and '.join(wrong)}" if wrong else ""
