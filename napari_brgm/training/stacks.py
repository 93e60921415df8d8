"""Stacks: what training slabs say of how the slices of a head belong together, measured for a prior that is there.

Latents: the linear posterior's means of whole slices. Residual field: what the components miss of subjects that they
were not fitted to (folds of the subjects; the prior's own components have seen them all, and what they miss of these is
smaller and rougher than of a new head).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.errors import InputError
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.stack_field import radii
from napari_brgm.priors.through_plane import FREQUENCIES, ThroughPlane, correlations

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.prior import Prior
    from napari_brgm.priors.residual_field import ResidualField

__all__ = ["fit_through_plane", "stacks_of"]

_REACH_MM = 16.0  # lags that are measured
_FOLDS = 5
_FEWEST = 4  # slices of a subject


def stacks_of(slices: SliceSet) -> Tensor:
    """(S, Z, 1, R, R) neighbouring slices of S subjects in [-1, 1], as many of each as the fewest have.

    Raises
    ------
    InputError
        They are in colour, or a subject has fewer than four.
    """
    stacks = slices.stacks()
    fewest = min(map(len, stacks), default=0)
    if fewest < _FEWEST:
        raise InputError("grey slices are needed, at least four neighbours of each subject, in order")
    images = torch.from_numpy(np.stack([stack[:fewest] for stack in stacks]))
    return images[:, :, None] / 127.5 - 1


def fit_through_plane(
    prior: Prior, stacks: Tensor, spacing_mm: float, report: Callable[[str], None] = print
) -> ThroughPlane:
    """Correlations along the slice axis of a prior with an exact linear part and a residual field.

    Parameters
    ----------
    prior : Prior
    stacks : (S, Z, 1, R, R) Tensor
        Neighbouring slices of its training subjects, [-1, 1].
    spacing_mm : float
        Between them.

    Raises
    ------
    InputError
        The prior has no such parts, or the slices do not suit it.
    """
    line, field = prior.parts.line, prior.parts.residual
    if line is None or not line.exact or field is None:
        raise InputError(f"{prior.info.name} has no linear part and residual field that slices could be correlated in")
    if not spacing_mm > 0 or stacks.shape[-1] != prior.resolution:
        raise InputError(f"slices of {prior.resolution} pixels a side are needed, and their distance in mm above 0")
    lags = min(int(_REACH_MM / spacing_mm) + 1, stacks.shape[1])
    variance = (field.std.square() / 127.5**2).flatten()
    latents = torch.stack([_encoded(line.whitened, stack, variance) for stack in stacks])
    report(f"latents of {len(stacks)} stacks of {stacks.shape[1]} slices")
    products = torch.zeros(len(FREQUENCIES), lags)
    for fold in range(_FOLDS):
        own = torch.arange(len(stacks)) % _FOLDS == fold
        others = stacks[~own].flatten(0, 1)
        rank = min(line.model.rank, len(others) - 1)
        model = LinearModel.fit(others, rank, grid=line.model.coarse.shape[-1])
        for stack in stacks[own]:
            missed = stack - model.synthesize(_encoded(model, stack, variance)[:, None])
            products += _frequency_products(missed, field, lags)
        report(f"residual field of fold {fold + 1} of {_FOLDS}")
    seen = products[:, 0] > 0  # a small frame has no wave of some FREQUENCIES: the nearest that it has stands for it
    apart = (torch.tensor(FREQUENCIES)[:, None] - torch.tensor(FREQUENCIES)).abs().masked_fill(~seen, torch.inf)
    products = products[apart.argmin(dim=1)]
    measured = products / products[:, :1].clamp(min=torch.finfo(products.dtype).tiny)
    return ThroughPlane.fit(correlations(latents, lags), measured, spacing_mm)


def _encoded(model: LinearModel, images: Tensor, variance: Tensor) -> Tensor:
    """(N, K) posterior means of latents N(0, I) for images (N, 1, R, R), noise ``variance`` (pixels,)."""
    basis = model.basis.flatten(1)
    weighted = basis / variance
    precision = weighted @ basis.T
    precision.diagonal().add_(1.0)
    right = weighted @ (images - model.mean).flatten(1).T
    found: Tensor = torch.cholesky_solve(right, torch.linalg.cholesky(precision)).T
    return found


def _frequency_products(missed: Tensor, field: ResidualField, lags: int) -> Tensor:
    """(F, lags) mean products of slices (Z, 1, R, R) so many apart, by their spatial frequency: that of FREQUENCIES
    which is nearest. Each pixel counts by the field's standard deviation there.
    """
    size = missed.shape[-1]
    coefficients = torch.fft.rfft2(missed[:, 0] / field.std)  # (Z, R, R // 2 + 1)
    known = torch.tensor(FREQUENCIES)
    nearest = torch.bucketize(radii(size), (known[1:] + known[:-1]) / 2).flatten()
    found = torch.zeros(len(known), lags)
    for lag in range(lags):
        power = (coefficients[: len(missed) - lag].conj() * coefficients[lag:]).real.mean(dim=0)
        found[:, lag].index_add_(0, nearest, power.flatten())
    return found
