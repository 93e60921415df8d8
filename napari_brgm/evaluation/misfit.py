"""Misfit of held-out slices: the figure above which a scan is told to be unlike what a prior knows (engine/misfit.py).

How far such a limit can be trusted: each half of the subjects is tried against the limit that the other half gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.misfit import misfit_of
from napari_brgm.engine.observed import observe
from napari_brgm.errors import InputError
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images, set_of
from napari_brgm.evaluation.masks import brush_strokes
from napari_brgm.inference import maximise
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.priors.prior import Prior

__all__ = ["MARGIN", "LimitReport", "held_out_misfits", "misfit_after_map", "slice_misfits"]

MARGIN = 1.1  # times the greatest
_FACTOR = 4


@dataclass(frozen=True, slots=True)
class LimitReport:
    """Misfits of held-out slices: each with strokes hidden, and at a quarter of its resolution.

    Attributes
    ----------
    first, second : (n,) ndarray
        Of the two halves of the subjects.
    """

    first: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]

    @property
    def limit(self) -> float:
        """1.1 times the greatest of all."""
        return MARGIN * self.spread[2]

    @property
    def quiet(self) -> float:
        """Share of the slices that stay below the limit that the other half of the subjects gives."""
        below = [half < MARGIN * other.max() for half, other in ((self.first, self.second), (self.second, self.first))]
        return float(np.concatenate(below).mean())

    @property
    def spread(self) -> tuple[float, float, float]:
        """Least, median and greatest of all."""
        low, middle, high = np.quantile(np.concatenate([self.first, self.second]), (0, 0.5, 1))
        return float(low), float(middle), float(high)


def misfit_after_map(
    image: npt.NDArray[np.float32], corruption: Corruption, prior: Prior,
    spacing: tuple[float, float] | None = None, seed: int = 0,
) -> float:  # fmt: skip
    """Misfit of one slice as ``restore`` would tell it, without drawing samples."""
    settings = preset(prior.info.preset)
    problem = observe(image, corruption, prior, spacing=spacing, pose=settings.fit_pose)
    posterior = Posterior(prior, problem.likelihood, settings)
    found = maximise(posterior, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        images = posterior.images(found.v)
    return misfit_of(problem.likelihood, images, prior.resolution, problem.pixel)


def slice_misfits(prior: Prior, image: npt.NDArray[np.float32], seed: int) -> tuple[float, float]:
    """Misfits of a slice (R, R), grey levels: with strokes hidden, and at a quarter of its resolution."""
    side = image.shape[0]
    coarse = image.reshape(side // _FACTOR, _FACTOR, side // _FACTOR, _FACTOR).mean(axis=(1, 3))
    strokes = Mask(brush_strokes((side, side), seed))
    return misfit_after_map(image, strokes, prior), misfit_after_map(coarse, Downsample(_FACTOR), prior)


def held_out_misfits(
    prior: Prior, data: Path, count: int, tell: Callable[[int, int, str], None] | None = None
) -> LimitReport:
    """Measure ``count`` slices of the prior's validation set, evenly spaced over its subjects.

    Raises
    ------
    InputError, ScanError
        The prior fits none of the sets, the set is missing, or all slices are of one half of the subjects.
    """
    slices = set_of(prior).read(data, "validation")
    picked = evenly_spaced(len(slices.images), count)
    images = grey_images(slices, picked)
    halves: tuple[list[float], list[float]] = ([], [])
    for number, (index, image) in enumerate(zip(picked, images, strict=True)):
        halves[int(slices.subjects[index]) % 2].extend(slice_misfits(prior, image, index))
        if tell is not None:
            tell(number + 1, len(picked), prior.info.name)
    first, second = (np.array(half)[np.isfinite(half)] for half in halves)  # not finite: a slice without tissue
    if not first.size or not second.size:
        raise InputError(
            f"{len(picked)} slices are too few: those of two subjects at least are needed, for a limit and to try it on"
        )
    return LimitReport(first, second)
