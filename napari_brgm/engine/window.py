"""Window: a scan's units <-> grey levels 0..255, and where the anatomy lies in a slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Window", "foreground", "foreground_box"]

_LIFTED = 0.75  # of the bright tissue; where the darkest pixel is above it, something was added to all

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Window:
    """Affine map of real units to grey levels: ``low`` becomes 0 and ``high`` 255; nothing is clipped.

    Attributes
    ----------
    low, high : float
        In the scan's units.
    """

    low: float
    high: float

    @property
    def gain(self) -> float:
        """Grey levels in one unit."""
        return 255.0 / (self.high - self.low)

    def to_grey(self, values: FloatArray) -> FloatArray:
        return (values - self.low) * self.gain

    def from_grey(self, grey: FloatArray) -> FloatArray:
        return grey / self.gain + self.low

    @classmethod
    def of(cls, values: FloatArray, bright_level: float) -> Window:
        """Robust window of measured values (N,): the 99th percentile of the tissue goes to ``bright_level``.

        Black is 0 for images that are never negative (MR, X-ray); else, and where even the darkest are nearly as
        bright as tissue, so that something was added to all, the darkest half percent.

        Values that are grey levels already (within 0..255 and reaching at least 100) are taken as they are.
        """
        low, high = float(values.min()), float(values.max())
        tissue = values[values > low + 0.1 * (np.percentile(values, 99.5) - low)]
        bright = float(np.percentile(tissue if tissue.size else values, 99))
        if low >= 0 and bright >= 100 and high <= 255.5:
            return cls(0.0, 255.0)
        bottom = 0.0 if 0 <= low < _LIFTED * bright else float(np.percentile(values, 0.5))
        if not bright > bottom:  # all but a few pixels are alike
            bottom, bright = low, high
        return cls(bottom, bottom + (bright - bottom) * 255.0 / bright_level)


def foreground(image: FloatArray, measured: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Measured pixels (H, W) of tissue: above 15 % of the 99th percentile, from the darkest hundredth on."""
    low, high = np.percentile(image[measured], (1, 99))
    found: npt.NDArray[np.bool_] = (np.where(measured, image, low) - low > 0.15 * (high - low)) & measured
    return found


def foreground_box(image: FloatArray, measured: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Box of the head in pixel coordinates: (first row, last row, first column, last column), robust to specks.

    Source: the rows and columns that hold at least 2 % of their length in tissue.
    """
    tissue = foreground(image, measured)
    rows = np.flatnonzero(tissue.sum(axis=1) > 0.02 * image.shape[1])
    columns = np.flatnonzero(tissue.sum(axis=0) > 0.02 * image.shape[0])
    if not rows.size or not columns.size:
        return 0.0, image.shape[0] - 1.0, 0.0, image.shape[1] - 1.0
    return float(rows[0]), float(rows[-1]), float(columns[0]), float(columns[-1])
