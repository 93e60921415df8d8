"""Bandwidths of a kernel density over whitened latents, by held-out likelihood.

    u = a_k c_j + sqrt(1 - a_k^2) s_k n,   j a training slice, n ~ N(0, I), k the band of the latent

a_k = 0 is the Gaussian with variance s_k^2: latents of which training slices say nothing of new subjects get it by
themselves.

Source: Silverman, "Density Estimation", 1986, Sec. 3.4 (cross-validated likelihood), with the shrinkage of West (J. R.
Stat. Soc. B 55, 1993) that keeps the variance.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["band_edges", "fit_shrinkage"]

_STEPS, _RATE = 80, 0.1
_FOLDS = 3
_MOST = 4096  # slices that a likelihood is summed over


def band_edges(rank: int) -> list[int]:
    """First latent of each band and the end: 0, 4, 8, 16, ..., rank."""
    edges = [0, 4]
    while edges[-1] < rank:
        edges.append(min(2 * edges[-1], rank))
    return edges if rank >= 4 else [0, rank]


def fit_shrinkage(latents: Tensor, subjects: Tensor, mirrored: Tensor | None = None) -> Tensor:
    """a, (K,): how far a draw leans on a training slice, for each latent.

    Parameters
    ----------
    latents : (N, K) Tensor
        Whitened, of slices whose leading components come first.
    subjects : (N,) int64 Tensor
        A slice's own subject, and the others of its fold, are not among its centres.
    mirrored : (N, K) Tensor, optional
        Latents of the reflections: they are centres too.
    """
    rank = latents.shape[1]
    edges = band_edges(rank)
    band = torch.zeros(rank, dtype=torch.long, device=latents.device)
    for k, (low, high) in enumerate(pairwise(edges)):
        band[low:high] = k
    order = torch.randperm(int(subjects.max()) + 1, generator=torch.Generator().manual_seed(0))
    fold_of = order.to(subjects.device)[subjects] % _FOLDS
    stride = -(-len(latents) // _MOST)
    logits = torch.full((len(edges) - 1,), -0.5, device=latents.device, requires_grad=True)
    scales = torch.zeros_like(logits, requires_grad=True)
    optimiser = torch.optim.Adam([logits, scales], lr=_RATE)

    def loss(fold: int) -> Tensor:
        inside = fold_of == fold
        own = latents[inside][::stride]
        centres = latents[~inside][::stride]
        if mirrored is not None:
            centres = torch.cat([centres, mirrored[~inside][::stride]])
        a = torch.sigmoid(logits)[band]
        variance = (1 - a * a) * torch.exp(2 * scales)[band]
        distance = (own * own / variance).sum(dim=1)[:, None] + ((a * centres) ** 2 / variance).sum(dim=1)[None]
        distance = distance - 2 * (own * (a / variance)) @ centres.T
        return -(torch.logsumexp(-0.5 * distance, dim=1) - 0.5 * variance.log().sum()).mean()

    for step in range(_STEPS):
        optimiser.zero_grad()
        (loss(step % _FOLDS) / 100).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return torch.sigmoid(logits.detach())[band]
