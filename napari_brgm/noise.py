"""Noise: how much of a slice is measurement noise, read off the slice itself.

    d = x * [1 -2 1; -2 4 -2; 1 -2 1] / 6,    sigma = median |d| / 0.6745    over the flattest tissue

The filter has unit gain for white noise and removes every a(row) + b(column), so smooth anatomy leaves little in d.
Edges are left out by their gradient, air by its brightness: for white noise both are uncorrelated with d (odd against
even, sum 0), so choosing by them does not bias sigma. Background that was set to a constant has no noise and does not
count.

References
----------
J. Immerkaer, "Fast noise variance estimation", CVIU 64(2), 1996, doi:10.1006/cviu.1996.0060 (the filter).
S.-C. Tai, S.-M. Yang, "A fast method for image noise estimation using Laplacian operator and adaptive edge detection",
ISCCSP 2008, doi:10.1109/ISCCSP.2008.4537384 (leaving out the edges).
D. L. Donoho, "De-noising by soft-thresholding", IEEE Trans. Inf. Theory 41, 1995, doi:10.1109/18.382009 (the median).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["estimate_noise_sigma"]

_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])
_MEDIAN_OF_NORMAL = 0.6744897501960817  # of |n|, n ~ N(0, 1)
_FLATTEST = 0.4  # share of the tissue that is kept
_DARK = 0.1  # of the grey range; darker neighbourhoods are air, where magnitude images have other noise
_ENOUGH = 64  # filter responses
_MOST = 1 << 21  # pixels that are looked at; of larger slices stripes, evenly spread
_STRIPE = 64  # rows


def estimate_noise_sigma(image: npt.ArrayLike, missing: npt.ArrayLike | None = None) -> float:
    """Estimate the standard deviation of additive white Gaussian noise.

    Parameters
    ----------
    image : (H, W) array-like
        A slice in any units. Values that are not finite count as missing.
    missing : (H, W) array-like of bool, optional
        True where a pixel is not measured.

    Returns
    -------
    float
        In the units of ``image``. Fine texture counts as noise; interpolation and lossy compression, which smooth
        noise, lower the estimate. 0 for an image without variation, or with less than 3 x 3 measured pixels.

    Raises
    ------
    InputError
        The image is not two-dimensional, or the mask has another shape.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 5, (128, 128))
    >>> round(estimate_noise_sigma(100 + noise), 1)
    5.0
    """
    given = np.asarray(image)
    if given.ndim != 2:
        raise InputError(f"the noise is estimated on a two-dimensional slice, got shape {given.shape}")
    hidden = np.zeros(given.shape, bool) if missing is None else np.asarray(missing, dtype=bool)
    if hidden.shape != given.shape:
        raise InputError(f"the mask has shape {hidden.shape}, but the slice {given.shape}")
    rows, first = _stripes(given.shape)
    values = np.asarray(given[rows], dtype=np.float64)
    measured = np.isfinite(values) & ~hidden[rows]
    measured[first] = False  # no neighbourhood reaches from one stripe into another
    if min(values.shape) < 3 or not measured.any():
        return 0.0
    values = np.where(measured, values, 0.0)

    box = np.ones((3, 3), dtype=bool)
    whole = ndimage.binary_erosion(measured, box)  # the filter sees measured pixels only
    flat = ndimage.maximum_filter(values, 3) == ndimage.minimum_filter(values, 3)
    background = ndimage.binary_dilation(flat & whole, box)  # all pixels of the flat neighbourhoods
    usable = whole & ~ndimage.binary_dilation(background, box)

    local_mean = ndimage.uniform_filter(values, 3)
    dark, bright = np.quantile(values[measured], (0.005, 0.995))
    tissue = usable & (local_mean > dark + _DARK * (bright - dark))
    chosen = next((where for where in (tissue, usable, whole) if where.sum() >= _ENOUGH), whole)
    if not chosen.any():
        return 0.0
    gradient = np.hypot(ndimage.sobel(values, axis=0), ndimage.sobel(values, axis=1))
    chosen &= gradient <= np.quantile(gradient[chosen], _FLATTEST)
    response = (
        ndimage.convolve1d(ndimage.convolve1d(values, _SECOND_DIFFERENCE, axis=0), _SECOND_DIFFERENCE, axis=1) / 6
    )
    return float(np.median(np.abs(response[chosen])) / _MEDIAN_OF_NORMAL)


def _stripes(shape: tuple[int, ...]) -> tuple[npt.NDArray[np.intp] | slice, npt.NDArray[np.intp]]:
    """Rows of a slice (H, W) that are looked at, and which of them begin a stripe after another."""
    height, width = shape
    count = max(_MOST // (_STRIPE * max(width, 1)), 1)
    if height * width <= _MOST or count * _STRIPE >= height:
        return slice(None), np.zeros(0, np.intp)
    begins = np.linspace(0, height - _STRIPE, count).astype(np.intp)
    return (begins[:, None] + np.arange(_STRIPE)).ravel(), np.arange(1, count) * _STRIPE
