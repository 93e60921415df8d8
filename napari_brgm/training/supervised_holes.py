"""Holes to train a supervised rival on: the paper's masks, jittered; boxes; brush strokes; pixels missing at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_brgm.evaluation.masks import MASK_NAMES, brush_strokes, paper_mask

if TYPE_CHECKING:
    import numpy.typing as npt

    Hole = npt.NDArray[np.bool_]

__all__ = ["random_hole"]

_SHARES = (0.55, 0.15, 0.15, 0.15)  # masks, boxes, strokes, pixels
_SHIFT = 0.06  # of the side
_PIXELS = (0.3, 0.98)  # share missing


def random_hole(size: int, rng: np.random.Generator) -> Hole:
    """Draw a hole (size, size), true where missing; some pixels are, and some are not.

    Raises
    ------
    InputError
        The paper's masks do not fit: ``size`` does not divide 256.
    """
    kinds = (_mask, _boxes, _strokes, _pixels)
    while True:
        missing = kinds[int(rng.choice(len(kinds), p=_SHARES))](size, rng)
        if missing.any() and not missing.all():
            return missing


def _mask(size: int, rng: np.random.Generator) -> Hole:
    """One of the paper's, shifted; its edges at the border of the image stay there."""
    mask = paper_mask(int(rng.integers(len(MASK_NAMES))), size)
    most = round(_SHIFT * size)
    shift = rng.integers(-most, most + 1, size=2)
    moved = ndimage.shift(mask.astype(np.uint8), shift, order=0, mode="nearest", prefilter=False)
    return np.asarray(moved, dtype=np.bool_)


def _boxes(size: int, rng: np.random.Generator) -> Hole:
    """One to three, of a tenth to six tenths of the side."""
    missing = np.zeros((size, size), dtype=np.bool_)
    for _ in range(int(rng.integers(1, 4))):
        height, width = rng.integers(max(size // 10, 1), size * 6 // 10, size=2)
        row, column = rng.integers(0, size - height), rng.integers(0, size - width)
        missing[row : row + height, column : column + width] = True
    return missing


def _strokes(size: int, rng: np.random.Generator) -> Hole:
    return brush_strokes((size, size), int(rng.integers(2**31)), strokes=int(rng.integers(2, 7)))


def _pixels(size: int, rng: np.random.Generator) -> Hole:
    return rng.random((size, size)) < rng.uniform(*_PIXELS)
