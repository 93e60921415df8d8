"""Calibrate: the scale and the factors of a prior's calibration on one restoration, or the reason why there are none.

    x_k <- m + a d_k,   d_k = x_k - m,   a = scale of the prior in tissue, 1 in air;   m: mean of x_k
    x_k <- m + c d_k,   c = half width of the 90 % interval / 1.645, of each pixel
    x_k <- m + c d_k - A^+ A (c d_k - d_k)        super-resolution: A x_k stays what it was
    slices restored together: a = 1, c their own; of thin slices one c for all, so that their sums stay what they were

The mean stays as it is, bit for bit; variance, samples and the 90 % interval agree; other levels have widths of their
own. Both were measured with a prior's own settings: with others everything stays as it came. The scale serves every
method and linear corruption; factors only those that they were measured for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.calibration import LEVELS, TISSUE, half_width, pack_widths
from napari_brgm.engine.coordinate import coordinate, task_of
from napari_brgm.settings import preset

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.calibration import Calibration
    from napari_brgm.engine.draws import Draws
    from napari_brgm.engine.observed import Problem
    from napari_brgm.engine.stack_place import StackPlace
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["Calibrated", "calibrated", "scale_tissue", "why_not"]

_AT_ONCE = 1 << 20  # pixels whose widths are worked on together
_STRETCH = 1.5  # an observed pixel that is longer than that many times its width was not measured
_PASSIVE = (
    "name", "steps", "vi_steps", "vi_samples_per_step", "preview_every", "precision", "compiled", "tolerance",
    "calibrate", "finish",
)  # fmt: skip
_GAUSSIAN_90 = float(half_width(0.9))
_ALONE = "it was measured for one scan by itself, without a second one"


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """What became of the spread of one slice's draws.

    Attributes
    ----------
    widths : (4, H, W) float32 ndarray or None
        Half widths of the intervals of LEVELS in units of the draws' new standard deviation; None: a Gaussian's.
    record : dict
        What is told of it: 'applied', 'label', 'scale' and, if applied, the set, its size, the kind of task, and the
        least and greatest factor on the standard deviation.
    """

    widths: npt.NDArray[np.float32] | None
    record: dict[str, Any]


def calibrated(
    draws: Draws, problem: Problem, prior: Prior, settings: InferenceSettings, method: str, *, unlike: bool = False,
    together: StackPlace | None = None,
) -> Calibrated:  # fmt: skip
    """Rescale the draws of one slice about their mean.

    ``unlike``: the scan is unlike what the prior knows, so that figures of held-out subjects say little of it.
    ``together``: what the slice was restored together with, if it was.
    """
    factors = prior.info.calibration
    if together is None:
        reason, known = why_not(problem, prior, settings, method), _scale(problem, prior, settings)
    else:
        reason = _why_not_together(together, problem, prior, settings, method)
        known = _scale(problem, prior, settings) if reason and not together.thick_mm else 1.0
    scale_tissue(draws, known)
    if reason or factors is None:
        label = f"intervals are not calibrated: {reason}"
        if factors is not None and known != 1:
            label += f"; their width was scaled as on {factors.subjects} held-out subjects"
        return Calibrated(None, {"applied": False, "label": label, "scale": known})
    task, at = coordinate(problem, prior.resolution) if together is None else together.coordinate(problem, prior)
    label = f"90 % intervals calibrated on {factors.subjects} held-out subjects"
    if unlike:
        label += ", which this scan is unlike"
    packed = np.empty((len(LEVELS), math.prod(problem.shape)), np.float32)
    if problem.measured.any():  # of no use, but above 0: air in the shallowest hole
        far_one = None if together is None else np.ones(1)
        least = _widths(factors, method, task, at[problem.measured][:1], np.zeros(1), far_one)
        packed[:] = least / (half_width(0.9, least) / _GAUSSIAN_90)
    at, unseen = at.reshape(-1), problem.unseen.reshape(-1)
    far = None if together is None else together.distance_mm.reshape(-1)
    where, mean = np.flatnonzero(draws.free), draws.grey_mean
    scale = np.empty(mean.shape)
    for first in range(0, len(where), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        pixels = where[part]
        widths = _widths(factors, method, task, at[pixels], mean[part], None if far is None else far[pixels])  # (4, n)
        for width, level in zip(widths, LEVELS, strict=True):
            width[unseen[pixels]] = half_width(level)  # nothing is known there, and nothing was measured
        scale[part] = half_width(0.9, widths) / _GAUSSIAN_90
        packed[:, pixels] = widths / scale[part]
    shown = packed.reshape(len(LEVELS), *problem.shape)
    known_of = slice(None) if unseen[where].all() else ~unseen[where]
    record = {
        "applied": True, "label": label, "scale": known, "set": factors.source, "subjects": factors.subjects,
        "slices": factors.slices, "method": method, "task": task, "levels": list(LEVELS),
        "factor": [float(f"{value:.4g}") for value in (scale[known_of].min(), scale[known_of].max())],
        "widths": pack_widths(shown),
    }  # fmt: skip
    draws.scale(scale)
    return Calibrated(shown, record)


def _widths(
    factors: Calibration, method: str, task: str, at: npt.NDArray[Any], mean: npt.NDArray[Any],
    distance: npt.NDArray[Any] | None,
) -> npt.NDArray[np.float64]:  # fmt: skip
    """(4, n); ``distance`` (n,) only of slices restored together."""
    if distance is None:
        return factors.widths(method, task, at, mean)
    if task == "thick":  # in air as in tissue, or sums of thin slices would not stay what was measured
        return factors.widths(method, task, at, np.full(np.shape(mean), np.inf))
    return factors.stack_widths(method, at, distance, mean)


def _why_not_together(
    together: StackPlace, problem: Problem, prior: Prior, settings: InferenceSettings, method: str
) -> str:  # fmt: skip
    """As ``why_not``, of a slice that was restored together with others."""
    if together.second:
        return _ALONE
    unknown = _unknown(prior, settings)
    factors = prior.info.calibration
    if unknown or factors is None:
        return unknown
    thick = bool(together.thick_mm)
    if not thick and task_of(problem) == "downsample":
        return "it was not measured for coarse pixels of slices that are restored together"
    if not (factors.knows(method, "thick") if thick else factors.hole_tasks(method)):
        return "it was not measured for slices that are restored together"
    return ""


def why_not(problem: Problem, prior: Prior, settings: InferenceSettings, method: str) -> str:
    """Give the reason why there are no factors for this run; '' if there are."""
    if problem.sigma is not None:
        return _ALONE
    unknown = _unknown(prior, settings)
    factors = prior.info.calibration
    if unknown or factors is None:
        return unknown
    f, grid = problem.corruption, problem.placed.given.grid
    if grid.fine != grid.plane:
        pixel = problem.placed.pixel
        if not f.averages or max(pixel) > _STRETCH * min(pixel):
            return "it was measured for coarse pixels that are square means of fine ones only"
    elif not problem.measured.any():
        return "it was measured for in-painting and super-resolution only"
    task = task_of(problem)
    if task == "scattered" and not factors.knows(method, task):
        return "it was not measured where so few pixels were measured"
    if not factors.knows(method, task):
        return f"it was not measured for method '{method}'"
    return ""


def _unknown(prior: Prior, settings: InferenceSettings) -> str:
    """Why nothing that was measured says anything of this run, whatever was observed; '' if it does."""
    factors = prior.info.calibration
    if not settings.calibrate:
        return "calibration is switched off"
    if factors is None:
        return f"none was measured for {prior.info.name}"
    own = preset(factors.preset) if factors.preset == prior.info.preset else None
    if own is None or settings.but(**{name: getattr(own, name) for name in _PASSIVE}) != own:
        return "the settings are not those that it was measured with"
    return "" if prior.channels == 1 else "it was measured for grey images only"


def _scale(problem: Problem, prior: Prior, settings: InferenceSettings) -> float:
    """Scale of the prior for this run; 1 where none is known."""
    factors = prior.info.calibration
    if factors is None or _unknown(prior, settings) or problem.corruption.adds_noise:
        return 1.0  # noise is no blur, and its error another one
    if problem.sigma is not None:
        return 1.0
    task = "downsample" if problem.placed.given.seen.all() else task_of(problem)
    return factors.scales.get(task, factors.scales.get("mask", 1.0) if task == "scattered" else 1.0)


def scale_tissue(draws: Draws, factor: float) -> None:
    """Multiply deviations from the mean by ``factor`` in tissue."""
    if factor != 1:
        draws.scale(np.where(draws.grey_mean > TISSUE, factor, 1.0))
