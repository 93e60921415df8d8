"""Grey levels of a volume: one window for all its slices, by the rule with which a scan is windowed for restoration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.engine.window import Window

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["RULE", "window_of"]

_AIR = -1000.0  # HU
_BRIGHT = 230.0  # of 255
_ENOUGH = 1 << 21  # values that fix a percentile
RULE = (
    "per volume: 0 is black (HU: -1000; other data with more than half a percent below 0: that half percent), the 99th "
    "percentile of the tissue is at 230/255 of white; values that are grey levels 0..255 already are kept"
)


def window_of(values: npt.NDArray[np.floating[Any]], units: str) -> Window:
    """Window of the chosen slices of one volume.

    Parameters
    ----------
    values : (N, H, W) ndarray
        What is not finite is passed over.
    units : str
        'HU' takes air as black; lower values are padding.
    """
    flat = values.reshape(-1)
    sample = flat[:: -(-flat.size // _ENOUGH) | 1]  # an odd step does not keep to one column
    sample = sample[np.isfinite(sample)].astype(np.float64)
    if not sample.size:
        return Window(0.0, 255.0)
    low = float(sample.min())
    if units == "HU":
        floor = _AIR
    elif low < 0 and np.percentile(sample, 0.5) >= 0:  # a few values below 0 are overshoot of a resampling
        floor = 0.0
    else:
        floor = min(low, 0.0)
    lifted = floor if units == "HU" else 0.0  # Window.of takes 0 as black only where nothing is below
    window = Window.of(np.maximum(sample, floor) - lifted, _BRIGHT)
    high = max(window.high, window.low + 1e-6 * max(1.0, abs(window.low)))  # an even volume stays black
    return Window(window.low + lifted, high + lifted)
