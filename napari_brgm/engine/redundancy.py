"""Redundancy: how much of what a measured pixel says its measured neighbours say, too.

    s_i^2 = v sum_j r_ij m_j,   r_ij = exp(-pi d_ij^2 / A),   A = s_r^2 / v

What the generator cannot draw has the variance v of the residual field, and goes on over some pixels; as white noise it
counts with s_r^2, which was tuned where all around is measured (PriorInfo.representation_sigma): as much as A pixels
that err alike. A pixel by itself errs alone, with v, and those at the rim of a hole less alike than those far from it.
The sum over measured pixels m is what their errors add up to where they are averaged: the row sum of a covariance.

Source: variance of a mean of correlated observations; Cressie, "Statistics for Spatial Data" (1993), Sec. 1.3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["redundancy"]

_CUT = 3.0  # standard deviations of r


def redundancy(
    measured: npt.NDArray[np.bool_], area: float, pixel: tuple[float, float]
) -> npt.NDArray[np.float32] | None:  # fmt: skip
    """Share of s_r^2 that counts in each pixel; what lies beyond the image is taken as is what lies beside it.

    Parameters
    ----------
    measured : (h, w) bool ndarray
    area : float
        A in frame pixels.
    pixel : (float, float)
        Size of a pixel in frame pixels, rows and columns.

    Returns
    -------
    (h, w) float32 ndarray or None
        In (0, 1], where it was measured; None: 1 throughout.
    """
    if measured.all() or area <= pixel[0] * pixel[1]:
        return None
    near, whole = measured.astype(np.float32), np.ones(measured.shape, np.float32)
    for axis, size in enumerate(pixel):
        reach = math.sqrt(area / math.tau) / size
        lags = np.arange(-math.ceil(_CUT * reach), math.ceil(_CUT * reach) + 1)
        taps = np.exp(-0.5 * (lags / reach) ** 2).astype(np.float32)
        near, whole = (ndimage.correlate1d(x, taps, axis, mode="constant") for x in (near, whole))
    return np.where(measured, near / whole, 1)
