"""Second scan: another scan of the same patient, which saw what is hidden in the first.

    y1 = A1 x + n1,    y2 = a A2 x + b + n2,    x = G(w) + e        one w and one e given both

It lies on the grid of the first (scans/resampled.py). Where the first was measured it says little more; elsewhere
(y2 - b) / a stands in as a measurement of its own noise. a and b are least squares of y2 against the first one near its
hole, as coils and contrast differ over a head; of y1 against y2 they would shrink what it says. n2 is what they differ
by there: noise of both, interpolation, a registration that is not quite right, what has changed. Such errors go on over
some pixels, so that as white noise it has their power at low frequencies:

    s2^2 = mean(d^2) sum_l max(rho_d(l), 0) over lags l of up to two pixels,    d = y1 - (y2 - b) / a

What has changed inside the hole alone nobody can tell from this.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["SecondScan"]

_NEAR = 16  # pixels from the hole that the two are compared in
_ENOUGH = 200  # of them
_TISSUE = 0.1  # of the first one's 99th percentile: what is darker in both is air, in which all scans agree
_ROUNDS, _FAR = 4, 3.0  # of the fit, which leaves out what is farther off than so many standard deviations
_LIKE = 0.5  # correlation with the first one, at least
_LAG = 2  # pixels


@dataclass(frozen=True, slots=True, eq=False)
class SecondScan:
    """A second scan in the units of the first.

    Attributes
    ----------
    image : ([K, ]H, W) float32 ndarray
        On the grid of the first, and matched to it; no number where it saw nothing.
    sigma : float
        Standard deviation of its noise, in the units of the first.
    gain, offset : float
        What its own values were multiplied by, and what was added.
    """

    image: npt.NDArray[np.float32]
    sigma: float
    gain: float
    offset: float

    @classmethod
    def matched(
        cls, second: npt.ArrayLike, first: npt.NDArray[Any], measured: npt.NDArray[np.bool_]
    ) -> SecondScan:  # fmt: skip
        """Match a scan to the first one.

        Parameters
        ----------
        second : ([K, ]H, W) array-like
            Of real numbers on the grid of the first, in its own units; no number where it saw nothing.
        first : ([K, ]H, W) ndarray
        measured : ([K, ]H, W) bool ndarray
            Where the first was measured.

        Raises
        ------
        InputError
            They do not lie on one grid, share too little near the hole, or do not look alike there.
        """
        image = np.asarray(second)
        if image.shape != first.shape or image.dtype.kind not in "biuf":
            raise InputError(
                f"the second scan must be real numbers on the grid of the first, {first.shape}, got {image.dtype} "
                f"{image.shape}; bring it there first (resampled_onto)"
            )
        image = image.astype(np.float32)
        seen, own = np.isfinite(image), np.asarray(first, np.float64)
        if not (seen & ~measured).any():
            raise InputError("the second scan saw nothing of what is hidden in the first; restore without it")
        both = measured & seen & np.isfinite(own)
        if np.count_nonzero(both) < _ENOUGH:
            raise InputError("the two scans share too few measured pixels to be compared; restore without the second")
        both &= _bright(own, both) | _bright(image, both)
        reach = (3,) * (own.ndim - 2) + (2 * _NEAR + 1,) * 2
        ring = both & ndimage.maximum_filter(~measured, reach, mode="constant")
        where = ring if np.count_nonzero(ring) >= _ENOUGH else both
        like = _likeness(image[where].astype(np.float64), own[where])
        if like < _LIKE:
            raise InputError(
                "the second scan does not look like the first near the hole: another contrast, patient or place, or "
                "0 in place of no number where it saw nothing; restore without it"
            )
        slope, start = _line(own[where], image[where].astype(np.float64))
        gain, offset = 1 / slope, -start / slope
        missed = np.where(where, own - (gain * np.where(seen, image, 0) + offset), 0.0)
        sigma = (float(np.square(missed[where]).mean()) * _together(missed, where)) ** 0.5
        return cls((gain * image + offset).astype(np.float32), sigma, gain, offset)

    def slice(self, i: int) -> SecondScan:
        """That of one slice of a volume."""
        return replace(self, image=self.image[i])


def _bright(values: npt.NDArray[Any], both: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    low, high = np.percentile(values[both], (0.5, 99))
    return np.asarray(values > low + _TISSUE * (high - low))


def _likeness(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    """Their correlation; 0 where one of them is constant."""
    spread = float(x.std() * y.std())
    return float(((x - x.mean()) * (y - y.mean())).mean()) / spread if spread > 0 else 0.0


def _line(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of y against x by least squares, without what is far off."""
    kept = np.ones(len(x), dtype=bool)
    gain, offset = 0.0, float(y.mean())
    for _ in range(_ROUNDS):
        spread = float(x[kept].var())
        gain = float(np.cov(x[kept], y[kept], bias=True)[0, 1] / spread) if spread > 0 else 0.0
        offset = float(y[kept].mean() - gain * x[kept].mean())
        missed = np.abs(y - gain * x - offset)
        kept = missed <= _FAR * max(float(np.sqrt(np.square(missed[kept]).mean())), 1e-12)
    return gain, offset


def _together(missed: npt.NDArray[np.float64], where: npt.NDArray[np.bool_]) -> float:
    """Sum of the correlations of what is missed with itself, by lag; 1 of white noise."""
    total, reach = 1.0, range(-_LAG, _LAG + 1)
    for lag in product(*(reach for _ in missed.shape)):
        if lag <= (0,) * missed.ndim:  # the others are the same
            continue
        shape = list(zip(missed.shape, lag, strict=True))
        if any(abs(step) >= n for n, step in shape):
            continue
        a, b = (tuple(slice(max(s * step, 0), n + min(s * step, 0)) for n, step in shape) for s in (1, -1))
        pairs = where[a] & where[b]
        if pairs.any():
            one, other = missed[a][pairs], missed[b][pairs]
            scale = float(np.sqrt(np.square(one).mean() * np.square(other).mean()))
            total += 2 * max(float((one * other).mean()) / scale, 0.0) if scale > 0 else 0.0
    return total
