"""Gaussian densities of one latent w, by a full covariance or by principal components."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import torch
from torch import Tensor

__all__ = ["LatentStatistics", "Latents", "LowRankStatistics"]


class Latents(Protocol):
    """N(mean, covariance) of one latent w (D,), and its whitened coordinates u (rank,) ~ N(0, I)."""

    @property
    def mean(self) -> Tensor: ...  # (D,)
    @property
    def std(self) -> Tensor: ...  # (D,)
    @property
    def rank(self) -> int: ...
    def colour(self, u: Tensor) -> Tensor: ...  # (..., rank) -> (..., D)
    def whiten(self, w: Tensor) -> Tensor: ...  # (..., D) -> (..., rank); w outside the span of the factor is projected
    def to(self, device: torch.device | str) -> Self: ...


@dataclass(frozen=True)
class LatentStatistics:
    """Mean and covariance of the latents w under the prior (BRGM Sec. 2.2: from 10,000 mapped z).

    Attributes
    ----------
    mean : (D,) Tensor
    covariance : (D, D) Tensor
    """

    mean: Tensor
    covariance: Tensor

    @cached_property
    def std(self) -> Tensor:  # (D,)
        """Per-dimension standard deviation, the sigma of BRGM Eq. 6."""
        return self.covariance.diagonal().clamp(min=1e-12).sqrt()

    @cached_property
    def factor(self) -> Tensor:  # (D, D), lower triangular, w = mean + factor u with u ~ N(0, I)
        """Cholesky factor of the covariance, regularised by 1e-6 of its mean variance so that rank gaps do no harm."""
        ridge = 1e-6 * self.covariance.diagonal().mean() + 1e-12
        eye = torch.eye(len(self.mean), dtype=torch.float64, device=self.mean.device)
        factor: Tensor = torch.linalg.cholesky(self.covariance.double() + ridge * eye)
        return factor.to(self.mean.dtype)

    @property
    def rank(self) -> int:
        return len(self.mean)

    def colour(self, u: Tensor) -> Tensor:  # (..., D) -> (..., D)
        """Latents w of whitened u."""
        return self.mean + u @ self.factor.T

    def whiten(self, w: Tensor) -> Tensor:  # (..., D) -> (..., D)
        """Whitened u of latents w."""
        apart = (w - self.mean).reshape(-1, len(self.mean))
        u: Tensor = torch.linalg.solve_triangular(self.factor, apart.T, upper=False).T
        return u.reshape(w.shape)

    @classmethod
    def standard(cls, size: int) -> LatentStatistics:
        """N(0, I) in ``size`` dimensions."""
        return cls(torch.zeros(size), torch.eye(size))

    @classmethod
    def of(cls, latents: Tensor) -> LatentStatistics:
        """Statistics of latents (N, D)."""
        return cls(latents.mean(dim=0), torch.cov(latents.T, correction=0))

    @classmethod
    def of_nearly_symmetric(cls, latents: Tensor, signs: Tensor, share: float) -> LatentStatistics:
        """Statistics of a mixture: ``share`` the latents (N, D), the rest mirrored, (N, D) * ``signs`` (D,)."""
        one, other = cls.of(latents), cls.of(latents * signs)
        mean = share * one.mean + (1 - share) * other.mean
        apart = (one.mean - mean, other.mean - mean)
        covariance = share * (one.covariance + torch.outer(apart[0], apart[0]))
        covariance += (1 - share) * (other.covariance + torch.outer(apart[1], apart[1]))
        return cls(mean, covariance)

    def to(self, device: torch.device | str) -> LatentStatistics:
        return LatentStatistics(self.mean.to(device), self.covariance.to(device))


_ROUNDING = 1e-6  # of the largest variance: single precision tells no smaller ones from zero


@dataclass(frozen=True)
class LowRankStatistics:
    """N(mean, B' B) of latents that are too many for a full covariance: principal components of a training set's.

    Attributes
    ----------
    mean : (D,) Tensor
    basis : (K, D) Tensor
        B: principal directions, orthogonal, each as long as the standard deviation along it.
    """

    mean: Tensor
    basis: Tensor

    @cached_property
    def std(self) -> Tensor:  # (D,)
        return self.basis.square().sum(dim=0).clamp(min=1e-12).sqrt()

    @property
    def rank(self) -> int:
        return len(self.basis)

    def colour(self, u: Tensor) -> Tensor:  # (..., K) -> (..., D)
        """Latents w of whitened u."""
        return self.mean + u @ self.basis

    def whiten(self, w: Tensor) -> Tensor:  # (..., D) -> (..., K)
        """Whitened u of the projection of w on the components."""
        return (w - self.mean) @ (self.basis / self.basis.square().sum(dim=1, keepdim=True).clamp(min=1e-30)).T

    @classmethod
    def of(cls, latents: Tensor, components: int) -> LowRankStatistics:
        """Principal components of latents (N, D), at most N - 1 of them, by the Gram matrix: D may be large.

        Directions in which the latents do not differ beyond rounding are left out; one is always kept.
        """
        n = len(latents)
        mean = latents.mean(dim=0)
        gram = torch.zeros(n, n, dtype=torch.float64)
        for part in torch.split(torch.arange(latents.shape[1]), 4096):  # columns, so that no copy of all is made
            centred = (latents[:, part[0] : part[-1] + 1] - mean[part]).float()
            gram += (centred @ centred.T).double()
        values, vectors = torch.linalg.eigh(gram)
        real = int((values > _ROUNDING * values[-1].clamp(min=1e-30)).sum())
        chosen = vectors.flip(1)[:, : max(min(components, n - 1, real), 1)].T.float()  # (K, N)
        basis = (chosen @ latents - chosen.sum(dim=1, keepdim=True) * mean) / n**0.5
        return cls(mean, basis)

    def to(self, device: torch.device | str) -> LowRankStatistics:
        return LowRankStatistics(self.mean.to(device), self.basis.to(device))
