"""The Gaussian round a MAP point (Laplace), in the Gauss-Newton approximation.

    precision = S^-1 (I + H) S^-1,   I + H = S (Q + J' R^-1 J) S,   J = d f(G(v)) / d v
    H ~ U diag(l) U'   (k directions, l > -1)
    v = m + S (e - U (1 - (1 + l)^-1/2) U' e),   e ~ N(0, I)

S holds the standard deviations that are expected beforehand and Q is the prior's precision in v: S Q S = I, but where
the linear part of the generator preconditions the problem. There S = I is the linear answer, and H what the network
changes of it: directions that its bends make better known (l > 0) or less well (l < 0).

Few latents: all directions, by products with J alone. Many: the leading ones, from random products with H (Halko,
Martinsson and Tropp, arXiv 0909.4061, Algorithm 5.3), and the prior's spread in the others. Products with J are central
differences, so that any generator will do and a batch of them is one call; those with J' are gradients.

Source: MacKay, "A practical Bayesian framework for backpropagation networks" (1992), Sec. 3; Bui-Thanh et al., "A
computational framework for infinite-dimensional Bayesian inverse problems" (2013), Sec. 3.7 (the low-rank form).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.inference.gaussians import Gaussian, LowRankGaussian
from napari_brgm.inference.step import Progress

if TYPE_CHECKING:
    from napari_brgm.posterior import Posterior

__all__ = ["laplace_at", "laplace_batches"]

_FEW = 512  # latents; of so many all directions are looked at
_RANK = 64  # directions of more
_STEP = 0.05  # of the differences, in standard deviations of the prior
_BATCH = 16  # images at a time
_HALF = _BATCH // 2  # directions at a time; each has an image on either side
_LOWEST = -0.9  # gain; differences of a flat direction may come out below what is possible


def laplace_batches(posterior: Posterior, *, linearised: bool = True) -> int:
    """How many steps ``laplace_at`` takes."""
    if linearised and posterior.linear is not None:
        return 0
    size = posterior.shape[0] * posterior.shape[1]
    if size <= _FEW:
        return -(-size // _HALF)
    return 2 * -(-_RANK // _HALF) + -(-_RANK // _BATCH)


def laplace_at(
    posterior: Posterior, v: Tensor, generator: torch.Generator, progress: Progress | None = None, *,
    linearised: bool = True,
) -> Gaussian | LowRankGaussian:  # fmt: skip
    """Gaussian round the MAP coordinates v (1, L, D).

    Parameters
    ----------
    posterior : Posterior
    v : (1, L, D) Tensor
    generator : torch.Generator
        Of the random directions (CPU).
    progress : Progress or None
        Gets a step without a loss after each batch of products.
    linearised : bool
        Whether the exact posterior covariance of the generator's linear part (std 1 in v) is taken as it is, where
        there is one; else the Jacobian of the whole generator is looked at.
    """
    if linearised and posterior.linear is not None:
        return Gaussian(v[0].detach(), posterior.start_std())
    progress = progress or Progress()
    mean, scale = v[0].detach(), posterior.start_std()
    size = mean.numel()
    if size <= _FEW:
        basis = torch.eye(size, device=mean.device)
    else:
        probes = torch.randn(size, _RANK, generator=generator).to(mean)
        ahead = _products(posterior, mean, scale, probes.T, progress)
        found = _transposed_products(posterior, mean, scale, ahead, progress)
        basis = torch.linalg.qr((found + _prior_change(posterior, scale, probes.T)).T).Q  # (L D, k)
    seen = _products(posterior, mean, scale, basis.T, progress)  # (k, M)
    inner = (seen @ seen.T + _prior_change(posterior, scale, basis.T) @ basis).double()
    gain, vectors = torch.linalg.eigh((inner + inner.T) / 2)
    return LowRankGaussian(mean, scale, basis @ vectors.to(basis), gain.clamp(min=_LOWEST).to(mean))


def _prior_change(posterior: Posterior, scale: Tensor, directions: Tensor) -> Tensor:
    """(S Q S - I) d (k, L D) of directions d (k, L D)."""
    d = directions.reshape(-1, *scale.shape)
    return (scale * posterior.coordinates.pull(scale * d) - d).flatten(1)


def _weight(posterior: Posterior) -> Tensor | float:
    """Diagonal of R^-1/2 on the observation."""
    weight = posterior.likelihood.observation.weight
    return float(posterior.lambda_pixel**0.5) if weight is None else posterior.lambda_pixel**0.5 * weight.sqrt()


def _products(posterior: Posterior, mean: Tensor, scale: Tensor, directions: Tensor, progress: Progress) -> Tensor:
    """R^-1/2 J S d (k, M) of directions d (k, L D), a batch at a time."""
    found = []
    for part in torch.split(directions, _HALF):
        with torch.no_grad():
            steps = _STEP * scale * part.reshape(-1, *mean.shape)  # (b, L, D)
            predicted = -posterior.likelihood.residual(posterior.images(torch.cat([mean + steps, mean - steps])))
            ahead, behind = (predicted * _weight(posterior)).chunk(2)
            found.append(((ahead - behind) / (2 * _STEP)).flatten(1))
        progress.step("laplace")
    return torch.cat(found)


def _transposed_products(posterior: Posterior, mean: Tensor, scale: Tensor, seen: Tensor, progress: Progress) -> Tensor:
    """S J' R^-1/2 y (k, L D) of observations y (k, M), a batch at a time."""
    found = []
    for part in torch.split(seen, _BATCH):
        v = mean.expand(len(part), *mean.shape).clone().requires_grad_(True)
        predicted = -posterior.likelihood.residual(posterior.images(v)) * _weight(posterior)
        (back,) = torch.autograd.grad(predicted, v, part.reshape(predicted.shape))
        found.append((back * scale).flatten(1))
        progress.step("laplace")
    return torch.cat(found)
