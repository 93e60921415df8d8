"""Resampling of one axis as a dense matrix K (n, N), float64: y = K x.

Geometry: the outer edges of the first pixels coincide, so the fine pixel i covers [i, i + 1] and the coarse pixel j is
centred at (j + 0.5) f, both in fine pixels. The rows of every matrix sum to 1.

References
----------
R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981,
doi:10.1109/TASSP.1981.1163711 (a = -1/2 unless said).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

__all__ = ["SIGMA_PER_FWHM", "bicubic", "bicubic_points", "reflected_gaussian", "reflected_index", "smoothed_box"]

Matrix = npt.NDArray[np.float64]

SIGMA_PER_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))
_NEGLIGIBLE = 1e-12  # a smaller weight is rounding


def _normalised(weights: Matrix) -> Matrix:
    weights[np.abs(weights) < _NEGLIGIBLE * np.abs(weights).max(axis=1, keepdims=True)] = 0.0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _edges(n: int, size: int, factor: float) -> Matrix:
    """Edges of the fine pixels seen from each coarse centre: (n, N + 1)."""
    return np.arange(size + 1.0)[None, :] - (np.arange(n)[:, None] + 0.5) * factor


def smoothed_box(n: int, size: int, factor: float, width: float, fwhm: float) -> Matrix:
    """Integrate over each fine pixel a box of ``width`` convolved with a Gaussian of ``fwhm``, both in coarse pixels.

    (1, 0) is the area average, (0, fwhm) a Gaussian, (thickness / spacing, fwhm) a slice profile.
    """
    half, sigma = width * factor / 2, fwhm * factor * SIGMA_PER_FWHM
    t = _edges(n, size, factor)  # (n, N + 1)
    if half == 0:
        return _normalised(np.diff(ndtr(t / sigma), axis=1))

    def ramp(t: Matrix) -> Matrix:  # integral of the step smoothed by the Gaussian
        if sigma == 0:
            return np.maximum(t, 0)
        return np.asarray(t * ndtr(t / sigma) + sigma * np.exp(-0.5 * (t / sigma) ** 2) / math.sqrt(2 * math.pi))

    return _normalised(np.diff(ramp(t + half) - ramp(t - half), axis=1) / (2 * half))


def bicubic(n: int, size: int, factor: float) -> Matrix:
    """Sample Keys' cubic (a = -1/2), stretched by the factor, at the fine centres; edge rows are renormalised."""
    t = np.abs(_edges(n, size, factor)[:, :-1] + 0.5) / factor
    near = (1.5 * t - 2.5) * t * t + 1
    far = ((-0.5 * t + 2.5) * t - 4) * t + 2
    return _normalised(np.where(t < 1, near, np.where(t < 2, far, 0.0)))


def bicubic_points(n: int, size: int, factor: float) -> Matrix:
    """Interpolate at the coarse centres by Keys' cubic with a = -3/4, four fine pixels each, edges repeated.

    No antialiasing: what lies between the four is not seen. It is ``torch.nn.functional.interpolate`` in mode
    'bicubic' with align_corners False, by which the BRGM authors' code makes its low resolution.
    """
    at = (np.arange(n) + 0.5) * factor - 0.5
    first = np.floor(at).astype(np.int64) - 1
    matrix = np.zeros((n, size))
    for tap in range(4):
        t = np.abs(at - (first + tap))
        near = (1.25 * t - 2.25) * t * t + 1
        far = ((-0.75 * t + 3.75) * t - 6) * t + 3
        np.add.at(matrix, (np.arange(n), np.clip(first + tap, 0, size - 1)), np.where(t < 1, near, far))
    return _normalised(matrix)


def reflected_index(size: int, margin: int) -> npt.NDArray[np.int64]:
    """Fold the indices -margin .. size + margin - 1 into 0 .. size - 1 (d c b a | a b c d)."""
    index = np.arange(-margin, size + margin, dtype=np.int64) % (2 * size)
    return np.minimum(index, 2 * size - 1 - index)


def reflected_gaussian(size: int, fwhm: float) -> Matrix:
    """Blur by a Gaussian of ``fwhm`` pixels, integrated over each pixel, with reflected edges: symmetric (N, N)."""
    if fwhm == 0:
        return np.eye(size)
    sigma = fwhm * SIGMA_PER_FWHM
    margin = math.ceil(7.5 * sigma) + 1  # the tail beyond is below 1e-13
    offset = np.arange(-margin, size + margin)[None, :] - np.arange(size)[:, None]  # (N, N + 2 margin)
    weights = ndtr((offset + 0.5) / sigma) - ndtr((offset - 0.5) / sigma)
    matrix = np.zeros((size, size))
    np.add.at(matrix.T, reflected_index(size, margin), weights.T)
    return _normalised((matrix + matrix.T) / 2)
