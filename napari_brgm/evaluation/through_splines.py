"""Rivals of thin slices from thick ones: splines between their middles, and back-projection.

Source: Irani and Peleg, "Improving resolution by image registration", CVGIP 53, 1991.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    import numpy.typing as npt

    GreyStack = npt.NDArray[np.float32]

__all__ = ["interpolated", "projected"]

_ROUNDS = 10  # of back-projection; plain means are met after the first


def interpolated(thick: GreyStack, factor: int, order: int) -> GreyStack:
    """Thin slices (n factor, H, W) by splines of this order between the middles of thick ones (n, H, W)."""
    at = (np.arange(len(thick) * factor) + 0.5) / factor - 0.5
    inside = np.clip(at, 0, len(thick) - 1)
    rows = ndimage.map_coordinates(np.eye(len(thick)), np.meshgrid(inside, np.arange(len(thick)), indexing="ij"),
                                   order=order, mode="nearest") if order > 1 else None  # fmt: skip
    if rows is None:
        below = np.minimum(inside.astype(int), max(len(thick) - 2, 0))
        share = (inside - below)[:, None, None]
        above = np.minimum(below + 1, len(thick) - 1)
        return np.asarray((1 - share) * thick[below] + share * thick[above], np.float32)
    return np.asarray(np.einsum("ij,jhw->ihw", rows, thick), np.float32)


def projected(thin: GreyStack, thick: GreyStack) -> GreyStack:
    """Thin slices whose means are the thick ones, none below black."""
    factor = len(thin) // len(thick)
    x = thin.astype(np.float64)
    for _ in range(_ROUNDS):
        x = np.maximum(x, 0)
        means = x.reshape(len(thick), factor, *x.shape[1:]).mean(axis=1)
        x += np.repeat(thick - means, factor, axis=0)
    return np.asarray(x, np.float32)
