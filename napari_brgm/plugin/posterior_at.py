"""What is believed about one pixel: estimate, spread, credible interval, P(value > threshold), and the sentence for it.

Of draws x_1 .. x_S the interval of level p is equal-tailed, between the quantiles (1 - p)/2 and (1 + p)/2 in their
median-unbiased form (Hyndman and Fan 1996, type 8: right for any distribution), as long as a draw lies beyond each end,
S (1 - p)/2 >= 1. Where draws are too few or absent it is that of a Gaussian, mean +- z std, as in
``Restoration.interval``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

__all__ = ["PosteriorAt", "decimals", "enough", "gaussian_above", "gaussian_half", "quantile", "words"]

Array = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class PosteriorAt:
    """The posterior of one pixel, in the scan's units.

    Attributes
    ----------
    estimate, mean, std : float
    samples : (S,) ndarray or None
        In the order they were drawn; None where only mean and std are known.
    measured : bool
        The estimate is the measured value: nothing about it is uncertain.
    """

    estimate: float
    mean: float
    std: float
    samples: Array | None = None
    measured: bool = False

    def counts(self, level: float) -> bool:
        """Whether the interval of this level comes from the draws; else it is a Gaussian's."""
        return self.samples is not None and not self.measured and enough(len(self.samples), level)

    def interval(self, level: float) -> tuple[float, float]:
        """Low and high end of the central credible interval."""
        if self.measured:
            return self.estimate, self.estimate
        if self.samples is not None and enough(len(self.samples), level):
            ordered = np.sort(self.samples)
            return float(quantile(ordered, (1 - level) / 2)), float(quantile(ordered, (1 + level) / 2))
        half = gaussian_half(level) * self.std
        return self.mean - half, self.mean + half

    def above(self, threshold: float) -> float:
        """P(value > threshold): the fraction of the draws, or a Gaussian's tail; 0 or 1 where it was measured."""
        if self.measured:
            return float(self.estimate > threshold)
        if self.samples is not None:
            return float((self.samples > threshold).mean())
        return float(gaussian_above(np.array(self.mean), np.array(self.std), threshold))


def enough(count: int, level: float) -> bool:
    """Whether so many draws have quantiles for an interval of this level: at least one beyond each end."""
    return count * (1 - level) / 2 >= 1 - 1e-9


def quantile(ordered: Array, q: float) -> Array:
    """Median-unbiased q-quantile along the last axis (..., S) of values in ascending order.

    Examples
    --------
    >>> float(quantile(np.array([1.0, 2.0, 3.0]), 0.5))
    2.0
    """
    count = ordered.shape[-1]
    place = min(max((count + 1 / 3) * q + 1 / 3 - 1, 0.0), count - 1.0)
    low = int(place)
    part = np.asarray(place - low, dtype=ordered.dtype)
    below, beyond = ordered[..., low], ordered[..., min(low + 1, count - 1)]
    return np.asarray(below + part * (beyond - below))


def gaussian_half(level: float) -> float:
    """Half the width of a Gaussian's interval of this level, in standard deviations."""
    return float(ndtri(0.5 + level / 2))


def gaussian_above(mean: Array, std: Array, threshold: float) -> Array:
    """P(value > threshold) of Gaussians; a std of 0 is a certain value."""
    with np.errstate(divide="ignore", invalid="ignore"):
        probability = ndtr((mean - threshold) / std)
    return np.where(std > 0, probability, mean > threshold)


def decimals(span: float) -> int:
    """Digits after the point for values that span so much: a thousandth of it.

    Examples
    --------
    >>> decimals(1000.0), decimals(1.0)
    (0, 3)
    """
    return min(max(3 - round(math.log10(span)), 0), 6) if math.isfinite(span) and span > 0 else 3


def words(pixel: PosteriorAt | None, level: float, units: str, digits: int) -> tuple[str, str]:
    """What to say of a pixel, in two lines: its value, and how far to trust it."""
    unit = f" {units}" if units else ""
    if pixel is None:
        return "outside what was restored", ""
    if pixel.measured:
        return f"measured: {pixel.estimate:.{digits}f}{unit}", "kept as it was; nothing is estimated here"
    low, high = pixel.interval(level)
    how = f"{len(pixel.samples)} samples" if pixel.counts(level) and pixel.samples is not None else "Gaussian"
    return (
        f"estimate {pixel.estimate:.{digits}f} ± {pixel.std:.{digits}f}{unit}",
        f"{100 * level:.0f} % interval {low:.{digits}f} … {high:.{digits}f} · {how}",
    )
