"""Pose and intensity: where a scan lies in the generator frame, and which of its values are black and white there.

Training slices are registered to an atlas and have one grey scale; scans are neither. Shift, isotropic scale and
rotation are those that the linear-Gaussian prior explains the measured pixels best with, its latents, a gain and an
offset integrated out for each (pooled.py): a lattice of poses on coarse blocks, then Levenberg-Marquardt steps from the
best few, at last from the best one on finer blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.engine.pooled import Intensity, Pooled, pooled

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.corruptions import Frame
    from napari_brgm.priors.linear_model import LinearModel

__all__ = ["Fit", "fit_pose", "half_turn"]

_SIDES = (32, 64)  # blocks in the frame, of the search and of the last steps
_ANGLES = (-12.0, 0.0, 12.0)  # degrees
_SCALES = (0.92, 1.0, 1.09)
_REACH = 0.16  # of the frame, between shifts: where much is hidden, the first guess can be off by a quarter of the head
_STARTS = 4  # of the lattice, that are followed up
_STEPS = (6, 4)  # on coarse and on finer blocks
_LIMITS = (math.inf, math.inf, math.log(1.25), math.radians(20.0))
_HALF_TURN = 10.0  # energy by which the other way up must be better, so that a tie stays as expected
_DIFFERENCE = 0.004  # of the frame: how far the anatomy's rim moves where a derivative is taken
_RIM = 0.35  # of the frame, from the middle
_CAUTION = 2.0  # times the noise: residuals are correlated, and latents that follow them closely also take up a pose
_GAIN, _OFFSET = 0.25, 15.0  # standard deviations before the data are seen; the second in grey levels


@dataclass(frozen=True, slots=True)
class Fit:
    """A frame, and the intensity of the observation against the prior's.

    Attributes
    ----------
    frame : Frame
    gain : float
        Of the observation's grey levels against the prior's.
    offset : float
        Grey levels of the observation that are black for the prior.
    improvement : float
        By which the energy (twice a negative log density) is lower than that of the first guess.
    """

    frame: Frame
    gain: float
    offset: float
    improvement: float


def fit_pose(
    frame: Frame, part: LinearModel, observed: Tensor, seen: Tensor, sigma: float,
    check: Callable[[], None] | None = None,
) -> Fit:  # fmt: skip
    """Find the best frame near ``frame`` or near it turned by half a circle, with the intensity.

    Parameters
    ----------
    frame : Frame
        First guess, of the observation's grid.
    part : LinearModel
    observed : (1, C, h, w) Tensor
        The observation in grey levels.
    seen : (1, 1, h, w) Tensor
        1 where measured, else 0.
    sigma : float
        Noise of an observed pixel in grey levels.
    check : callable, optional
        Called between the steps; what it raises ends the fit.
    """
    turned = replace(frame, rotation=frame.rotation + 180)
    ways = [_search(way, part, observed, seen, sigma, check) for way in (frame, turned)]
    ways[1] = (ways[1][0], ways[1][1] + _HALF_TURN)
    first = min(range(2), key=lambda i: ways[i][1])
    start = (frame, turned)[first]
    intensity = Intensity(_GAIN, _OFFSET)
    fine = pooled(start, part, observed, seen, _CAUTION * sigma, _SIDES[1], intensity)
    pose, energies = _descended(fine, ways[first][0][None], _STEPS[1], check)
    as_it_was = pooled(frame, part, observed, seen, _CAUTION * sigma, _SIDES[1], intensity)
    before = float(as_it_was.energy(torch.zeros_like(pose))[0])
    _, u = fine.residuals(pose)
    row, column, scale, angle = pose[0].tolist()
    degrees = start.rotation + math.degrees(angle)
    found = replace(
        frame,
        ratio=(frame.ratio[0] * math.exp(scale), frame.ratio[1] * math.exp(scale)),
        centre_frame=(frame.centre_frame[0] + row, frame.centre_frame[1] + column),
        rotation=(degrees + 180) % 360 - 180,
    )
    gain, offset = 1 + intensity.gain * float(u[0, -2]), intensity.offset * float(u[0, -1])
    return Fit(found, gain, offset, before - float(energies[0]))


def half_turn(frame: Frame, part: LinearModel, observed: Tensor, seen: Tensor, sigma: float) -> tuple[Frame, float]:
    """The frame turned by half a circle, and by how much its energy is lower; parameters as of ``fit_pose``."""
    turned = replace(frame, rotation=(frame.rotation + 360) % 360 - 180)
    energies = [
        float(
            pooled(way, part, observed, seen, _CAUTION * sigma, _SIDES[0], Intensity(_GAIN, _OFFSET)).energy(
                observed.new_zeros(1, 4)
            )[0]
        )
        for way in (frame, turned)
    ]
    return turned, energies[0] - energies[1]


def _search(
    frame: Frame, part: LinearModel, observed: Tensor, seen: Tensor, sigma: float, check: Callable[[], None] | None
) -> tuple[Tensor, float]:
    """Best pose (4,) on coarse blocks, and its energy."""
    coarse = pooled(frame, part, observed, seen, _CAUTION * sigma, _SIDES[0], Intensity(_GAIN, _OFFSET))
    reach = _REACH * frame.resolution
    shifts = (-reach, 0.0, reach)
    lattice = torch.cartesian_prod(
        torch.tensor(shifts), torch.tensor(shifts),
        torch.tensor([math.log(s) for s in _SCALES]), torch.tensor([math.radians(a) for a in _ANGLES]),
    ).to(observed)  # fmt: skip
    starts = lattice[coarse.energy(lattice).argsort()[:_STARTS]]
    poses, energies = _descended(coarse, starts, _STEPS[0], check)
    best = int(energies.argmin())
    return poses[best], float(energies[best])


def _descended(problem: Pooled, poses: Tensor, steps: int, check: Callable[[], None] | None) -> tuple[Tensor, Tensor]:
    """Levenberg-Marquardt from each of poses (P, 4), side by side; where they end, and their energies (P,)."""
    n = len(poses)
    small = _DIFFERENCE * problem.resolution
    turn = small / (_RIM * problem.resolution)
    delta = poses.new_tensor((small, small, turn, turn))
    limits = poses.new_tensor(_LIMITS)
    damping = torch.full((n, 1), 1e-2).to(poses)
    residuals, _ = problem.residuals(poses)
    energies = residuals.square().sum(dim=1)
    for _ in range(steps):
        if check is not None:
            check()
        moved = (poses[:, None] + torch.diag(delta)).flatten(0, 1)  # (P 4, 4)
        ahead, _ = problem.residuals(moved)
        slopes = ahead.reshape(n, 4, -1) - residuals[:, None]  # (P, 4, N), for a step of delta
        curvature = slopes @ slopes.transpose(1, 2)  # (P, 4, 4)
        curvature.diagonal(dim1=1, dim2=2).mul_(1 + damping).add_(1e-9)
        step = torch.linalg.solve(curvature, slopes @ residuals[..., None])[..., 0]
        tried = torch.minimum(torch.maximum(poses - step * delta, -limits), limits)
        new, _ = problem.residuals(tried)
        value = new.square().sum(dim=1)
        better = value < energies
        poses = torch.where(better[:, None], tried, poses)
        residuals = torch.where(better[:, None], new, residuals)
        energies = torch.where(better, value, energies)
        damping = torch.where(better[:, None], damping * 0.2, damping * 10)
    return poses, energies
