"""GaussianPosterior: p(w | y) of a linear-Gaussian model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["GaussianPosterior"]


@dataclass(frozen=True, slots=True)
class GaussianPosterior:
    """p(w | y) = N(mean, covariance) of a linear-Gaussian model.

    Attributes
    ----------
    mean : (K,) Tensor
    precision : (K, K) Tensor
        Inverse of the covariance.
    """

    mean: Tensor
    precision: Tensor

    @property
    def covariance(self) -> Tensor:  # (K, K)
        covariance: Tensor = torch.cholesky_inverse(torch.linalg.cholesky(self.precision))
        return covariance

    @property
    def mean_field_std(self) -> Tensor:
        """(K,) standard deviations of the best diagonal q in KL(q || p): 1 / sqrt of the precision's diagonal."""
        return self.precision.diagonal().rsqrt()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n latents (n, K)."""
        factor = torch.linalg.cholesky(self.precision)  # precision = F F'
        noise = torch.randn(len(self.mean), n, generator=generator, dtype=torch.float64)
        noise = noise.to(factor)
        deviations: Tensor = torch.linalg.solve_triangular(factor.T, noise, upper=True)
        return self.mean + deviations.T
