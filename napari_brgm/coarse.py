"""The measurement in coarser pixels: what coarse-to-fine optimisation compares first.

    r_b = sum_{i in b} m_i q_i r_i / n_b,   n_b = sum_{i in b} m_i q_i,   loss = lambda sum_b n_b r_b^2

over blocks b of s x s pixels, with m the measured ones and q their relative precision: the residual of a block is the
mean of what was observed in it, and counts as much as its pixels did. A constant residual costs the same at every s;
one that changes within a block costs less (Jensen), so that the coarse loss is a lower bound of the fine one.

Source: the multiresolution strategy of Bunks et al., "Multiscale seismic waveform inversion", Geophysics 60 (1995);
BRGM itself has one scale.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from napari_brgm.likelihood import Likelihood
    from napari_brgm.posterior import Posterior

__all__ = ["coarser", "levels", "seen_coarser"]

_LEAST = 8  # pixels on the shorter side of a measurement that is still worth comparing


def levels(likelihood: Likelihood) -> list[int]:
    """Block sizes from coarse to fine, for instance [4, 2, 1]; small measurements have fewer."""
    side = min(likelihood.observation.shape[-2:])
    return [s for s in (4, 2) if side // s >= _LEAST] + [1]


def coarser(likelihood: Likelihood, block: int) -> Likelihood:
    """The same measurement in blocks of ``block`` pixels, without the perceptual term."""
    precision = likelihood.observed if likelihood.weight is None else likelihood.observed * likelihood.weight
    amount = _summed(precision, block)  # (1, 1, h / s, w / s)
    share = torch.where(amount > 0, 1 / amount.clamp(min=1e-30), torch.zeros_like(amount))

    def pooled(grey: Tensor) -> Tensor:
        return _summed(grey * precision, block) * share

    fine = likelihood.forward_map
    return replace(
        likelihood,
        observation=pooled(likelihood.observation),
        forward_map=lambda x: pooled(fine(x)),
        observed=(amount > 0).to(amount),
        features=None,
        weight=amount,
    )


def seen_coarser(posterior: Posterior, block: int) -> Posterior:
    """The same posterior in the same coordinates, of the coarser measurement."""
    if block == 1:
        return posterior
    found = copy.copy(posterior)  # with what it has worked out: its coordinates are those of the fine measurement
    object.__setattr__(found, "likelihood", coarser(posterior.likelihood, block))
    return found


def _summed(x: Tensor, block: int) -> Tensor:
    """Sums (B, C, h / s, w / s) over blocks of x (B, C, h, w); the last ones are partial."""
    h, w = x.shape[-2:]
    x = F.pad(x, (0, -w % block, 0, -h % block))
    return F.avg_pool2d(x, block) * block**2
