"""Misfit of held-out slices: the figure above which a scan is told to be unlike what a prior knows (engine/misfit.py).

The subjects are parted in two: the limit is taken from the first half, and tried on the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.misfit import misfit_of
from napari_brgm.engine.observe import observe
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images, set_of
from napari_brgm.evaluation.masks import brush_strokes
from napari_brgm.inference import maximise
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.priors.prior import Prior

__all__ = ["LimitReport", "held_out_misfits", "misfit_after_map"]

_MARGIN = 1.15  # times the greatest of the first half
_FACTOR = 4


@dataclass(frozen=True, slots=True)
class LimitReport:
    """Misfits of held-out slices.

    Attributes
    ----------
    limit : float
        1.15 times the greatest of the first half of the subjects.
    first, second : (n,) ndarray
        Misfits of the halves: each slice with strokes hidden, and at a quarter of its resolution.
    """

    limit: float
    first: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]

    @property
    def quiet(self) -> float:
        """Share of the second half that stays below the limit."""
        return float(np.mean(self.second < self.limit))

    @property
    def spread(self) -> tuple[float, float, float]:
        """Least, median and greatest of all."""
        low, middle, high = np.quantile(np.concatenate([self.first, self.second]), (0, 0.5, 1))
        return float(low), float(middle), float(high)


def misfit_after_map(
    image: npt.NDArray[np.float32], corruption: Mask | Downsample, prior: Prior,
    spacing: tuple[float, float] | None = None, seed: int = 0,
) -> float:  # fmt: skip
    """Misfit of one slice as ``restore`` would tell it, without drawing samples."""
    settings = preset(prior.preset)
    problem = observe(image, corruption, prior, spacing=spacing, pose=settings.fit_pose)
    posterior = Posterior(prior, problem.likelihood, settings)
    search = maximise(posterior, settings.steps, torch.Generator().manual_seed(seed))
    while True:
        try:
            next(search)
        except StopIteration as end:
            found = end.value.v
            break
    with torch.no_grad():
        images = posterior.images(found)
    return misfit_of(problem.likelihood, images, prior.resolution, problem.pixel)


def held_out_misfits(
    prior: Prior, data: Path, count: int, tell: Callable[[int, int, str], None] | None = None
) -> LimitReport:
    """Measure ``count`` slices of the prior's validation set, evenly spaced over its subjects.

    Raises
    ------
    InputError, ScanError
        The prior fits none of the sets, or the set is missing.
    """
    slices = set_of(prior).read(data, "validation")
    picked = evenly_spaced(len(slices.images), count)
    images = grey_images(slices, picked)
    halves: tuple[list[float], list[float]] = ([], [])
    for number, (index, image) in enumerate(zip(picked, images, strict=True)):
        side = image.shape[0]
        coarse = image.reshape(side // _FACTOR, _FACTOR, side // _FACTOR, _FACTOR).mean(axis=(1, 3))
        half = halves[int(slices.subjects[index]) % 2]
        half.append(misfit_after_map(image, Mask(brush_strokes(image.shape, index)), prior))
        half.append(misfit_after_map(coarse, Downsample(_FACTOR), prior))
        if tell is not None:
            tell(number + 1, len(picked), prior.info.name)
    first, second = (np.array(half) for half in halves)
    return LimitReport(_MARGIN * float(first.max()), first, second)
