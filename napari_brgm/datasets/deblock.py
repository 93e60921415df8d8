"""Smoothing of the 8 x 8 blocks of JPEG, so that no network takes them for anatomy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["deblocked"]

_SIDE = 8
_STEP = 10.0  # grey levels; a larger step at a block's border is an edge


def deblocked(images: npt.NDArray[np.number[Any]]) -> npt.NDArray[np.float32]:
    """Images (..., H, W) in grey levels as they came from JPEG, steps between blocks spread over four pixels.

    What is taken away is the part of the step that the slopes on both sides do not explain, where it is small.
    """
    rows = _along_columns(images.astype(np.float32)).swapaxes(-1, -2)
    return np.ascontiguousarray(_along_columns(rows).swapaxes(-1, -2))


def _along_columns(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    found = x.copy()
    at = np.arange(_SIDE, x.shape[-1] - 1, _SIDE)  # first column of each block but the first
    a, b, c, d = (x[..., at + k] for k in (-2, -1, 0, 1))
    step = (c - b) - ((b - a) + (d - c)) / 2
    step = step * (1 - np.minimum(np.abs(step) / _STEP, 1))
    for k, share in ((-2, 0.125), (-1, 0.375), (0, -0.375), (1, -0.125)):
        found[..., at + k] += np.float32(share) * step
    return found
