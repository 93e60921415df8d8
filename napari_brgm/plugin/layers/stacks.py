"""Planes of a layer as a stack: how far apart they lie, and what was measured between and beside them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.engine.job import Later, Stack
from napari_brgm.plugin.layers.anatomy import spatial_axes
from napari_brgm.plugin.layers.planes import parallel_planes
from napari_brgm.plugin.layers.scans import scan_record, shown_affine
from napari_brgm.plugin.layers.shown import pixel_size, stored
from napari_brgm.scan import distance_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt
    from napari.layers import Image

    from napari_brgm.plugin.layers.shown import ShownSlice

__all__ = ["stack_of"]


def stack_of(image: Image, planes: Sequence[ShownSlice], spoilt: Collection[int] = ()) -> Stack | None:
    """How planes that are restored lie to each other.

    None where they do not lie one above the other at known distances: a single image, unknown spacing, several times,
    or slices that lean.

    Parameters
    ----------
    image : Image
    planes : sequence of ShownSlice
        Parallel, in the order of the slice axis.
    spoilt : collection of int
        Other slices that cannot be relied on.
    """
    like = planes[0]
    across = [axis for axis in spatial_axes(image) if axis not in (like.rows, like.columns)]
    if len(across) != 1:
        return None
    (axis,) = across
    others = {
        tuple(p for a, p in enumerate(plane.index) if a not in (axis, like.rows, like.columns)) for plane in planes
    }
    places = [place for plane in planes if isinstance(place := plane.index[axis], int | np.integer)]
    distance = _distance(image, axis, like)
    if distance is None or len(others) != 1 or sorted(set(places)) != places:
        return None
    clear = [i for i in range(stored(image).shape[axis]) if i not in {*places, *spoilt}]
    return Stack(
        tuple(distance * place for place in places),
        tuple((distance * i, Later(partial(_pixels, image, like, axis, i))) for i in clear),
    )


def _distance(image: Image, axis: int, like: ShownSlice) -> float | None:
    """Of neighbouring slices along their normal, mm.

    None where it is not known, or pixels of neighbours do not lie above each other in the scan that the layer
    shows, which stands upright on the screen even so.
    """
    size = pixel_size(image, axis, axis)
    if size is None or image.ndim < 3:
        return None
    if not scan_record(image):
        return size[0]
    axes = [one - image.ndim + 3 for one in (like.rows, like.columns, axis)]
    return distance_of(shown_affine(image)[:, [*axes, 3]])


def _pixels(image: Image, like: ShownSlice, axis: int, number: int) -> npt.NDArray[np.float32]:
    place = [number if a == axis else p for a, p in enumerate(like.index) if a not in (like.rows, like.columns)]
    (plane,) = parallel_planes(image, like, [[int(p) for p in place]])  # type: ignore[arg-type]
    return np.asarray(plane.image)
