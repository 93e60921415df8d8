"""Coordinate: what kind of task a pixel is restored in, and what its calibration depends on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.engine.observed import Problem

__all__ = ["coordinate", "task_of"]


def task_of(problem: Problem) -> str:
    """'downsample' where observed pixels are larger than those of the answer, else 'mask'."""
    grid = problem.placed.given.grid
    return "downsample" if grid.fine != grid.plane else "mask"


def coordinate(problem: Problem, resolution: int) -> tuple[str, npt.NDArray[np.float64]]:
    """Kind of task and coordinate (H, W) of the groups of its pixels.

    In-painting: depth of the hole that a pixel lies in, which is the greatest distance in it to a measured pixel, in
    sides of the frame. Super-resolution: size of an observed pixel in frame pixels, the same throughout.
    """
    if task_of(problem) == "downsample":
        rows, columns = problem.placed.pixel
        return "downsample", np.broadcast_to(math.sqrt(rows * columns), problem.shape)
    ratio = problem.placed.frame.ratio
    distance = ndimage.distance_transform_edt(~problem.measured, sampling=ratio)
    holes, count = ndimage.label(~problem.measured, structure=np.ones((3, 3)))
    deepest = ndimage.maximum(distance, holes, np.arange(1, count + 1))
    depth = np.concatenate([[min(ratio)], deepest])  # of measured pixels anything above 0
    return "mask", depth[holes] / resolution
