"""The Gaussian round a MAP point (Laplace), in the Gauss-Newton approximation.

    precision = S^-1 (I + H) S^-1,   H = S J' R^-1 J S,   J = d f(G(v)) / d v,   S = the prior's standard deviations
    H ~ U diag(l) U'   (k directions)
    v = m + S (e - U (1 - (1 + l)^-1/2) U' e),   e ~ N(0, I)

Few latents: all directions, by products with J alone. Many: the leading ones, from random products with H (Halko,
Martinsson and Tropp, arXiv 0909.4061, Algorithm 5.3), and the prior's spread in the others. Products with J are central
differences, so that any generator will do and a batch of them is one call; those with J' are gradients.

Source: MacKay, "A practical Bayesian framework for backpropagation networks" (1992), Sec. 3; Bui-Thanh et al., "A
computational framework for infinite-dimensional Bayesian inverse problems" (2013), Sec. 3.7 (the low-rank form).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.inference.variational import Gaussian

if TYPE_CHECKING:
    from napari_brgm.posterior import Posterior

__all__ = ["LowRankGaussian", "laplace_at"]

_FEW = 512  # latents; of so many all directions are looked at
_RANK = 64  # directions of more
_STEP = 0.05  # of the differences, in standard deviations of the prior
_BATCH = 16  # images at a time


@dataclass(frozen=True, slots=True)
class LowRankGaussian:
    """N(mean, covariance) with covariance = S (I + U diag(l) U')^-1 S.

    Attributes
    ----------
    mean : (L, D) Tensor
    scale : (L, D) Tensor
        Diagonal of S.
    directions : (L D, k) Tensor
        U, orthonormal.
    gain : (k,) Tensor
        l, by how much the data know a direction better than the prior does.
    """

    mean: Tensor
    scale: Tensor
    directions: Tensor
    gain: Tensor

    @property
    def std(self) -> Tensor:
        """(L, D) standard deviations of the best diagonal q in KL(q || p): 1 / sqrt of the precision's diagonal."""
        known = self.directions.square() @ self.gain  # (L D,)
        return self.scale * (1 + known).rsqrt().reshape(self.scale.shape)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw v (n, L, D), n > 1, centred: their mean is ``mean``, their variance stays unbiased."""
        white = torch.randn(n, *self.mean.shape, generator=generator)
        white = (white - white.mean(dim=0)) * (n / (n - 1)) ** 0.5
        e = white.to(self.mean).flatten(1)  # (n, L D)
        e = e - ((e @ self.directions) * (1 - (1 + self.gain).rsqrt())) @ self.directions.T
        draws: Tensor = self.mean + self.scale * e.reshape(n, *self.mean.shape)
        return draws


def laplace_at(posterior: Posterior, v: Tensor, generator: torch.Generator) -> Gaussian | LowRankGaussian:
    """Gaussian round the MAP coordinates v (1, L, D).

    Where the linear part preconditions the problem, its exact posterior covariance (std 1 in v) is taken as it is.
    """
    if posterior.linear is not None:
        return Gaussian(v[0].detach(), posterior.start_std())
    mean, scale = v[0].detach(), posterior.start_std()
    size = mean.numel()
    if size <= _FEW:
        basis = torch.eye(size, device=mean.device)
    else:
        probes = torch.randn(size, _RANK, generator=generator).to(mean)
        products = _transposed_products(posterior, mean, scale, _products(posterior, mean, scale, probes.T))
        basis = torch.linalg.qr(products.T).Q  # (L D, k)
    seen = _products(posterior, mean, scale, basis.T)  # (k, M)
    gain, vectors = torch.linalg.eigh((seen @ seen.T).double())
    return LowRankGaussian(mean, scale, basis @ vectors.to(basis), gain.clamp(min=0).to(mean))


def _weight(posterior: Posterior) -> Tensor | float:
    """Diagonal of R^-1/2 on the observation."""
    weight = posterior.likelihood.weight
    return float(posterior.lambda_pixel**0.5) if weight is None else posterior.lambda_pixel**0.5 * weight.sqrt()


@torch.no_grad()
def _products(posterior: Posterior, mean: Tensor, scale: Tensor, directions: Tensor) -> Tensor:
    """R^-1/2 J S d (k, M) of directions d (k, L D)."""
    found = []
    for part in torch.split(directions, _BATCH // 2):
        steps = _STEP * scale * part.reshape(-1, *mean.shape)  # (b, L, D)
        predicted = -posterior.likelihood.residual(posterior.images(torch.cat([mean + steps, mean - steps])))
        ahead, behind = (predicted * _weight(posterior)).chunk(2)
        found.append(((ahead - behind) / (2 * _STEP)).flatten(1))
    return torch.cat(found)


def _transposed_products(posterior: Posterior, mean: Tensor, scale: Tensor, seen: Tensor) -> Tensor:
    """S J' R^-1/2 y (k, L D) of observations y (k, M)."""
    found = []
    for part in torch.split(seen, _BATCH):
        v = mean.expand(len(part), *mean.shape).clone().requires_grad_(True)
        predicted = -posterior.likelihood.residual(posterior.images(v)) * _weight(posterior)
        (back,) = torch.autograd.grad(predicted, v, part.reshape(predicted.shape))
        found.append((back * scale).flatten(1))
    return torch.cat(found)
