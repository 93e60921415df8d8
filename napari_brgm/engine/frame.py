"""Frame: the native pixel grid of a slice <-> the generator's square frame, and its units <-> grey levels 0..255.

Centres, not corners, carry the geometry: native pixel i of an axis lies in frame pixels at

    p(i) = (i - c_native) * spacing / frame_spacing + c_frame

and, where the scan's anatomy is turned by an angle a against the prior's (anticlockwise as shown, rows downwards), the
offsets (d_r, d_c) from c_frame become (cos a d_r + sin a d_c, cos a d_c - sin a d_r).

Where native pixels are finer than the frame's, its image is interpolated linearly; where they are coarser, averaged
over the native pixel's box. Without a rotation both are one (N, R) matrix per axis, so the map and its adjoint are
exact; with one, the image is sampled once, at points that are made once (resample.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_brgm.engine.resample import Points, resampled, sampling_points
from napari_brgm.errors import InputError

__all__ = ["Frame", "Window", "foreground_box"]

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

        Black is 0 for images that are never negative (MR, X-ray), else the darkest half percent.

        Values that are grey levels already (within 0..255 and reaching at least 100) are taken as they are.
        """
        low, high = float(values.min()), float(values.max())
        tissue = values[values > low + 0.1 * (np.percentile(values, 99.5) - low)]
        bright = float(np.percentile(tissue if tissue.size else values, 99))
        if low >= 0 and bright >= 100 and high <= 255.5:
            return cls(0.0, 255.0)
        bottom = 0.0 if low >= 0 else float(np.percentile(values, 0.5))
        if not bright > bottom:  # all but a few pixels are alike
            bottom, bright = low, high
        return cls(bottom, bottom + (bright - bottom) * 255.0 / bright_level)


