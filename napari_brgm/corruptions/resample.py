"""Resample: images at the points of another grid, in one step; what a frame that is turned needs.

Where the new pixels are coarser than the image's, each is the mean of several points spread evenly over its box, no
further apart than the image's pixels. Linear; bilinear between pixels, 0 outside. On a CPU it is a sparse matrix, whose
transpose takes a tenth of the time of torch's, on a GPU torch's own sampler.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Sampling"]

Points = npt.NDArray[np.float64]

_MOST = 1 << 20  # points or pixels of which a matrix is made; with more it would take more memory than it is worth
_IMAGES = 16  # that a matrix is multiplied with at once, in one of torch's threads


@dataclass(frozen=True, eq=False)
class Sampling:
    """The points of a grid in another image, made once for many images.

    Attributes
    ----------
    into : (int, int)
        Rows and columns of the image that is sampled, (h, w).
    points : (1, H k, W l, 2) Tensor, float32
        Column and row, -1 and 1 at the outer edges of the image.
    number : (int, int)
        k, l: points in a pixel of the grid, along its rows and columns.
    """

    into: tuple[int, int]
    points: Tensor
    number: tuple[int, int]

    @classmethod
    def of(
        cls, shape: tuple[int, int], into: tuple[int, int], pixel: tuple[float, float],
        place: Callable[[Points, Points], tuple[Points, Points]],
    ) -> Sampling:  # fmt: skip
        """The points of a grid.

        Parameters
        ----------
        shape : (int, int)
            Rows and columns of the grid.
        into : (int, int)
            Rows and columns of the image that is sampled.
        pixel : (float, float)
            Size of the grid's pixels, rows and columns, in pixels of the image.
        place : callable
            (rows, columns) of the grid -> (rows, columns) of the image, pixel coordinates.
        """
        number = math.ceil(pixel[0] - 1e-9), math.ceil(pixel[1] - 1e-9)
        rows, columns = ((np.arange(n * m) + 0.5) / m - 0.5 for n, m in zip(shape, number, strict=True))
        at = place(rows[:, None], columns[None])  # pixel coordinates of the image
        scaled = [(2 * a + 1) / n - 1 for a, n in zip(at, into, strict=True)]
        points = np.stack(np.broadcast_arrays(scaled[1], scaled[0]), axis=-1)
        return cls(into, torch.from_numpy(points)[None].float(), number)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid, (H, W)."""
        return self.points.shape[1] // self.number[0], self.points.shape[2] // self.number[1]

    def to(self, device: torch.device) -> Sampling:
        """The same on another device."""
        return Sampling(self.into, self.points.to(device), self.number)

    def A(self, images: Tensor) -> Tensor:
        """Images (B, C, h, w) at the points, averaged over each pixel's: (B, C, H, W)."""
        if (both := self._both(images)) is not None:
            return _product(images, self.shape, *both)
        return self.once(images)

    def once(self, images: Tensor) -> Tensor:
        """The same by torch's sampler: for images that are sampled once, whose matrix would take longer to make."""
        folded = images.reshape(1, -1, *images.shape[-2:])  # one set of points for all: their weights are found once
        found = F.grid_sample(folded, self.points.to(images), padding_mode="zeros", align_corners=False)
        if self.number != (1, 1):
            found = F.avg_pool2d(found, self.number)
        return found.reshape(*images.shape[:2], *found.shape[-2:])

    def A_adjoint(self, values: Tensor) -> Tensor:
        """The transpose of A: values (B, C, H, W) at the points -> images (B, C, h, w)."""
        if (both := self._both(values)) is not None:
            return _product(values, self.into, *both[::-1])
        with torch.enable_grad():
            leaf = values.new_zeros(*values.shape[:2], *self.into, requires_grad=True)
            (found,) = torch.autograd.grad(self.once(leaf), leaf, values)
        return found

    def _both(self, images: Tensor) -> tuple[sparse.csr_array, sparse.csr_array] | None:
        small = max(self.points.shape[1] * self.points.shape[2], math.prod(self.into)) <= _MOST
        return self._matrices if small and images.device.type == "cpu" and images.dtype == torch.float32 else None

    @cached_property
    def _matrices(self) -> tuple[sparse.csr_array, sparse.csr_array]:
        """The matrix (H W, h w) of A, float32, and its transpose."""
        (height, width), (k, m), (down, across) = self.into, self.number, self.points.shape[1:3]
        at = self.points[0].cpu().numpy()
        row, column = (((at[..., i] + 1) * n - 1) / 2 for i, n in ((1, height), (0, width)))  # as torch has it
        pixel = np.arange(down)[:, None] // k * (across // m) + np.arange(across) // m  # that a point belongs to
        total = sparse.csr_array((height * width, math.prod(self.shape)), dtype=np.float32)
        for i in (np.floor(row), np.floor(row) + 1):
            for j in (np.floor(column), np.floor(column) + 1):
                weight = (1 - np.abs(row - i)) * (1 - np.abs(column - j)) / np.float32(k * m)
                inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
                index = (i[inside] * width + j[inside]).astype(np.int32), pixel[inside].astype(np.int32)
                total = total + sparse.csr_array((weight[inside], index), shape=total.shape)
        return total.T.tocsr(), total


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "sampling")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads stay with the parent


def _product(images: Tensor, shape: tuple[int, int], matrix: sparse.csr_array, transpose: sparse.csr_array) -> Tensor:
    """Images (B, C, h, w) times the matrix: (B, C, *shape)."""
    found: Tensor = _Product.apply(images.reshape(-1, matrix.shape[1]), matrix, transpose)
    return found.reshape(*images.shape[:2], *shape)


class _Product(torch.autograd.Function):
    """x (B, n) -> x M' (B, m) for a sparse M (m, n) of scipy, with derivatives both ways and of any order."""

    @staticmethod
    def forward(x: Tensor, matrix: sparse.csr_array, transpose: sparse.csr_array) -> Tensor:
        values = x.detach().numpy()
        found = np.empty((len(values), matrix.shape[0]), np.float32)

        def multiply(first: int) -> None:
            some = values[first : first + _IMAGES]
            found[first : first + len(some)] = (matrix @ some.T).T if len(some) > 1 else matrix @ some[0]

        parts, threads = range(0, len(values), _IMAGES), torch.get_num_threads()
        if min(len(parts), threads) > 1:
            list(_pool(threads).map(multiply, parts))  # scipy lets others run meanwhile
        else:
            for first in parts:
                multiply(first)
        return torch.from_numpy(found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.matrix, ctx.transpose = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(gradient, ctx.transpose, ctx.matrix), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        found: Tensor = _Product.apply(tangent, ctx.matrix, ctx.transpose)
        return found
