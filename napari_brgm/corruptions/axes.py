"""Axes: from the generator's frame to an observation, one matrix for rows and one for columns.

    A x = R x C',   R (h, r), C (w, r)

A frame without rotation, a corruption that acts on rows and columns apart, and means over blocks of what it observes
are each such a pair, and so is their product: it costs what the observation and the frame have of pixels, and nothing
for the grid between them. Of blocks that are partly hidden the mean is that of the other pixels, by weights of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.corruptions.frame import Frame
    from napari_brgm.corruptions.kernels import Matrix

__all__ = ["Axes", "PartialBlocks", "block_means"]

_REACH = 3  # frame pixels along an axis that a block of at most half a pixel is interpolated from
_PIECE = 1 << 14  # partial blocks whose pixels are looked at together


@dataclass(frozen=True)
class PartialBlocks:
    """Means over the measured pixels of blocks that are partly hidden.

    Attributes
    ----------
    where : (P,) int64 Tensor
        Numbers of the blocks, row by row.
    index : (P, 9) int64 Tensor
        Frame pixels, row by row.
    weight : (P, 9) Tensor
    """

    where: Tensor
    index: Tensor
    weight: Tensor

    @classmethod
    def of(cls, frame: Frame, seen: npt.NDArray[np.bool_], rows: int, columns: int) -> PartialBlocks:
        """Those of a frame without rotation; blocks of ``rows`` x ``columns`` pixels are at most half a frame pixel.

        ``seen`` is (H, W): what was measured.
        """
        height, width = seen.shape
        down, across = -(-height // rows), -(-width // columns)
        places, index, weight = [], [], []
        stripe = max(_PIECE // across, 1)
        for first in range(0, down, stripe):
            part = seen[first * rows : (first + stripe) * rows]
            inside = np.zeros((-(-len(part) // rows) * rows, across * columns), dtype=np.int8)  # 1 measured
            inside[: len(part), :width] = part
            exists = np.zeros_like(inside)
            exists[: len(part), :width] = 1
            blocks = [a.reshape(-1, rows, across, columns).swapaxes(1, 2) for a in (inside, exists)]
            counts, whole = (b.sum(axis=(2, 3), dtype=np.int64) for b in blocks)
            r, c = np.nonzero((counts > 0) & (counts < whole))
            if not len(r):
                continue
            measured = blocks[0][r, c].astype(np.float64) / counts[r, c][:, None, None]  # (P, rows, columns)
            low_r, near_r = _weights(frame, 0, (r + first)[:, None] * rows + np.arange(rows))
            low_c, near_c = _weights(frame, 1, c[:, None] * columns + np.arange(columns))
            found = np.einsum("pik,pij,pjl->pkl", near_r, measured, near_c)
            at = low_r[:, :, None] * frame.resolution + low_c[:, None]
            places.append((r + first) * across + c)
            index.append(at.reshape(len(r), -1))
            weight.append(found.reshape(len(r), -1))
        if not places:
            return cls(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 9, dtype=torch.int64), torch.zeros(0, 9))
        where, at, found = (np.concatenate(a) for a in (places, index, weight))
        return cls(torch.from_numpy(where), torch.from_numpy(at), torch.from_numpy(found).float())

    def cut(
        self, width: int, first: tuple[int, int], shape: tuple[int, int], size: int, corner: tuple[int, int], side: int
    ) -> PartialBlocks:  # fmt: skip
        """As ``Axes.cut``, of an observation ``width`` blocks wide and a frame of ``size`` pixels."""
        row, column = self.where // width - first[0], self.where % width - first[1]
        kept = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        down, across = self.index[kept] // size - corner[0], self.index[kept] % size - corner[1]
        inside = (down >= 0) & (down < side) & (across >= 0) & (across < side)
        index = down.clamp(0, side - 1) * side + across.clamp(0, side - 1)
        return PartialBlocks((row * shape[1] + column)[kept], index, self.weight[kept] * inside)

    def to(self, device: torch.device) -> PartialBlocks:
        return PartialBlocks(self.where.to(device), self.index.to(device), self.weight.to(device))


def _weights(frame: Frame, axis: int, pixels: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Matrix]:
    """Frame pixels (P, 3) of native pixels (P, n) along an axis, and their weights (P, n, 3); 0 outside the frame."""
    place = (pixels - frame.centre_native[axis]) * frame.ratio[axis] + frame.centre_frame[axis]
    near = np.floor(place[:, :1]).astype(np.int64) + np.arange(_REACH)  # (P, 3)
    weight = np.clip(1 - np.abs(place[:, :, None] - near[:, None]), 0, None)
    weight *= ((near >= 0) & (near < frame.resolution))[:, None]
    return near.clip(0, frame.resolution - 1), weight


@dataclass(frozen=True)
class Axes:
    """The pair of matrices, float32.

    Attributes
    ----------
    rows, columns : (h, R) and (w, R) Tensor
    partial : PartialBlocks or None
        Pixels of the observation that are not the pair's.
    """

    rows: Tensor
    columns: Tensor
    partial: PartialBlocks | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the observation."""
        return len(self.rows), len(self.columns)

    def cut(self, first: tuple[int, int], shape: tuple[int, int], corner: tuple[int, int], side: int) -> Axes:
        """The part of the observation that has ``shape`` and begins at the pixel ``first``, of a part of the frame.

        That is the square of ``side`` pixels that begins at ``corner``; nothing is seen of what lies beyond.
        """
        rows, columns = (
            matrix[start : start + n, low : low + side]
            for matrix, start, n, low in zip((self.rows, self.columns), first, shape, corner, strict=True)
        )
        size, partial = self.rows.shape[1], self.partial
        own = None if partial is None else partial.cut(len(self.columns), first, shape, size, corner, side)
        return Axes(rows, columns, own)

    def A(self, x: Tensor) -> Tensor:
        """Images (B, C, R, R) -> (B, C, h, w)."""
        found = self.rows.to(x) @ x @ self.columns.to(x).T
        if self.partial is None:
            return found
        own = (x.flatten(2)[..., self.partial.index] * self.partial.weight.to(x)).sum(dim=-1)  # (B, C, P)
        return found.flatten(2).index_copy(2, self.partial.where, own).reshape(found.shape)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """The transpose of A."""
        if self.partial is None:
            return self.rows.to(y).T @ y @ self.columns.to(y)
        own = y.flatten(2)[..., self.partial.where]  # (B, C, P)
        rest = y.flatten(2).index_fill(2, self.partial.where, 0.0).reshape(y.shape)
        back = self.rows.to(y).T @ rest @ self.columns.to(y)
        spread = (own[..., None] * self.partial.weight.to(y)).flatten(2)  # (B, C, 9 P)
        return back.flatten(2).index_add(2, self.partial.index.flatten(), spread).reshape(back.shape)


def block_means(matrix: Matrix, block: int) -> Tensor:
    """Means (ceil(n / block), R) over blocks of the rows of ``matrix`` (n, R); the last block may be smaller."""
    first = np.arange(0, len(matrix), block)
    sums = np.add.reduceat(matrix, first, axis=0)
    counts = np.minimum(block, len(matrix) - first)
    return torch.from_numpy(sums / counts[:, None]).float()