def foreground_box(image: FloatArray, measured: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """Box of the head in pixel coordinates: (first row, last row, first column, last column), robust to specks.

    Source: the rows and columns that hold at least 2 % of their length in tissue (above 15 % of the 99th percentile).
    """
    values = np.where(measured, image, 0.0)
    low = float(np.percentile(image[measured], 1))
    tissue = (values - low) > 0.15 * (np.percentile(image[measured], 99) - low)
    tissue &= measured
    rows = np.flatnonzero(tissue.sum(axis=1) > 0.02 * image.shape[1])
    columns = np.flatnonzero(tissue.sum(axis=0) > 0.02 * image.shape[0])
    if not rows.size or not columns.size:
        return 0.0, image.shape[0] - 1.0, 0.0, image.shape[1] - 1.0
    return float(rows[0]), float(rows[-1]), float(columns[0]), float(columns[-1])


@dataclass(frozen=True)
class Frame:
    """Geometry between a native grid and the generator frame.

    Attributes
    ----------
    shape : (int, int)
        Native rows and columns.
    resolution : int
        Side of the generator frame, R.
    ratio : (float, float)
        Native pixel size in frame pixels, rows and columns.
    centre_native, centre_frame : (float, float)
        A point of the native grid, in native pixel coordinates, and where it lies in the frame, in frame pixels.
    rotation : float
        Degrees by which the scan's anatomy is turned against the prior's, anticlockwise as shown, round that point.
    """

    shape: tuple[int, int]
    resolution: int
    ratio: tuple[float, float]
    centre_native: tuple[float, float]
    centre_frame: tuple[float, float]
    rotation: float = 0.0

    @classmethod
    def identity(cls, resolution: int) -> Frame:
        """The native grid is the generator frame."""
        return cls((resolution, resolution), resolution, (1.0, 1.0), (0.0, 0.0), (0.0, 0.0))

    def refined(self, shape: tuple[int, int], factor: tuple[float, float]) -> Frame:
        """The frame of a grid with ``factor`` times finer pixels over the same rectangle (outer edges coincide)."""
        ratio = (self.ratio[0] / factor[0], self.ratio[1] / factor[1])
        # A point at native pixel coordinate c lies at (c + 0.5) f - 0.5 of the finer grid: the half-pixel shift.
        row, column = ((c + 0.5) * f - 0.5 for c, f in zip(self.centre_native, factor, strict=True))
        return Frame(shape, self.resolution, ratio, (row, column), self.centre_frame, self.rotation)

    @property
    def is_identity(self) -> bool:
        return self == Frame.identity(self.resolution) or (
            self.shape == (self.resolution, self.resolution)
            and self.ratio == (1.0, 1.0)
            and self.rotation == 0
            and np.allclose(self.centre_native, self.centre_frame, atol=1e-9)
        )

    def into_frame(self, rows: Points | float, columns: Points | float) -> tuple[Points, Points]:
        """Frame pixels (rows, columns) of points in native pixel coordinates; arrays that broadcast."""
        cosine, sine = self._turn
        down = (rows - self.centre_native[0]) * self.ratio[0]
        right = (columns - self.centre_native[1]) * self.ratio[1]
        row, column = self.centre_frame
        return np.asarray(cosine * down + sine * right + row), np.asarray(cosine * right - sine * down + column)

    def out_of_frame(self, rows: Points | float, columns: Points | float) -> tuple[Points, Points]:
        """Native pixel coordinates (rows, columns) of points in frame pixels; arrays that broadcast."""
        cosine, sine = self._turn
        down, right = rows - self.centre_frame[0], columns - self.centre_frame[1]
        row, column = self.centre_native
        rows, columns = (cosine * down - sine * right) / self.ratio[0], (cosine * right + sine * down) / self.ratio[1]
        return np.asarray(rows + row), np.asarray(columns + column)

    @property
    def _turn(self) -> tuple[float, float]:
        angle = math.radians(self.rotation)
        return math.cos(angle), math.sin(angle)

    @cached_property
    def _native_points(self) -> tuple[Tensor, tuple[int, int]]:
        _check(self.shape, self.ratio)
        return sampling_points(self.shape, (self.resolution,) * 2, self.ratio, self.into_frame)

    @cached_property
    def matrices(self) -> tuple[Tensor, Tensor]:
        """Row (H, R) and column (W, R) matrices from the frame to the native grid, float32."""
        rows, columns = (
            _axis_matrix(n, self.resolution, ratio, native, frame)
            for n, ratio, native, frame in zip(
                self.shape, self.ratio, self.centre_native, self.centre_frame, strict=True
            )
        )
        return rows, columns

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """(H, W) True where a native pixel lies inside the frame (more than half of it)."""
        if self.is_identity:
            return np.ones(self.shape, dtype=bool)
        if self.rotation:
            whole = torch.ones(1, 1, self.resolution, self.resolution)
            seen: npt.NDArray[np.bool_] = self.to_native(whole)[0, 0].numpy() > 0.5
            return seen
        rows, columns = (m.sum(dim=1).numpy() > 0.5 for m in self.matrices)
        inside: npt.NDArray[np.bool_] = rows[:, None] & columns[None]
        return inside

    def to_native(self, grey: Tensor) -> Tensor:
        """Images (B, C, R, R) in grey levels on the native grid (B, C, H, W); 0 (air) outside the frame."""
        if self.is_identity:
            return grey
        if self.rotation:
            return resampled(grey, *self._native_points)
        rows, columns = (m.to(grey) for m in self.matrices)
        return rows @ grey @ columns.T

    def to_frame(self, native: Tensor) -> Tensor:
        """Images (B, C, H, W) of the native grid resampled to the frame (B, C, R, R); 0 outside the native grid."""
        if self.is_identity:
            return native
        if self.rotation:
            _check(self.shape, self.ratio)
            pixel = (1 / self.ratio[0], 1 / self.ratio[1])
            points = sampling_points((self.resolution,) * 2, self.shape, pixel, self.out_of_frame)
            return resampled(native, *points)
        rows, columns = (
            _axis_matrix(self.resolution, n, 1 / ratio, frame, own).to(native)  # the same map, the other way round
            for n, ratio, own, frame in zip(self.shape, self.ratio, self.centre_native, self.centre_frame, strict=True)
        )
        return rows @ native @ columns.T

    def describe(self) -> dict[str, Any]:
        """Plain values, for provenance."""
        return {
            "shape": list(self.shape), "resolution": self.resolution, "ratio": list(self.ratio),
            "centre_native": list(self.centre_native), "centre_frame": list(self.centre_frame),
            "rotation": self.rotation,
        }  # fmt: skip


def _check(shape: tuple[int, int], ratio: tuple[float, float]) -> None:
    for n, r in zip(shape, ratio, strict=True):
        if n < 1 or not r > 0:
            raise InputError(f"a grid of {n} pixels with pixel size {r} cannot be mapped to the generator frame")


def _axis_matrix(n: int, size: int, ratio: float, native: float, frame: float) -> Tensor:
    """(n, size) weights of frame pixels in native pixels of an axis."""
    _check((n, n), (ratio, ratio))
    centres = (np.arange(n)[:, None] - native) * ratio + frame  # (n, 1), frame pixels
    pixels = np.arange(size)[None]  # (1, size)
    if ratio <= 1:
        weights = np.clip(1 - np.abs(centres - pixels), 0, None)  # linear interpolation
    else:
        low, high = centres - ratio / 2, centres + ratio / 2  # box of the native pixel
        weights = np.clip(np.minimum(high, pixels + 0.5) - np.maximum(low, pixels - 0.5), 0, None) / ratio
    return torch.from_numpy(weights).float()
