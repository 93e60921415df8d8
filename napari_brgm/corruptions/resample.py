"""Resample: images at the points of another grid, in one step; what a frame that is turned needs.

Where the new pixels are coarser than the image's, each is the mean of several points spread evenly over its box, no
further apart than the image's pixels. Linear, so that the adjoint is the gradient.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["resampled", "resampled_adjoint", "sampling_points"]

Points = npt.NDArray[np.float64]


def sampling_points(
    shape: tuple[int, int], into: tuple[int, int], pixel: tuple[float, float],
    place: Callable[[Points, Points], tuple[Points, Points]],
) -> tuple[Tensor, tuple[int, int]]:  # fmt: skip
    """Points of a grid in another image, made once for many images.

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

    Returns
    -------
    points : (1, shape[0] k, shape[1] l, 2) Tensor, float32
        For ``resampled``: column and row, -1 and 1 at the outer edges of the image.
    number : (int, int)
        k, l: points in a pixel of the grid, along its rows and columns.
    """
    number = math.ceil(pixel[0] - 1e-9), math.ceil(pixel[1] - 1e-9)
    rows, columns = ((np.arange(n * m) + 0.5) / m - 0.5 for n, m in zip(shape, number, strict=True))
    at = place(rows[:, None], columns[None])  # pixel coordinates of the image
    scaled = [(2 * a + 1) / n - 1 for a, n in zip(at, into, strict=True)]
    points = np.stack(np.broadcast_arrays(scaled[1], scaled[0]), axis=-1)
    return torch.from_numpy(points)[None].float(), number


def resampled(images: Tensor, points: Tensor, number: tuple[int, int]) -> Tensor:
    """Images (B, C, h, w) at the points, averaged over each pixel's: (B, C, H, W); 0 outside, bilinear inside."""
    folded = images.reshape(1, -1, *images.shape[-2:])  # one set of points for all: their weights are found once
    found = F.grid_sample(folded, points.to(images), mode="bilinear", padding_mode="zeros", align_corners=False)
    if number != (1, 1):
        found = F.avg_pool2d(found, number)
    return found.reshape(*images.shape[:2], *found.shape[-2:])


def resampled_adjoint(values: Tensor, into: tuple[int, int], points: Tensor, number: tuple[int, int]) -> Tensor:
    """The transpose of ``resampled``: values (B, C, H, W) at the points -> images (B, C, *into)."""
    with torch.enable_grad():
        leaf = values.new_zeros(*values.shape[:2], *into, requires_grad=True)
        (found,) = torch.autograd.grad(resampled(leaf, points, number), leaf, values)
    return found
