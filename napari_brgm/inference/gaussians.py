"""Gaussians q(v) of the latents: diagonal, with a few columns beside the diagonal, and as a change of a known one.

    Gaussian          N(mean, diag s^2)
    FactorGaussian    N(mean, diag s^2 + F F')
    LowRankGaussian   N(mean, S (I + U diag(l) U')^-1 S)

Draws are made on the CPU, so that a seed means the same on every device, and centred: their mean is q's, and their
variance stays unbiased.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["FactorGaussian", "Gaussian", "LowRankGaussian", "Spread", "centred_normal"]

_DENSE = 2048  # latents of which a full covariance is made, for the start of VI


def centred_normal(n: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal numbers (n, *shape), n > 1, with mean 0 over n and their variance kept."""
    white = torch.randn(n, *shape, generator=generator)
    centred: Tensor = (white - white.mean(dim=0)) * (n / (n - 1)) ** 0.5
    return centred


class Spread(Protocol):
    """Latents that the data leave likely."""

    @property
    def mean(self) -> Tensor: ...  # (L, D)
    def sample(self, n: int, generator: torch.Generator) -> Tensor: ...  # (n, L, D)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """q(v) = N(mean, diag std^2).

    Attributes
    ----------
    mean, std : (L, D) Tensor
    """

    mean: Tensor
    std: Tensor

    def excess(self, rank: int) -> Tensor:
        """(rank, L, D) columns F of what the covariance is beyond its diagonal: none."""
        return torch.zeros(rank, *self.mean.shape, device=self.mean.device)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw v (n, L, D), n > 1."""
        return self.mean + self.std * centred_normal(n, self.mean.shape, generator).to(self.mean)


@dataclass(frozen=True, slots=True)
class FactorGaussian:
    """q(v) = N(mean, diag std^2 + factor factor').

    Attributes
    ----------
    mean, std : (L, D) Tensor
    factor : (r, L, D) Tensor
    """

    mean: Tensor
    std: Tensor
    factor: Tensor

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw v (n, L, D), n > 1."""
        own = centred_normal(n, self.mean.shape, generator).to(self.mean)
        shared = centred_normal(n, (len(self.factor),), generator).to(self.mean)
        draws: Tensor = self.mean + self.std * own + torch.tensordot(shared, self.factor, dims=1)
        return draws


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
        l > -1, by how much a direction is better known than S says.
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

    def excess(self, rank: int) -> Tensor:
        """(rank, L, D) columns F with F F' near the covariance less ``std`` squared; 0 where latents are many."""
        size = self.mean.numel()
        found = torch.zeros(rank, size, device=self.mean.device)
        if size <= _DENSE:
            known = (self.directions * (self.gain / (1 + self.gain))) @ self.directions.T
            scale = self.scale.flatten()
            beyond = scale[:, None] * (torch.eye(size, device=known.device) - known) * scale
            values, vectors = torch.linalg.eigh((beyond - torch.diag(self.std.flatten().square())).double())
            columns = (vectors * values.clamp(min=0).sqrt()).flip(1).T[:rank]
            found[: len(columns)] = columns.to(found)
        return found.reshape(rank, *self.mean.shape)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw v (n, L, D), n > 1."""
        e = centred_normal(n, self.mean.shape, generator).to(self.mean).flatten(1)  # (n, L D)
        e = e - ((e @ self.directions) * (1 - (1 + self.gain).rsqrt())) @ self.directions.T
        draws: Tensor = self.mean + self.scale * e.reshape(n, *self.mean.shape)
        return draws
