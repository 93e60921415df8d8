"""Where a restoration is too uncertain, as regions with a smooth outline instead of speckle.

The width of the interval differs from pixel to pixel, most where it was estimated from a few draws. It is averaged over
the neighbourhood, within what was estimated; regions and gaps of a few pixels are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

if TYPE_CHECKING:
    Flags = npt.NDArray[np.bool_]

__all__ = ["INSIDE", "OUTLINE", "averaged", "finer_grid", "outlined", "too_wide"]

INSIDE, OUTLINE = 1, 2  # labels of a region, and of the line along its border
_SIGMA = 1.5  # pixels: standard deviation of the neighbourhood
_LEAST = 16  # pixels of a region, or of a gap in one
_PART = 0.1  # of what was estimated, where that is less
_FINE = 400  # pixels a side, from which a plane's own grid is fine enough for a smooth line
_FINEST = 3  # times the plane's grid


def averaged(width: npt.NDArray[Any], free: Flags) -> npt.NDArray[np.float32]:
    """(h, w): width of the interval over the neighbourhood of each pixel, within what is free; 0 far from it."""
    share = ndimage.gaussian_filter(free.astype(np.float32), _SIGMA)
    total = ndimage.gaussian_filter(np.where(free, width, 0).astype(np.float32), _SIGMA)
    return np.asarray(np.divide(total, share, out=np.zeros_like(total), where=share > 1e-3))


def too_wide(width: npt.NDArray[Any], free: Flags, limit: float, factor: int = 1) -> Flags:
    """(factor h, factor w): where the interval is wider than a limit, on the whole.

    Parameters
    ----------
    width : (h, w) array
        Of the interval, in the scan's units.
    free : (h, w) bool ndarray
        What was estimated; nothing else counts, nor is in a region.
    limit : float
    factor : int
        How much finer the regions are, along both axes.
    """
    mean, inside = averaged(width, free), free
    if factor > 1:
        mean, inside = _finer(mean, factor), np.repeat(np.repeat(free, factor, 0), factor, 1)
    least = int(min(_LEAST, _PART * np.count_nonzero(free)) * factor**2)
    wide = _without_small(inside & (mean > limit), least)
    return np.asarray(inside & ~_without_small(~wide, least))


def outlined(region: Flags, thick: int = 1) -> npt.NDArray[np.uint8]:
    """(h, w): labels of a region, its border inside of it ``thick`` pixels wide."""
    core = ndimage.binary_erosion(region, iterations=thick, border_value=1)
    return np.where(core, INSIDE, np.where(region, OUTLINE, 0)).astype(np.uint8)


def finer_grid(shape: tuple[int, ...]) -> int:
    """How much finer the regions of a plane have to be for their outline to look smooth."""
    return int(np.clip(np.ceil(_FINE / max(shape)), 1, _FINEST))


def _finer(plane: npt.NDArray[Any], factor: int) -> npt.NDArray[np.float32]:
    """The plane between the centres of its pixels, linearly."""
    for axis, length in enumerate(plane.shape):
        place = np.clip((np.arange(length * factor) + 0.5) / factor - 0.5, 0, length - 1)
        below = np.minimum(place.astype(int), max(length - 2, 0))
        above = np.minimum(below + 1, length - 1)
        part = (place - below).astype(np.float32)
        part = part[:, None] if axis == 0 else part
        plane = plane.take(below, axis) * (1 - part) + plane.take(above, axis) * part
    return plane


def _without_small(region: Flags, least: int) -> Flags:
    numbers, count = ndimage.label(region)
    if not count:
        return region
    keep = np.bincount(numbers.ravel()) >= least
    keep[0] = False
    return np.asarray(keep[numbers])
