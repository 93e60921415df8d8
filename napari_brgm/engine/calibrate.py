"""Calibrate: the factors of a prior's calibration on one restoration, or the reason why there are none.

    x_k <- m + c d_k,   d_k = x_k - m,   c = half width of the 90 % interval / 1.645, of each pixel;   m: mean of x_k
    x_k <- m + c d_k - A^+ A (c d_k - d_k)        super-resolution: A x_k stays what it was

The mean stays as it is, bit for bit; variance, samples and the 90 % interval agree; other levels have widths of their
own. Factors were measured with a prior's own settings: with others, and for corruptions that were not measured,
everything stays as it came.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from napari_brgm.calibration import LEVELS, half_width
from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.settings import preset

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.engine.observe import Problem
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["Calibrated", "calibrated", "coordinate", "rescaled", "why_not"]

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
        What is told of it: 'applied', 'label' and, if applied, the set, its size, the kind of task, and the least and
        greatest factor on the standard deviation.
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
    if reason or factors is None:
        return Calibrated(draws, None, {"applied": False, "label": f"intervals are not calibrated: {reason}"})
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
        "applied": True, "label": label, "set": factors.source, "subjects": factors.subjects, "slices": factors.slices,
        "method": method, "task": task, "levels": list(LEVELS),
        "factor": [float(f"{value:.4g}") for value in (scale[free].min(), scale[free].max())],
    }  # fmt: skip
    return Calibrated(rescaled(draws, mean, scale, problem), (widths / scale).astype(np.float32), record)


def why_not(problem: Problem, prior: Prior, settings: InferenceSettings, method: str) -> str:
    """Give the reason why there are no factors for this run; '' if there are."""
    factors = prior.info.calibration
    if not settings.calibrate:
        return "calibration is switched off"
    if factors is None:
        return f"none was measured for {prior.info.name}"
    own = preset(factors.preset) if factors.preset == prior.preset else None
    if own is None or settings.but(**{name: getattr(own, name) for name in _PASSIVE}) != own:
        return "the settings are not those that it was measured with"
    corruption = problem.corruption
    if prior.channels != 1:
        return "it was measured for grey images only"
    if isinstance(corruption, Downsample):
        if corruption.kernel != "area" or max(problem.pixel) > _STRETCH * min(problem.pixel):
            return "it was measured for coarse pixels that are square means of fine ones only"
    elif not isinstance(corruption, Mask):
        return "it was measured for in-painting and super-resolution only"
    if not factors.knows(method, _task(problem)):
        return f"it was not measured for method '{method}'"
    return ""


def _task(problem: Problem) -> str:
    return "downsample" if isinstance(problem.corruption, Downsample) else "mask"


def coordinate(problem: Problem, resolution: int) -> tuple[str, npt.NDArray[np.float64]]:
    """Kind of task and coordinate (H, W) of the groups of its pixels.

    In-painting: distance to the nearest measured pixel in sides of the frame. Super-resolution: size of an observed
    pixel in frame pixels, the same throughout.
    """
    if isinstance(problem.corruption, Downsample):
        return "downsample", np.full(problem.frame.shape, math.sqrt(problem.pixel[0] * problem.pixel[1]))
    ratio = problem.frame.ratio
    depth = distance_transform_edt(~problem.measured, sampling=ratio)
    return "mask", np.maximum(depth, min(ratio)) / resolution  # measured pixels: anything above 0


def rescaled(
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
