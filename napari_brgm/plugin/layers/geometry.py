"""Where a result lies: in the world of its source, whatever its grid. Nothing here adds a layer.

A pixel i' of a result grid that starts at index o of its source and is finer by f lies at (i' + 1/2) / f - 1/2 + o of
the source, so that edges stay and centres move:

    scale_out = scale_in / f
    translate_out = translate_in + rotate o shear (1/2 (scale_out - scale_in) + scale_in o)

inside the layer's affine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from napari_brgm.plugin.layers.shown import linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Layer

    from napari_brgm.plugin.layers.shown import ShownSlice

__all__ = ["Block", "geometry", "plane_data", "plane_geometry"]


def geometry(
    layer: Layer, *, start: npt.ArrayLike | None = None, factor: npt.ArrayLike | None = None, leading: int = 0
) -> dict[str, Any]:
    """Place a result in the world of its source: keyword arguments for a new layer.

    Parameters
    ----------
    layer : Layer
        The source; its scale, translate, rotate, shear, affine, units and axis labels are all carried over.
    start : (n,) array
        Source index at which the result begins, for each axis; default 0.
    factor : (n,) array
        Result pixels per source pixel, for each axis; default 1.
    leading : int
        Number of axes that the result has in front of those of its source.
    """
    n = layer.ndim
    finer = np.ones(n) if factor is None else np.asarray(factor, dtype=float)
    shift = (1 / finer - 1) / 2 + (0 if start is None else np.asarray(start))  # source index of the first pixel
    affine = np.asarray(layer.affine.affine_matrix, dtype=float)
    physical = np.linalg.solve(affine[:n, :n], linear(layer))  # rotate o shear o scale
    rotate, shear = np.eye(leading + n), np.eye(leading + n)
    rotate[leading:, leading:] = layer.rotate
    shear[leading:, leading:] = _square(np.asarray(layer.shear, dtype=float), n)
    outer = np.eye(leading + n + 1)
    outer[leading:, leading:] = affine
    labels = tuple(layer.axis_labels)
    return {
        "scale": np.concatenate([np.ones(leading), layer.scale / finer]),
        "translate": np.concatenate([np.zeros(leading), layer.translate + physical @ shift]),
        "rotate": rotate,
        "shear": shear,
        "affine": outer,
        "units": ("pixel",) * leading + tuple(layer.units),
        "axis_labels": ("sample",) * leading + labels,
    }


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """The part of a source that some parallel planes of it cover, on the grid of their results.

    Attributes
    ----------
    source : Image
    first : (n,) int array
        Index of its first pixel, as the planes count.
    factor : (n,) float array
        Result pixels per source pixel.
    shape : tuple of int
        Of the result, one length an axis of the source.
    """

    source: Image
    first: npt.NDArray[np.int_]
    factor: npt.NDArray[np.float64]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, source: Image, planes: Sequence[ShownSlice], size: tuple[int, int]) -> Self:
        """Span ``planes``, whose results have ``size`` (H', W') as shown."""
        first = planes[0]
        index = np.array([[0 if isinstance(i, slice) else i for i in shown.index] for shown in planes])
        begin = index.min(axis=0)
        shape = index.max(axis=0) - begin + 1
        shape[[first.rows, first.columns]] = size
        factor = np.ones(source.ndim)
        factor[first.thinner[0]] = first.thinner[1]
        factor[[first.rows, first.columns]] = np.array(size) / first.image.shape
        return cls(source, begin, factor, tuple(int(n) for n in shape))

    @property
    def start(self) -> npt.NDArray[np.float64]:
        """(n,): source index at which it begins."""
        return np.asarray(self.first / self.factor)

    def index(self, shown: ShownSlice) -> tuple[int | slice, ...]:
        """Where a plane lies in data of ``shape``."""
        pairs = zip(shown.index, self.first, strict=True)
        return tuple(i if isinstance(i, slice) else i - int(first) for i, first in pairs)

    def place(self, leading: int = 0) -> dict[str, Any]:
        """Keyword arguments for a layer of this block, with ``leading`` axes in front."""
        return geometry(self.source, start=self.start, factor=self.factor, leading=leading)

    def affine(self, affine: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Affine (4, 4) of the last three axes of the source, on this block's grid; a 2-D image has no slider axis."""
        shift = (1 / self.factor - 1) / 2 + self.start
        index = np.eye(4)
        axes = min(3, len(self.shape))
        index[range(3 - axes, 3), range(3 - axes, 3)] = 1 / self.factor[-axes:]
        index[3 - axes : 3, 3] = shift[-axes:]
        return np.asarray(affine) @ index


def plane_geometry(source: Image, shown: ShownSlice, shape: tuple[int, ...]) -> dict[str, Any]:
    """Place one plane (..., H', W'), as shown, over the slice it was computed from; see ``plane_data``."""
    return Block.of(source, [shown], (shape[-2], shape[-1])).place(len(shape) - 2)


def plane_data(source: Image, shown: ShownSlice, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn (..., H', W'), as shown, into the source's axes, with length 1 across the plane."""
    plane = shown.as_stored(image)
    across = tuple(axis - source.ndim for axis in range(source.ndim) if axis not in (shown.rows, shown.columns))
    return np.ascontiguousarray(np.expand_dims(plane, across))


def _square(shear: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """Shear as a matrix; napari keeps an upper triangular one as the vector of its elements."""
    if shear.ndim == 2:
        return shear
    matrix = np.eye(n)
    matrix[np.triu_indices(n, 1)] = shear
    return matrix
