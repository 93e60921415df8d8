"""Misfit: how far the most probable image stays from the measured pixels, where it can be compared with held-out scans.

    r = y - f(G(w_MAP)),   misfit = rms(K r) / std(K y)     over measured tissue

K is a Gaussian of 1/32 of the generator frame (6 mm for a frame of 128 pixels of 1.5 mm): finer detail is lost by every
prior, and differs with the pixel size. It has no unit. A scan of another contrast, organ or pose cannot be followed at
this scale either; slices of held-out subjects stay below the prior's ``misfit_limit`` (evaluation/misfit.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.likelihood import Likelihood

__all__ = ["misfit_of", "unlike"]

_SHARE = 1 / 32  # of the frame's side: full width at half maximum of K
_TISSUE = 15.0  # grey levels: what is darker, seen and drawn, is background
_SEEN = 0.5  # of K's weight must lie on measured pixels


def misfit_of(likelihood: Likelihood, images: Tensor, resolution: int, pixel: tuple[float, float]) -> float:
    """Misfit of an image (1, C, R, R) in [-1, 1]; nan where no tissue was measured.

    Parameters
    ----------
    likelihood : Likelihood
    images : (1, C, R, R) Tensor
    resolution : int
        R.
    pixel : (float, float)
        Size of an observed pixel in frame pixels, rows and columns.
    """
    with torch.no_grad():
        left = likelihood.residual(images)[0].mean(dim=0).cpu().numpy().astype(np.float64)
    seen = likelihood.observation.measured[0, 0].cpu().numpy() > 0
    y = likelihood.y[0].mean(dim=0).cpu().numpy().astype(np.float64)
    sigma = [_SHARE * resolution / (8 * np.log(2)) ** 0.5 / size for size in pixel]
    weight = gaussian_filter(seen.astype(np.float64), sigma)

    def smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray(gaussian_filter(np.where(seen, values, 0.0), sigma) / np.maximum(weight, 1e-6))

    where = seen & ((y > _TISSUE) | (y - left > _TISSUE)) & (weight > _SEEN)
    if where.sum() < 2:
        return float("nan")
    spread = float(smooth(y)[where].std())
    return float(np.sqrt(np.square(smooth(left)[where]).mean())) / spread if spread > 0 else float("nan")


def unlike(misfit: float, limit: float) -> str:
    """What a person is told of a misfit above the limit, '' below it or where there is none.

    Examples
    --------
    >>> unlike(0.34, 0.25)
    'this scan is unlike what the prior knows: its misfit is 0.34, that of held-out slices at most 0.25'
    """
    if not (limit > 0 and misfit > limit):
        return ""
    return (
        f"this scan is unlike what the prior knows: its misfit is {misfit:.2f}, that of held-out slices at most "
        f"{limit:.2f}"
    )
