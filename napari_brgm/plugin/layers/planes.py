"""Parallel planes of a layer: those beside the one on the screen, those that a mask touches, and reformatted ones."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.anatomy import plane_of, spatial_axes, turned_radiological
from napari_brgm.plugin.layers.shown import ShownSlice, check_mask, pixel_size, stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    from napari.layers import Image, Labels

__all__ = ["all_planes", "masked_planes", "next_masked", "parallel_planes", "reformatted_planes", "thick_axis"]

_THICK = 1.2  # times the pixel size: what counts as thicker


def masked_planes(
    image: Image, labels: Labels, shown: ShownSlice, label: int | None = None
) -> list[tuple[ShownSlice, npt.NDArray[np.bool_]]]:
    """Planes parallel to the shown one that the mask touches, and the mask (H, W) on each, true where missing.

    ``label`` picks one of the labels; None: any.

    Raises
    ------
    InputError
        The labels are not on the image's grid, or nothing is painted on any plane.
    """
    flags, places = _painted(image, labels, shown, label)
    if not places:
        what = "nothing is painted" if label is None else f"the label {label} is not painted"
        raise InputError(f"{what} in '{labels.name}'; paint over what is to be restored")
    planes = parallel_planes(image, shown, places)
    return [(plane, np.array(plane.as_shown(np.asarray(flags[plane.index])), order="C")) for plane in planes]


def next_masked(
    image: Image, labels: Labels, shown: ShownSlice, label: int | None = None
) -> tuple[int | slice, ...]:  # fmt: skip
    """Data index of the next plane parallel to the shown one that the mask touches; after the last comes the first.

    Raises
    ------
    InputError
        As ``masked_planes``.
    """
    _, places = _painted(image, labels, shown, label)
    if not places:
        raise InputError(f"nothing is painted in '{labels.name}'; paint over what is to be restored")
    here = tuple(i for i in shown.index if not isinstance(i, slice))
    across = iter(next((place for place in places if place > here), places[0]))
    return tuple(i if isinstance(i, slice) else next(across) for i in shown.index)


def _painted(
    image: Image, labels: Labels, shown: ShownSlice, label: int | None
) -> tuple[Any, list[tuple[int, ...]]]:  # fmt: skip
    """Where the mask is painted, as data of the labels, and the places of such planes across the shown one."""
    check_mask(image, labels)
    painted = stored(labels)
    if not isinstance(painted, np.ndarray):
        import dask.array

        painted = dask.array.asarray(painted)  # of zarr too: chunk by chunk
    flags = painted > 0 if label is None else painted == label
    touched = np.asarray(flags.any(axis=tuple(sorted((shown.rows, shown.columns)))))
    places = np.argwhere(touched).tolist() if touched.ndim else ([()] if touched else [])
    return flags, [tuple(place) for place in places]


def all_planes(image: Image, shown: ShownSlice) -> list[ShownSlice]:
    """Every plane parallel to the shown one along the slice axis; a time axis stays where it is."""
    space = spatial_axes(image)
    shape = stored(image).shape
    ways = [
        range(shape[axis]) if axis in space else (position,)
        for axis, position in enumerate(shown.index)
        if not isinstance(position, slice)
    ]
    return parallel_planes(image, shown, list(product(*ways)))


def thick_axis(image: Image) -> tuple[int, float, float]:
    """Axis whose voxels are longest, their length, and the shortest side of a voxel, in mm (or the layer's units).

    Raises
    ------
    InputError
        The layer is no volume, or its voxels are cubes.
    """
    space = spatial_axes(image)
    if len(space) < 3:
        raise InputError(f"'{image.name}' is a single slice; choose a volume to restore through its slices")
    sides = {axis: _side(image, axis) for axis in space}
    thick = max(sides, key=lambda axis: sides[axis])
    finest = min(sides.values())
    if sides[thick] < _THICK * finest:
        raise InputError(f"the slices of '{image.name}' are as thin as its pixels; there is nothing to refine")
    return thick, sides[thick], finest


def reformatted_planes(
    image: Image, thick: int, plane: str, position: Sequence[int | slice], *, everywhere: bool = True
) -> list[ShownSlice]:
    """Planes that contain the thick axis, as radiologists look at them: those of ``plane`` where there are such.

    Parameters
    ----------
    thick : int
        Data axis across the thick slices.
    plane : str
        Anatomical plane that the prior knows ('axial', ...).
    position : sequence of int or slice
        Data index of the slice on the screen; its time is taken.
    everywhere : bool
        All of them; else the one at ``position``, or the middle one where that has no place across them.
    """
    from napari_brgm.engine.advice import same_plane

    others = [axis for axis in spatial_axes(image) if axis != thick]
    found = {axis: plane_of(image, thick, _other(others, axis)) or "" for axis in others}
    across = next((axis for axis in others if plane and same_plane(found[axis], plane)), others[0])
    rows, columns, flips = turned_radiological(image, thick, _other(others, across))
    like = ShownSlice(np.zeros((1, 1), np.float32), pixel_size(image, rows, columns), (), rows, columns, flips)
    index: list[int | slice] = [
        slice(None) if axis in (rows, columns) else position[axis] for axis in range(image.ndim)
    ]
    places = []
    count, here = stored(image).shape[across], position[across]
    for number in range(count) if everywhere else [count // 2 if isinstance(here, slice) else here]:
        index[across] = number
        places.append(tuple(i for i in index if not isinstance(i, slice)))
    return parallel_planes(image, like, places)


def parallel_planes(image: Image, like: ShownSlice, places: Iterable[Sequence[int]]) -> list[ShownSlice]:
    """Planes oriented like ``like`` at these positions on the other axes, each as many as there are such axes."""
    data = stored(image)
    planes = []
    for place in places:
        across = iter(place)
        index = tuple(
            slice(None) if axis in (like.rows, like.columns) else int(next(across)) for axis in range(image.ndim)
        )
        plane = np.asarray(data[index], dtype=np.float32)
        pixels = np.array(like.as_shown(plane), order="C")
        planes.append(ShownSlice(pixels, like.spacing, index, like.rows, like.columns, like.flips))
    return planes


def _side(image: Image, axis: int) -> float:
    size = pixel_size(image, axis, axis)
    return 1.0 if size is None else size[0]


def _other(axes: list[int], axis: int) -> int:
    return axes[1] if axis == axes[0] else axes[0]
