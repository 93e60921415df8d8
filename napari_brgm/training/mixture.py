"""Mixture over training slices, fitted for a prior that is there (priors/latent_mixture.py).

Centres are the whitened latents of its slices, by least squares; how far they are leant on is fitted by held-out
likelihood over folds of the subjects (bandwidths.py), and latents of which slices say nothing of other subjects are
left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.errors import InputError
from napari_brgm.priors.latent_mixture import LatentMixture
from napari_brgm.training.bandwidths import fit_shrinkage

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.priors.prior import Prior

__all__ = ["fit_mixture"]

_LATENTS = 32  # at most: beyond them training slices say nothing of new ones
_LARGEST = 0.995  # a: a part must have some width
_BATCH = 256


def fit_mixture(prior: Prior, images: Tensor, subjects: Tensor, *, mirror: bool) -> LatentMixture:
    """Fit the mixture.

    Parameters
    ----------
    prior : Prior
        With an exact line.
    images : (N, 1, R, R) Tensor
        Its training slices, [-1, 1].
    subjects : (N,) int64 Tensor
        0, 1, ...: whose they are.
    mirror : bool
        Reflections are slices too.

    Raises
    ------
    InputError
        The prior has no exact line, or the slices do not suit it.
    """
    line = prior.parts.line
    if line is None or not line.exact:
        raise InputError(f"{prior.info.name} has no linear part whose latents slices could be parts of")
    if images.shape[1:] != (prior.channels, prior.resolution, prior.resolution):
        raise InputError(f"slices of {prior.resolution} pixels a side are needed")
    if int(subjects.max()) < 2:
        raise InputError("slices of at least three subjects are needed")
    model = line.whitened
    flat = model.basis.flatten(1)
    gram = torch.linalg.cholesky(flat @ flat.T)

    def latents(x: Tensor) -> Tensor:
        rights = [flat @ (part - model.mean).flatten(1).T for part in torch.split(x, _BATCH)]
        found: Tensor = torch.cholesky_solve(torch.cat(rights, dim=1), gram).T
        return found[:, :_LATENTS].contiguous()

    own = latents(images)
    reflected = latents(images.flip(-1)) if mirror else None
    shrinkage = fit_shrinkage(own, subjects, reflected).clamp(max=_LARGEST)
    return LatentMixture(own if reflected is None else torch.cat([own, reflected]), shrinkage)
