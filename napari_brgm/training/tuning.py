"""Tuning of the representation error: the noise with which slices of other subjects are restored best.

    e(s) = rms over holes of  x - E[x | y, s],      y = x outside the hole,  s the noise that a pixel is taken to have

of slices of one fold of the training subjects, restored by a model of the other folds. The s with the least e is what
the prior counts as its representation error: neighbouring residuals are correlated, so that a pixel carries far less
than one pixel's information, and s is several times the residual itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.training.crossfit import random_missing

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.training.crossfit import FoldModels

__all__ = ["LEVELS_TRIED", "SigmaFigures", "evenly_picked", "hole_errors", "tuned_sigma"]

LEVELS_TRIED = tuple(5.0 * 2 ** (k / 2) for k in range(14))  # grey levels of a pixel of the grid: 5 .. 453
_HOLES = 6  # random ones of each fold
_SLICES = 48  # of each fold, evenly spread


@dataclass(frozen=True, slots=True)
class SigmaFigures:
    """What the tuning of the representation error has found.

    Attributes
    ----------
    sigma : float
        Noise of a pixel of the grid with the least error, grey levels.
    levels, errors : tuple of float
        Those tried, and the root mean square error in the holes of held-out slices, grey levels.
    """

    sigma: float
    levels: tuple[float, ...]
    errors: tuple[float, ...]


def tuned_sigma(images: Tensor, folds: FoldModels, *, seed: int = 0) -> SigmaFigures:
    """Noise of a pixel with which slices of each fold are restored best by the model of the others.

    Parameters
    ----------
    images : (N, 1, r, r) Tensor
        In [-1, 1], on the grid of the models' components.
    folds : FoldModels
        Of these slices, in this order.
    seed : int
        Of the holes.
    """
    squares = torch.zeros(len(LEVELS_TRIED), dtype=torch.float64)
    for fold in range(len(folds.means)):
        inside = (folds.fold_of == fold).nonzero()[:, 0]
        model = LinearModel(_shrunk(folds.means[fold], images.shape[-1]), folds.bases[fold].float(), 0.0)
        squares += hole_errors(model, images[evenly_picked(inside, _SLICES)], seed + fold).square()
    errors = (squares / len(folds.means)).sqrt()
    return SigmaFigures(_least(errors), LEVELS_TRIED, tuple(errors.tolist()))


def hole_errors(model: LinearModel, images: Tensor, seed: int = 0) -> Tensor:
    """Root mean square error (14,) in grey levels, in random holes of slices (N, 1, r, r), by each of LEVELS_TRIED."""
    generator = torch.Generator().manual_seed(seed)
    size = images.shape[-1]
    basis, missed = model.coarse.flatten(1), (images - model.mean).flatten(1)
    total, count = torch.zeros(len(LEVELS_TRIED), dtype=torch.float64), 0
    for _ in range(_HOLES):
        hidden = random_missing(size, generator).flatten()
        seen, unseen = basis[:, ~hidden], basis[:, hidden]
        values, vectors = torch.linalg.eigh(seen @ seen.T)
        right = missed[:, ~hidden] @ seen.T @ vectors  # (N, K)
        shown = vectors.T @ unseen  # (K, hidden pixels)
        for i, level in enumerate(LEVELS_TRIED):
            latents = right / (values.clamp(min=0) + (level / 127.5) ** 2)
            total[i] += (latents @ shown - missed[:, hidden]).double().square().sum() * 127.5**2
        count += int(hidden.sum()) * len(images)
    return (total / count).sqrt()


def _least(errors: Tensor) -> float:
    """Level of the least error, between those tried by a parabola in its logarithm."""
    i = int(errors.argmin())
    if not 0 < i < len(errors) - 1:
        return LEVELS_TRIED[i]
    before, least, after = (float(e) for e in errors[i - 1 : i + 2])
    curvature = before - 2 * least + after
    shift = 0.5 * (before - after) / curvature if curvature > 0 else 0.0
    return float(LEVELS_TRIED[i] * (LEVELS_TRIED[i + 1] / LEVELS_TRIED[i]) ** shift)


def evenly_picked(index: Tensor, most: int) -> Tensor:
    """At most so many of an index (N,), evenly spread."""
    return index if len(index) <= most else index[torch.linspace(0, len(index) - 1, most).long()]


def _shrunk(image: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(image, image.shape[-1] // size)
