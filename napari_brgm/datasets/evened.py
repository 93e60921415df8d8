"""Stacks on one scale: slices of image sets were windowed one by one, and their neighbours do not have their grey.

    log g_(i+1) - log g_i = median log( x_(i+1) / x_i )      over pixels that are bright in both, without the outliers

A vessel that is bright in one slice darkens the whole of it, by up to a third. The mean of such slices is nothing that
a scanner could have measured, and no neighbour tells a slice's own scale. Scales are chained from slice to slice;
that of the median slice stays.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["evened", "scales"]

_BRIGHT = 40.0  # grey levels: tissue, and neither liquid nor border
_NEAR = 0.15  # of the logarithm: anatomy that changed is no scale


def scales(stack: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(Z,) scale of each slice of a stack (Z, H, W), grey levels 0..255; the median is 1."""
    x = np.asarray(stack, np.float64)
    steps = [0.0]
    for before, after in pairwise(x):
        bright = (before > _BRIGHT) & (after > _BRIGHT)
        if not bright.any():
            steps.append(0.0)
            continue
        ratio = np.log(after[bright] / before[bright])
        near = np.abs(ratio - np.median(ratio)) < _NEAR
        steps.append(float(np.median(ratio[near] if near.any() else ratio)))
    log = np.cumsum(steps)
    return np.asarray(np.exp(log - np.median(log)))


def evened(stack: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """A stack (Z, H, W), grey levels, with its slices on one scale; bright ones may go beyond 255."""
    return np.asarray(stack, np.float32) / scales(stack).astype(np.float32)[:, None, None]
