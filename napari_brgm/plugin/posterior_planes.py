"""The posterior of whole planes, in the axes of the run's layers: what maps and samples are made of.

Arrays are (h, w) as stored, their axes in the order of the layer's data; so a pixel of a map, of a layer and of the
data under the cursor has one index.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.plugin.posterior_at import PosteriorAt, enough, gaussian_above, gaussian_half, quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_brgm.plugin.outcome import RestoredPlane

__all__ = ["PlaneArrays", "PosteriorPlane", "forget_orders", "restored_plane", "usual_limit", "usual_threshold"]

Float = npt.NDArray[np.float32]
_MORE_THAN_DRAWN = 1.5  # a std that is so much above that of the draws says more than they do
_TURNED = 256  # pixels at a time, so that both sides stay in the cache: 5 times faster


@dataclass(frozen=True, slots=True, eq=False)
class PlaneArrays:
    """One plane in the scan's units.

    Attributes
    ----------
    estimate, mean, std : (h, w) ndarray
    measured : (h, w) bool ndarray
    samples : (S, h, w) ndarray or None
    """

    estimate: npt.NDArray[Any]
    mean: npt.NDArray[Any]
    std: Float
    measured: npt.NDArray[np.bool_]
    samples: npt.NDArray[Any] | None = None


class PosteriorPlane:
    """One restored plane of a run.

    Parameters
    ----------
    index : tuple of int or slice
        Where it lies in the data of the run's layers; two entries are slices.
    load : callable
        Gives its arrays; called once, when they are first needed.
    """

    def __init__(self, index: tuple[int | slice, ...], load: Callable[[], PlaneArrays]) -> None:
        self.index = index
        self._load = load
        self._width: tuple[float, Float] | None = None  # the last one, so that a limit moves quickly

    @cached_property
    def arrays(self) -> PlaneArrays:
        return self._load()

    @property
    def count(self) -> int:
        """Number of samples."""
        return 0 if self.arrays.samples is None else len(self.arrays.samples)

    @cached_property
    def free(self) -> npt.NDArray[np.bool_]:
        """(h, w): estimated, not measured."""
        return ~self.arrays.measured

    @cached_property
    def drawn(self) -> npt.NDArray[np.bool_]:
        """(h, w): estimated, and its spread is that of the samples; elsewhere mean and std say more than they do."""
        if self.arrays.samples is None:
            return np.zeros_like(self.free)
        return self.free & (self.arrays.std <= _MORE_THAN_DRAWN * _spread(self.arrays.samples))

    def find(self, data_index: Sequence[float]) -> tuple[int, int] | None:
        """Row and column of an index of the layer's data; None where it is not in this plane."""
        nearest = [int(np.floor(i + 0.5)) for i in data_index]
        if any(not isinstance(own, slice) and own != i for own, i in zip(self.index, nearest, strict=True)):
            return None
        row, column = (i for own, i in zip(self.index, nearest, strict=True) if isinstance(own, slice))
        height, width = self.arrays.estimate.shape
        return (row, column) if 0 <= row < height and 0 <= column < width else None

    def at(self, row: int, column: int) -> PosteriorAt | None:
        """The posterior of one pixel; None in a plane where nothing was estimated."""
        if not self.free.any():
            return None
        arrays, place = self.arrays, (row, column)
        samples = None if arrays.samples is None or not self.drawn[place] else np.array(arrays.samples[:, row, column])
        return PosteriorAt(
            float(arrays.estimate[place]),
            float(arrays.mean[place]),
            float(arrays.std[place]),
            samples,
            bool(arrays.measured[place]),
        )

    def above(self, threshold: float) -> Float:
        """(h, w): P(value > threshold); 0 or 1 where it was measured."""
        arrays = self.arrays
        result = (arrays.estimate > threshold).astype(np.float32)
        gaussian = self.free & ~self.drawn
        if gaussian.any():
            result[gaussian] = gaussian_above(arrays.mean[gaussian], arrays.std[gaussian], threshold)
        if arrays.samples is not None and self.drawn.any():
            count = np.zeros(result.shape, np.float32)
            for sample in arrays.samples:
                count += sample > threshold
            result[self.drawn] = count[self.drawn] / len(arrays.samples)
        return result

    def width(self, level: float) -> Float:
        """(h, w): width of the credible interval; 0 where it was measured. Not to be written to."""
        if self._width is not None and self._width[0] == level:
            return self._width[1]
        result = (2 * gaussian_half(level) * self.arrays.std).astype(np.float32)
        if enough(self.count, level) and self.drawn.any():
            ordered = _ordered(self)
            result[self.drawn] = quantile(ordered, (1 + level) / 2) - quantile(ordered, (1 - level) / 2)
        result[self.arrays.measured] = 0
        self._width = level, result
        return result

    def sample(self, number: int) -> Float:
        """(h, w): one of its samples; the estimate where there are none."""
        samples = self.arrays.samples
        return np.asarray(self.arrays.estimate if samples is None else samples[number % len(samples)], np.float32)


def restored_plane(plane: RestoredPlane) -> PosteriorPlane:
    """Turn a plane of an outcome, which is as shown, into the axes of its layers."""

    def load() -> PlaneArrays:
        result, stored = plane.result, plane.shown.as_stored
        arrays = (result.estimate, result.mean, np.sqrt(result.variance), result.measured, result.samples)
        return PlaneArrays(*map(stored, arrays))

    return PosteriorPlane(plane.index, load)


def usual_threshold(plane: PosteriorPlane) -> float:
    """A threshold to begin with: the median of what was estimated, background left out."""
    values = plane.arrays.estimate[plane.free] if plane.free.any() else plane.arrays.estimate
    low, high = float(values.min()), float(values.max())
    return float(np.median(values[values >= low + 0.1 * (high - low)]))


def usual_limit(plane: PosteriorPlane, level: float) -> float:
    """A limit of the interval's width to begin with: a tenth of what was estimated is wider."""
    return float(np.percentile(plane.width(level)[plane.free], 90)) if plane.free.any() else 0.0


def forget_orders() -> None:
    """Give back the memory of what was kept to move a level quickly."""
    _ordered.cache_clear()


@lru_cache(maxsize=4)  # 17 MB for 64 samples of 256 x 256 pixels
def _ordered(plane: PosteriorPlane) -> Float:
    """(n, S): the samples of each drawn pixel in ascending order."""
    samples = plane.arrays.samples
    assert samples is not None
    drawn = samples.reshape(len(samples), -1).take(np.flatnonzero(plane.drawn), axis=1)
    ordered = np.empty((drawn.shape[1], len(samples)), np.float32)
    for i in range(0, len(ordered), _TURNED):
        ordered[i : i + _TURNED] = np.ascontiguousarray(drawn[:, i : i + _TURNED]).T
    ordered.sort(axis=-1)
    return ordered


def _spread(samples: npt.NDArray[Any]) -> Float:
    """(h, w): standard deviation of samples (S, h, w)."""
    mean = samples.mean(axis=0, dtype=np.float32)
    total = np.zeros_like(mean)
    for sample in samples:
        total += np.square(sample - mean)
    return np.asarray(np.sqrt(total / len(samples)), np.float32)
