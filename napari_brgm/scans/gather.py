"""Voxels of a file, block by block, into an array of the smallest type that holds every one exactly.

float32, float64, and beyond 2^53 the file's own integers. At most that array and one block are in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import ScanError
from napari_brgm.lossless import holds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["gathered", "narrowed"]

_KINDS = (np.float32, np.float64, np.int64, np.uint64, np.longdouble)


def gathered(
    shape: tuple[int, ...], blocks: Callable[[], Iterable[tuple[Any, npt.NDArray[Any]]]], name: str
) -> npt.NDArray[Any]:
    """Array of this shape.

    Parameters
    ----------
    shape : tuple of int
    blocks : callable
        Gives all (place in the array, values), from the start whenever it is called. Floats keep at least their type.
    name : str
        Of the file, for the error.

    Raises
    ------
    ScanError
        No one type holds every voxel.
    """
    for kind in _KINDS:
        array: npt.NDArray[Any] = np.empty(shape, kind)
        for place, values in blocks():
            if not holds(kind, values):
                break
            array[place] = values
        else:
            return array
        del array  # before the next one is made
    raise ScanError(f"{name} mixes integers beyond 2^53 with fractions, which no number type holds; rescale it first")


def narrowed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same values as float32 where that is exact; else as they are."""
    with np.errstate(over="ignore"):
        small = values.astype(np.float32)
    return small if np.array_equal(small, values, equal_nan=True) else values
