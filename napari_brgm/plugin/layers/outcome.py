"""Outcome: what one run computed, kept by all of its layers, for whoever looks at the uncertainty or saves it.

A run is one group of layers: each carries the same ``Outcome`` in ``layer.metadata["brgm_outcome"]``, and its own
role in ``layer.metadata["brgm"]["role"]``. It goes when the last of its layers is deleted. Of a run that was read from
files its planes are read when they are looked at.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from napari_brgm.calibration import pack_widths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.layers import Layer

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.plugin.layers.shown import ShownSlice

__all__ = [
    "COVERED_KEY", "OUTCOME_KEY", "PINNED_KEY", "Outcome", "RestoredPlane", "as_stored", "in_gray", "kept_mean",
    "outcome_of", "probability_above",
]  # fmt: skip

OUTCOME_KEY = "brgm_outcome"
COVERED_KEY = "brgm_covered"  # there while a map of the inspector stands in for the layer, which it has hidden
PINNED_KEY = "brgm_pinned"  # index of the pixel that the inspector holds on to, in the layer's data
Float = npt.NDArray[np.float32]
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green, blue: YBR_FULL, DICOM PS3.3 C.7.6.3.1.2
_MORE_THAN_DRAWN = 1.5  # a std that is so much above that of the draws says more than they do


class RestoredPlane:
    """One restored plane of a run, in the axes of its layers: a pixel of it, of a map and of a layer has one index.

    Parameters
    ----------
    index : tuple of int or slice
        Where it lies in the data of the run's layers (without the axis of samples); two entries are slices.
    load : callable
        Gives its restoration, (h, w) or (h, w, 3) as stored; called once, when it is first needed. Colour is looked
        at ``in_gray``: the one value a pixel that a threshold and an interval are about.
    """

    def __init__(self, index: tuple[int | slice, ...], load: Callable[[], Restoration]) -> None:
        self.index = index
        self._load = load
        self._width: tuple[float, Float] | None = None  # the last one, so that a limit moves quickly

    @cached_property
    def result(self) -> Restoration:
        return in_gray(self._load())

    def looked_at(self) -> Restoration:
        """Its restoration; one that nobody has looked at is not kept, so that many can be gone through."""
        kept: Restoration | None = self.__dict__.get("result")
        return in_gray(self._load()) if kept is None else kept

    @cached_property
    def free(self) -> npt.NDArray[np.bool_]:
        """(h, w): estimated, not measured; nor missing outside a brain, without a number."""
        return np.asarray(~self.result.measured & np.isfinite(self.result.estimate))

    @cached_property
    def drawn(self) -> npt.NDArray[np.bool_]:
        """(h, w): estimated, and its spread is that of the samples; elsewhere mean and std say more than they do."""
        samples = self.result.samples
        if not len(samples):
            return np.zeros_like(self.free)
        mean = samples.mean(axis=0, dtype=np.float32)
        total = np.zeros_like(mean)
        for sample in samples:  # at once they would take as much memory again
            total += np.square(sample - mean)
        return np.asarray(self.free & (self.result.std <= _MORE_THAN_DRAWN * np.sqrt(total / len(samples))))

    def find(self, data_index: Sequence[float]) -> tuple[int, int] | None:
        """Row and column of an index of the layer's data; None where it is not in this plane."""
        nearest = [int(np.floor(i + 0.5)) for i in data_index]
        if any(not isinstance(own, slice) and own != i for own, i in zip(self.index, nearest, strict=True)):
            return None
        row, column = (i for own, i in zip(self.index, nearest, strict=True) if isinstance(own, slice))
        height, width = self.result.shape[:2]
        return (row, column) if 0 <= row < height and 0 <= column < width else None

    def at(self, row: int, column: int) -> Restoration | None:
        """One pixel, its arrays without rows and columns; None without a number, or where nothing was estimated.

        It has no samples where mean and std say more than they do.
        """
        if not (self.free.any() and np.isfinite(self.result.estimate[row, column])):
            return None
        pixel = self.result.turned(lambda array: np.asarray(array[..., row, column]))
        return pixel if self.drawn[row, column] else pixel.without_samples()

    def above(self, threshold: float) -> Float:
        """(h, w): P(value > threshold)."""
        return probability_above(self.result, threshold, self.drawn)

    def width(self, level: float) -> Float:
        """(h, w): width of the credible interval; 0 where it was measured. Not to be written to."""
        if self._width is None or self._width[0] != level:
            low, high = self.result.interval(level)
            self._width = level, high - low
        return self._width[1]

    def sample(self, number: int) -> Float:
        """(h, w): one of its samples; the estimate where there are none."""
        samples = self.result.samples
        return np.asarray(samples[number % len(samples)] if len(samples) else self.result.estimate, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A finished run.

    Attributes
    ----------
    run : str
        What tells it from other runs.
    task : str
        'in-paint', 'super-resolve' or 'clean'.
    source : str
        Name of the source layer.
    units : str
        Intensity units of the scan.
    planes : tuple of RestoredPlane
        At least one; parallel to each other.
    """

    run: str
    task: str
    source: str
    units: str
    planes: tuple[RestoredPlane, ...]


def outcome_of(layer: Layer | None) -> Outcome | None:
    """Give the outcome whose layer this is; None for others, and for files without a posterior."""
    return None if layer is None else layer.metadata.get(OUTCOME_KEY)


def as_stored(result: Restoration, shown: ShownSlice) -> Restoration:
    """Turn a restoration of a slice as shown into the axes of its layer, with what its files have to keep of it.

    Its record gets the widths turned alike and, of a hole, the mean, which lies beside a most probable image. Where
    every pixel is an estimate the mean would be as large as the image: samples or an interval keep it in files.
    """
    turned = in_gray(result).turned(shown.as_stored)
    record, calibration = dict(turned.provenance), turned.provenance.get("calibration")
    if turned.widths is not None and calibration:
        record["calibration"] = calibration | {"widths": pack_widths(turned.widths)}
    if turned.measured.any() and not np.array_equal(turned.mean, turned.estimate):
        mean = np.where(turned.variance > 0, turned.mean, np.nan).astype("<f4")
        record["mean"] = base64.b64encode(zlib.compress(mean.tobytes(), 9)).decode("ascii")
    return replace(turned, provenance=record)


def in_gray(result: Restoration) -> Restoration:
    """Give a restoration (H, W, 3) in colour by its luminance (H, W), in the same units; one of one channel as it is.

    Its spread and widths are those of channels that move together: no luminance of such channels spreads more.
    """
    if result.estimate.ndim < 3:
        return result
    estimate, mean, samples, std = (
        np.asarray(array @ _LUMINANCE, np.float32)
        for array in (result.estimate, result.mean, result.samples, result.std)
    )
    widths = result.widths
    if widths is not None:
        widths = np.divide((widths * result.std) @ _LUMINANCE, std, out=widths @ _LUMINANCE, where=std > 0)
    measured = result.measured if result.measured.ndim < 3 else np.asarray(result.measured.all(axis=-1))
    return replace(
        result, estimate=estimate, mean=mean, samples=samples, variance=np.square(std), measured=measured, widths=widths
    )  # fmt: skip


def kept_mean(record: Mapping[str, Any], estimate: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The mean (h, w) that a record keeps; None where it keeps none, or one of another shape."""
    try:
        packed = base64.b64decode(str(record.get("mean", "")), validate=True)
        data = zlib.decompressobj().decompress(packed, 4 * estimate.size + 1)
        mean = np.frombuffer(data, "<f4").reshape(estimate.shape)
    except (ValueError, zlib.error):
        return None
    return np.where(np.isfinite(mean), mean, estimate)


def probability_above(result: Restoration, threshold: float, drawn: npt.ArrayLike) -> Float:
    """P(value > threshold): the share of samples where they are ``drawn``, else a Gaussian's tail, or 0 or 1."""
    std, certain = result.std, result.estimate > threshold
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = np.where(std > 0, ndtr((result.mean - threshold) / std), certain)
    share = np.zeros(np.shape(std), np.float32)
    for sample in result.samples:
        share += sample > threshold
    return np.where(drawn, share / max(len(result.samples), 1), tail).astype(np.float32)
