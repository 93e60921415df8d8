"""Missing regions: the seven in-painting masks of the paper, and free-form brush strokes of our own.

Source: BRGM (arXiv 2012.04567), the in-painting table; its masks are boxes on a 256 x 256 grid.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import InputError

__all__ = ["MASK_NAMES", "brush_strokes", "paper_mask", "paper_masks"]

MASK_NAMES = ("right half", "left half", "two squares", "tall box", "quadrant", "wide box", "lower half")

# row0, row1, col0, col1 of the missing boxes on the 256 grid
_BOXES: tuple[tuple[tuple[int, int, int, int], ...], ...] = (
    ((0, 256, 128, 256),),
    ((0, 256, 0, 127),),
    ((104, 145, 70, 113), (104, 145, 142, 181)),
    ((47, 209, 130, 186),),
    ((0, 127, 128, 256),),
    ((155, 216, 72, 187),),
    ((126, 256, 0, 256),),
)


def paper_mask(number: int, size: int = 128) -> npt.NDArray[np.bool_]:
    """Mask ``number`` (0..6), true where missing: every (256 / size)-th row and column of the 256 grid.

    Raises
    ------
    InputError
        There is no such mask, or ``size`` does not divide 256.
    """
    if not 0 <= number < len(_BOXES):
        raise InputError(f"there is no mask {number}; choose 0 to {len(_BOXES) - 1}")
    if size < 1 or 256 % size:
        raise InputError(f"the masks live on a 256 grid; choose a size that divides 256, not {size}")
    full = np.zeros((256, 256), dtype=np.bool_)
    for row0, row1, col0, col1 in _BOXES[number]:
        full[row0:row1, col0:col1] = True
    step = 256 // size
    return full[::step, ::step].copy()


def paper_masks(size: int = 128) -> npt.NDArray[np.bool_]:
    """All seven, (7, size, size)."""
    return np.stack([paper_mask(number, size) for number in range(len(_BOXES))])


def brush_strokes(
    shape: tuple[int, int], seed: int, *, strokes: int = 4, width: tuple[float, float] = (0.03, 0.08)
) -> npt.NDArray[np.bool_]:
    """Free-form mask: random walks of a round brush, as a person would paint.

    Each stroke starts anywhere, makes 4 to 10 straight pieces of up to a quarter of the shorter side, and turns by up
    to 70 degrees between them.

    Parameters
    ----------
    shape : (H, W)
        Pixels.
    seed : int
        The same seed gives the same mask.
    strokes : int
        How many.
    width : (float, float)
        Range of the brush's diameter, as a fraction of the shorter side.

    Returns
    -------
    (H, W) ndarray of bool
        True where missing.
    """
    rng = np.random.default_rng(seed)
    height, columns = shape
    side = min(shape)
    rows, cols = np.ogrid[:height, :columns]
    missing = np.zeros(shape, dtype=np.bool_)
    for _ in range(strokes):
        here = rng.uniform((0.0, 0.0), (height, columns))  # (row, column)
        angle = rng.uniform(0.0, 2 * math.pi)
        radius = 0.5 * side * rng.uniform(*width)
        for _ in range(int(rng.integers(4, 11))):
            length = side * rng.uniform(0.08, 0.25)
            there = here + length * np.array([math.sin(angle), math.cos(angle)])
            missing |= _distance_squared(rows, cols, here, there) <= radius**2
            here = np.clip(there, 0.0, (height - 1, columns - 1))
            angle += rng.uniform(-1.0, 1.0) * math.radians(70)
    return missing


def _distance_squared(
    rows: npt.NDArray[np.int_], cols: npt.NDArray[np.int_], start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Squared distance of each pixel to the segment from ``start`` to ``end``, pixels squared."""
    along = end - start
    share = ((rows - start[0]) * along[0] + (cols - start[1]) * along[1]) / (along @ along)
    share = np.clip(share, 0.0, 1.0)
    distance: npt.NDArray[np.float64] = (rows - start[0] - share * along[0]) ** 2 + (
        cols - start[1] - share * along[1]
    ) ** 2
    return distance
