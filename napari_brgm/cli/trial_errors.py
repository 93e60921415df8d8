"""How far a restoration is from a truth that is known, as it is in a trial.

    RMSE = sqrt(mean (x - truth)^2)          PSNR = 20 log10(range of the truth / RMSE)          SSIM on that range

Source of SSIM: Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 13
(2004), Eq. 13, Gaussian window of 11 pixels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["errors_of", "errors_text"]

_WINDOW = 11  # pixels that SSIM needs along a side


def errors_of(
    restored: npt.NDArray[Any], truth: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None
) -> dict[str, float | None]:
    """Figures of one slice, JSON-ready.

    Parameters
    ----------
    restored, truth : (H, W) or (H, W, 3) ndarray
        In one unit.
    missing : (H, W) bool ndarray or None
        Pixels that were hidden; None: all were estimated.

    Returns
    -------
    dict
        'rmse' in that unit, 'psnr' in dB, 'ssim'; 'range' of the truth, which the last two refer to; 'rmse_hidden' of
        the hidden pixels. Pixels whose truth is not finite are left out. None where a figure is not defined (no error,
        a flat truth, an image below 11 pixels).
    """
    from napari_brgm.evaluation.metrics import ssim

    x, y = restored.astype(np.float64), truth.astype(np.float64)
    known = np.isfinite(y)
    squared = (x - y) ** 2
    rmse, low, high = _root_mean(squared[known]), float(y[known].min()), float(y[known].max())
    assert rmse is not None  # there is something to restore from
    span = high - low
    found: dict[str, float | None] = {
        "rmse": rmse,
        "psnr": 20 * math.log10(span / rmse) if rmse and span else None,
        "ssim": None,
        "range": span,
    }
    if span and known.all() and min(y.shape[:2]) >= _WINDOW:
        scaled = [255 * (image - low) / span for image in (x, y)]
        found["ssim"] = ssim(*(image if image.ndim == 2 else np.moveaxis(image, -1, 0) for image in scaled))
    if missing is not None:
        found["rmse_hidden"] = _root_mean(squared[missing][known[missing]])
    return found


def _root_mean(squared: npt.NDArray[np.float64]) -> float | None:
    return float(squared.mean() ** 0.5) if squared.size else None


def errors_text(figures: dict[str, float | None], units: str) -> str:
    """The same in words.

    Examples
    --------
    >>> errors_text({"rmse": 1.25, "psnr": 30.0, "ssim": None, "range": 40.0, "rmse_hidden": 5.0}, "HU")
    'RMSE 1.25 HU (5 HU in hidden pixels), PSNR 30.0 dB'
    """
    hidden = figures.get("rmse_hidden")
    parts = [
        f"RMSE {figures['rmse']:.4g} {units}" + ("" if hidden is None else f" ({hidden:.4g} {units} in hidden pixels)")
    ]
    if figures["psnr"] is not None:
        parts.append(f"PSNR {figures['psnr']:.1f} dB")
    if figures["ssim"] is not None:
        parts.append(f"SSIM {figures['ssim']:.3f}")
    return ", ".join(parts)
