"""Regions: what is invented, in the numbers that a clinic asks for, with intervals from the draws.

    m_k = mean of draw k over the region's pixels            measured pixels are the same in every draw
    v_k = volume of those pixels that lie above a threshold

Mean and standard deviation over k, and the central interval of a Student distribution, since draws are few. Draws are
calibrated pixel by pixel, not their sums: how errors of neighbouring pixels go together is the prior's word alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["UNCALIBRATED", "RegionDraws", "RegionFigure"]

UNCALIBRATED = "intervals of regions are not calibrated: they rest on how the prior's errors belong together"


@dataclass(frozen=True, slots=True)
class RegionFigure:
    """One number of a region.

    Attributes
    ----------
    quantity : str
        'mean', or 'volume above' a threshold.
    units : str
    value, std : float
        Mean and standard deviation over the draws.
    low, high : float
        Ends of the central interval.
    level : float
        Of it.
    pixels, synthetic : int
        Of the region, and those of them that were not measured.
    """

    quantity: str
    units: str
    value: float
    std: float
    low: float
    high: float
    level: float
    pixels: int
    synthetic: int


@dataclass(slots=True, eq=False)
class RegionDraws:
    """Draws of one region, gathered slice by slice.

    Attributes
    ----------
    units : str
        Of the intensities.
    above : float or None
        Threshold of the volume, in these units.
    """

    units: str
    above: float | None = None
    _sums: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    _volumes: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    _pixels: int = 0
    _synthetic: int = 0

    def add(
        self, images: npt.NDArray[Any], region: npt.NDArray[np.bool_], measured: npt.NDArray[np.bool_] | None,
        volume: float,
    ) -> None:  # fmt: skip
        """Add a slice.

        Parameters
        ----------
        images : (S, H, W) array-like
            Draws with the measured pixels, in the scan's units; (1, H, W): of a slice that was not restored.
        region : (H, W) bool ndarray
        measured : (H, W) bool ndarray or None
            None: all of it.
        volume : float
            Of a pixel, mm^3.

        Raises
        ------
        InputError
            The slices have different numbers of draws.
        """
        count = int(region.sum())
        if not count:
            return
        inside = np.stack([np.asarray(image)[region] for image in images]).astype(np.float64)  # (S, n)
        if len(inside) > 1 and len(self._sums) not in (1, len(inside)):
            raise InputError("the slices of the region have different numbers of draws; restore them in one run")
        self._sums = self._sums + inside.sum(axis=1)
        if self.above is not None:
            self._volumes = self._volumes + volume * (inside > self.above).sum(axis=1)
        self._pixels += count
        self._synthetic += 0 if measured is None else int((region & ~measured).sum())

    def figures(self, level: float = 0.9) -> list[RegionFigure]:
        """Mean, and volume above the threshold if there is one; none where the region is empty.

        Raises
        ------
        InputError
            The level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise InputError(f"level must lie between 0 and 1, for example 0.9; got {level}")
        if not self._pixels:
            return []
        found = [self._figure("mean", self.units, self._sums / self._pixels, level)]
        if self.above is not None:
            name = f"volume above {self.above:g} {self.units}"
            found.append(self._figure(name, "mm^3", self._volumes, level, least=0.0))
        return found

    def _figure(
        self, quantity: str, units: str, draws: npt.NDArray[np.float64], level: float, least: float = -math.inf
    ) -> RegionFigure:  # fmt: skip
        count = len(draws)
        value, std = float(draws.mean()), float(draws.std())
        wide = 0.0
        if count > 1:
            wide = float(student.ppf(0.5 + level / 2, count - 1)) * std * math.sqrt(1 + 1 / count)
        return RegionFigure(
            quantity, units, value, std, max(value - wide, least), value + wide, level, self._pixels, self._synthetic
        )
