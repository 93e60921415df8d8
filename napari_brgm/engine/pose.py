"""Pose: shift and scale of a scan in the generator frame, fitted by what the linear prior makes of the measured pixels.

Training slices are registered to an atlas; scans are not. Among poses near the first guess, the one is kept that the
linear-Gaussian prior explains best:

    energy(pose) = min_w |w|^2 + |y - f_pose(mean + basis w)|^2 / sigma^2 + |y_outside|^2 / sigma^2

by coordinate descent with shrinking steps from the best of nine shifts (the paper's "future work": psi together with w;
BRGM Sec. 4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.engine.frame import Frame
    from napari_brgm.priors.linear_gaussian import LinearGaussian

__all__ = ["fit_pose"]

_COMPONENTS = 48  # leading ones: outline, ventricles, brightness
_STEPS = ((0.05, 4.0), (0.025, 2.0), (0.0125, 1.0), (0.006, 0.5))  # relative scale, shift in frame pixels
_REACH = 0.16  # of the frame: the distance between starting points
_LIMIT = 0.2  # largest relative change of scale


def fit_pose(
    frame: Frame, part: LinearGaussian, observed: Tensor, observe: Callable[[Frame, Tensor], Tensor], sigma: float
) -> Frame:
    """The best frame near ``frame``.

    Parameters
    ----------
    frame : Frame
        First guess.
    part : LinearGaussian
    observed : (1, C, h, w) Tensor
        The observation in grey levels, 0 where missing.
    observe : callable
        (frame, images in grey levels above black (B, C, R, R)) -> observations, 0 where missing.
    sigma : float
        Noise of an observed pixel in grey levels.
    """
    mean = (part.mean[None] + 1) * 127.5
    basis = part.basis[:_COMPONENTS] * 127.5

    def energy(candidate: Frame) -> float:
        both = observe(candidate, torch.cat([mean, basis]))
        a = both[1:].flatten(1) / sigma  # (K, M)
        y = (observed - both[:1]).flatten() / sigma  # (M,)
        precision = a @ a.T
        precision.diagonal().add_(1.0)
        right = a @ y
        solved = torch.linalg.solve(precision, right)
        return float(y @ y - right @ solved)

    def moved(scale: float, row: float, column: float) -> Frame:
        ratio = (frame.ratio[0] * scale, frame.ratio[1] * scale)
        return replace(frame, ratio=ratio, centre_frame=(frame.centre_frame[0] + row, frame.centre_frame[1] + column))

    reach = _REACH * frame.resolution
    shifts = (0.0, -reach, reach)  # where much is hidden, the first guess can be off by a quarter of the head
    best, pose = min((energy(moved(1.0, row, column)), (1.0, row, column)) for row in shifts for column in shifts)
    for scale_step, shift_step in _STEPS:
        for _ in range(4):
            before = best
            for axis, step in ((0, scale_step), (1, shift_step), (2, shift_step)):
                for sign in (-1, 1):
                    tried = list(pose)
                    tried[axis] += sign * step
                    if abs(tried[0] - 1) > _LIMIT:
                        continue
                    value = energy(moved(*tried))
                    if value < best:
                        best, pose = value, (tried[0], tried[1], tried[2])
            if best == before:
                break
    return moved(*pose)
