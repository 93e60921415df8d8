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
    """'downsample' where observed pixels are larger than those of the answer; 'scattered' or 'mask' where some are
    hidden: those that were measured stand by themselves, or together.
    """
    grid = problem.placed.given.grid
    if grid.fine != grid.plane:
        return "downsample"
    seen = problem.likelihood.observation.measured[0, 0].cpu().numpy() > 0
    return "scattered" if _stand_alone(seen) else "mask"


def _stand_alone(seen: npt.NDArray[np.bool_]) -> bool:
    """Whether most measured pixels (h, w) beside hidden ones have less than half of their neighbours measured, too."""
    around = ndimage.uniform_filter(seen.astype(np.float32), 3, mode="nearest") * 9
    rim = seen & (around < 8.5)
    return bool(rim.any()) and float((around[rim] < 4.5).mean()) > 0.5


def coordinate(problem: Problem, resolution: int) -> tuple[str, npt.NDArray[np.float64]]:
    """Kind of task and coordinate (H, W) of the groups of its pixels.

    In-painting, beside scattered pixels too: depth of the hole that a pixel lies in, which is the greatest distance in
    it to a measured pixel, in sides of the frame. Super-resolution: size of an observed pixel in frame pixels, the same
    throughout.
    """
    task = task_of(problem)
    if task == "downsample":
        rows, columns = problem.placed.pixel
        return task, np.broadcast_to(math.sqrt(rows * columns), problem.shape)
    ratio = problem.placed.frame.ratio
    distance = ndimage.distance_transform_edt(~problem.measured, sampling=ratio)
    holes, count = ndimage.label(~problem.measured, structure=np.ones((3, 3)))
    deepest = ndimage.maximum(distance, holes, np.arange(1, count + 1))
    depth = np.concatenate([[min(ratio)], deepest])  # of measured pixels anything above 0
    return task, depth[holes] / resolution
