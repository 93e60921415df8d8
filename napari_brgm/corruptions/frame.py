"""Frame: the generator's square frame <-> the native pixel grid of a slice, the linear operator next to the generator.

Centres, not corners, carry the geometry: native pixel i of an axis lies in frame pixels at

    p(i) = (i - c_native) * spacing / frame_spacing + c_frame

and, where the scan's anatomy is turned by an angle a against the prior's (anticlockwise as shown, rows downwards), the
offsets (d_r, d_c) from c_frame become (cos a d_r + sin a d_c, cos a d_c - sin a d_r).

Where native pixels are finer than the frame's, its image is interpolated linearly; where they are coarser, averaged
over the native pixel's box. Without a rotation both are one (N, R) matrix per axis; with one, the image is sampled
once, at points that are made once (resample.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_brgm.corruptions.resample import Points, Sampling
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Frame"]

_POINTS = 1 << 18  # that images are sampled at together


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

    def in_blocks(self, shape: tuple[int, int], factor: tuple[float, float]) -> Frame:
        """The frame of a grid ``shape`` whose pixels hold ``factor`` of these; the first outer edges coincide."""
        ratio = (self.ratio[0] * factor[0], self.ratio[1] * factor[1])
        row, column = ((c + 0.5) / f - 0.5 for c, f in zip(self.centre_native, factor, strict=True))
        return Frame(shape, self.resolution, ratio, (row, column), self.centre_frame, self.rotation)

    def cut(
        self, first: tuple[int, int], shape: tuple[int, int], corner: tuple[int, int] = (0, 0), side: int | None = None
    ) -> Frame:  # fmt: skip
        """The frame of the part of the native grid that has ``shape`` and begins at the pixel ``first``.

        Of the generator's frame the square of ``side`` pixels that begins at ``corner``; None: all of it.
        """
        native = [c - start for c, start in zip(self.centre_native, first, strict=True)]
        frame = [c - start for c, start in zip(self.centre_frame, corner, strict=True)]
        side = self.resolution if side is None else side
        return Frame(shape, side, self.ratio, (native[0], native[1]), (frame[0], frame[1]), self.rotation)

    @cached_property
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
    def _sampling(self) -> Sampling:
        _check(self.shape, self.ratio)
        return Sampling.of(self.shape, (self.resolution,) * 2, self.ratio, self.into_frame)

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

    def covers(self, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """(N,) whether native pixels, those of ``chosen`` (H, W) row by row, lie inside the frame (more than half)."""
        if self.is_identity:
            return np.ones(np.count_nonzero(chosen), dtype=np.bool_)
        whole = torch.ones(1, 1, self.resolution, self.resolution)
        inside: npt.NDArray[np.bool_] = self.at(whole, chosen)[0, 0].numpy() > 0.5
        return inside

    def at(self, x: Tensor, chosen: npt.NDArray[np.bool_]) -> Tensor:
        """Images (B, C, R, R) at native pixels alone: (B, C, N), those of ``chosen`` (H, W) row by row, as A has them.

        Where the native grid is finer than the frame no image of its size is made.
        """
        if self.is_identity or max(self.ratio) > 1:
            return self.A(x)[..., torch.from_numpy(chosen).to(x.device)]
        found = [self._between(x, *part) for part in _pieces(chosen, _POINTS)]
        return torch.cat(found, dim=2) if found else x.new_zeros(*x.shape[:2], 0)

    def _between(self, x: Tensor, rows: Points, columns: Points) -> Tensor:
        """Images (B, C, R, R) at points (N,) in native pixel coordinates, bilinear, 0 beyond: (B, C, N)."""
        flat, side = x.flatten(2), self.resolution
        found = x.new_zeros(*x.shape[:2], len(rows))
        place = self.into_frame(rows, columns)
        low = [np.floor(p) for p in place]
        for down in (0, 1):
            for right in (0, 1):
                row, column = low[0] + down, low[1] + right
                weight = (1 - np.abs(place[0] - row)) * (1 - np.abs(place[1] - column))
                weight *= (row >= 0) & (row < side) & (column >= 0) & (column < side)
                index = (row.clip(0, side - 1) * side + column.clip(0, side - 1)).astype(np.int64)
                found += flat[..., torch.from_numpy(index).to(x.device)] * torch.from_numpy(weight).to(x)
        return found

    def A(self, x: Tensor) -> Tensor:
        """Images (B, C, R, R) on the native grid (B, C, H, W); 0 (air) outside the frame."""
        if self.is_identity:
            return x
        if self.rotation:
            return _sampling_on(self, x.device).A(x)
        rows, columns = _matrices_on(self, x.device, x.dtype)
        return rows @ x @ columns.T

    def A_adjoint(self, y: Tensor) -> Tensor:
        """The transpose of A: (B, C, H, W) -> (B, C, R, R)."""
        if self.is_identity:
            return y
        if self.rotation:
            return _sampling_on(self, y.device).A_adjoint(y)
        rows, columns = _matrices_on(self, y.device, y.dtype)
        return rows.T @ y @ columns

    def to_frame(self, native: Tensor) -> Tensor:
        """Images (B, C, H, W) of the native grid resampled to the frame (B, C, R, R); 0 outside the native grid."""
        if self.is_identity:
            return native
        if self.rotation:
            _check(self.shape, self.ratio)
            pixel = (1 / self.ratio[0], 1 / self.ratio[1])
            return Sampling.of((self.resolution,) * 2, self.shape, pixel, self.out_of_frame).once(native)
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


@lru_cache(maxsize=8)
def _matrices_on(frame: Frame, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Keep them on a GPU: a copy to it waits for it."""
    with torch.inference_mode(False):
        rows, columns = (m.to(device, dtype) for m in frame.matrices)
    return rows, columns


@lru_cache(maxsize=4)
def _sampling_on(frame: Frame, device: torch.device) -> Sampling:
    with torch.inference_mode(False):
        return frame._sampling.to(device)


def _pieces(chosen: npt.NDArray[np.bool_], most: int) -> Iterator[tuple[Points, Points]]:
    """Rows and columns of the chosen pixels, row by row, at most about so many at a time."""
    stripe = max(most // chosen.shape[1], 1)
    for first in range(0, len(chosen), stripe):
        rows, columns = np.nonzero(chosen[first : first + stripe])
        if len(rows):
            yield (rows + first).astype(np.float64), columns.astype(np.float64)


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
