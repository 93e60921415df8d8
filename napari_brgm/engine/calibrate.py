"""Calibrate: the scale and the factors of a prior's calibration on one restoration, or the reason why there are none.

    x_k <- m + a d_k,   d_k = x_k - m,   a = scale of the prior in tissue, 1 in air;   m: mean of x_k
    x_k <- m + c d_k,   c = half width of the 90 % interval / 1.645, of each pixel
    x_k <- m + c d_k - A^+ A (c d_k - d_k)        super-resolution: A x_k stays what it was

The mean stays as it is, bit for bit; variance, samples and the 90 % interval agree; other levels have widths of their
own. Both were measured with a prior's own settings: with others everything stays as it came. The scale serves every
method and linear corruption; factors only those that they were measured for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import ndimage

from napari_brgm.calibration import LEVELS, TISSUE, half_width
from napari_brgm.corruptions import Downsample, Jpeg, Mask
from napari_brgm.settings import preset

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.engine.observe import Problem
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["Calibrated", "calibrated", "coordinate", "scaled_in_tissue", "why_not"]

_STRETCH = 1.5  # an observed pixel that is longer than that many times its width was not measured
_PASSIVE = (
    "name", "steps", "vi_steps", "vi_samples_per_step", "preview_every", "precision", "compiled", "tolerance",
    "calibrate",
)  # fmt: skip
_GAUSSIAN_90 = float(half_width(0.9))


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """Draws with the spread that held-out subjects ask for.

    Attributes
    ----------
    draws : (S, H, W) ndarray
        In the scan's units.
    widths : (4, H, W) float32 ndarray or None
        Half widths of the intervals of LEVELS in units of the draws' new standard deviation; None: a Gaussian's.
    record : dict
        What is told of it: 'applied', 'label', 'scale' and, if applied, the set, its size, the kind of task, and the
        least and greatest factor on the standard deviation.
    """

    draws: npt.NDArray[Any]
    widths: npt.NDArray[np.float32] | None
    record: dict[str, Any]


def calibrated(
    draws: npt.NDArray[Any], mean: npt.NDArray[Any], problem: Problem, prior: Prior, settings: InferenceSettings,
    method: str, *, unlike: bool = False,
) -> Calibrated:  # fmt: skip
    """Rescale the draws (S, H, W) of one slice about their mean (H, W), both in the scan's units.

    ``unlike``: the scan is unlike what the prior knows, so that figures of held-out subjects say little of it.
    """
    reason = why_not(problem, prior, settings, method)
    factors = prior.info.calibration
    known = _scale(problem, prior, settings)
    draws = scaled_in_tissue(draws, mean, known, problem)
    if reason or factors is None:
        label = f"intervals are not calibrated: {reason}"
        if factors is not None and known != 1:
            label += f"; their width was scaled as on {factors.subjects} held-out subjects"
        return Calibrated(draws, None, {"applied": False, "label": label, "scale": known})
    task, at = coordinate(problem, prior.resolution)
    widths = factors.widths(method, task, at, problem.window.to_grey(mean))
    for width, level in zip(widths, LEVELS, strict=True):
        width[problem.unseen] = half_width(level)  # nothing is known there, and nothing was measured
    scale = half_width(0.9, widths) / _GAUSSIAN_90
    label = f"90 % intervals calibrated on {factors.subjects} held-out subjects"
    if unlike:
        label += ", which this scan is unlike"
    free = ~problem.measured & ~problem.unseen
    free = free if free.any() else ~problem.measured
    record = {
        "applied": True, "label": label, "scale": known, "set": factors.source, "subjects": factors.subjects,
        "slices": factors.slices, "method": method, "task": task, "levels": list(LEVELS),
        "factor": [float(f"{value:.4g}") for value in (scale[free].min(), scale[free].max())],
    }  # fmt: skip
    return Calibrated(_rescaled(draws, mean, scale, problem), (widths / scale).astype(np.float32), record)


def why_not(problem: Problem, prior: Prior, settings: InferenceSettings, method: str) -> str:
    """Give the reason why there are no factors for this run; '' if there are."""
    unknown = _unknown(prior, settings)
    factors = prior.info.calibration
    if unknown or factors is None:
        return unknown
    corruption = problem.corruption
    if isinstance(corruption, Downsample):
        if corruption.kernel != "area" or max(problem.pixel) > _STRETCH * min(problem.pixel):
            return "it was measured for coarse pixels that are square means of fine ones only"
    elif not isinstance(corruption, Mask):
        return "it was measured for in-painting and super-resolution only"
    if not factors.knows(method, _task(problem)):
        return f"it was not measured for method '{method}'"
    return ""


def _unknown(prior: Prior, settings: InferenceSettings) -> str:
    """Why nothing that was measured says anything of this run, whatever was observed; '' if it does."""
    factors = prior.info.calibration
    if not settings.calibrate:
        return "calibration is switched off"
    if factors is None:
        return f"none was measured for {prior.info.name}"
    own = preset(factors.preset) if factors.preset == prior.preset else None
    if own is None or settings.but(**{name: getattr(own, name) for name in _PASSIVE}) != own:
        return "the settings are not those that it was measured with"
    return "" if prior.channels == 1 else "it was measured for grey images only"


def _scale(problem: Problem, prior: Prior, settings: InferenceSettings) -> float:
    """Scale of the prior for this run; 1 where none is known."""
    factors = prior.info.calibration
    parts = getattr(problem.corruption, "parts", (problem.corruption,))
    if factors is None or _unknown(prior, settings) or any(isinstance(part, Jpeg) for part in parts):
        return 1.0  # what JPEG does is no blur, and its error another one
    hidden = any(isinstance(part, Mask) for part in parts)
    return factors.scales.get("mask" if hidden else "downsample", 1.0)


def _task(problem: Problem) -> str:
    return "downsample" if isinstance(problem.corruption, Downsample) else "mask"


def coordinate(problem: Problem, resolution: int) -> tuple[str, npt.NDArray[np.float64]]:
    """Kind of task and coordinate (H, W) of the groups of its pixels.

    In-painting: depth of the hole that a pixel lies in, which is the greatest distance in it to a measured pixel, in
    sides of the frame. Super-resolution: size of an observed pixel in frame pixels, the same throughout.
    """
    if isinstance(problem.corruption, Downsample):
        return "downsample", np.full(problem.frame.shape, math.sqrt(problem.pixel[0] * problem.pixel[1]))
    ratio = problem.frame.ratio
    distance = ndimage.distance_transform_edt(~problem.measured, sampling=ratio)
    holes, count = ndimage.label(~problem.measured, structure=np.ones((3, 3)))
    deepest = ndimage.maximum(distance, holes, np.arange(1, count + 1))
    depth = np.concatenate([[min(ratio)], deepest])  # of measured pixels anything above 0
    return "mask", depth[holes] / resolution


def scaled_in_tissue(
    draws: npt.NDArray[Any], mean: npt.NDArray[Any], scale: float, problem: Problem
) -> npt.NDArray[Any]:  # fmt: skip
    """Draws (S, H, W), in the scan's units, with deviations from their mean (H, W) times ``scale`` in tissue."""
    if scale == 1:
        return draws
    return _rescaled(draws, mean, np.where(problem.window.to_grey(mean) > TISSUE, scale, 1.0), problem)


def _rescaled(
    draws: npt.NDArray[Any], mean: npt.NDArray[Any], scale: npt.NDArray[np.floating], problem: Problem
) -> npt.NDArray[np.float64]:
    """Draws (S, H, W) with deviations from their mean (H, W) times ``scale`` (H, W), and f(draws) as it was."""
    apart = (draws - mean) * scale
    corruption: Any = problem.corruption
    if isinstance(corruption, Downsample):  # where the scale differs within a coarse pixel, its mean would move
        moved = torch.from_numpy(apart - (draws - mean))[:, None]  # (S, 1, H, W)
        size = (int(moved.shape[-2]), int(moved.shape[-1]))
        apart = apart - corruption.A_dagger(corruption.A(moved), size)[:, 0].numpy()
    return np.asarray(mean + apart, dtype=np.float64)
