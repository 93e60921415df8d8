"""The exact posterior of a stack under a generator's linear part, slices correlated along their axis.

    u ~ N(0, K),  K = (rho_k(z_i - z_j)) for each latent k,      p(y_i | u_i) ~ exp(-u_i' P_i u_i / 2 + b_i' u_i)
    u = L v,  L L' = K:     precision of v = I + L' P L,  mean = (I + L' P L)^-1 L' b
    a draw = the same with b + L^-T xi_1 + P^(1/2) xi_2                                     (perturb and optimise)

P_i and b_i are what one slice says of its own latents: the posterior of a slice alone without its prior. The system is
solved by conjugate gradients, batched over draws, preconditioned by what it would be if each P_i were diagonal, which
the bases of principal components nearly make it.

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), Sec. 3.4.3 (the symmetric form);
Papandreou and Yuille, "Gaussian sampling by local perturbations", NIPS 2010 (draws).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.corruptions.conjugate_gradient import solved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from napari_brgm.priors.gaussian_posterior import GaussianPosterior

__all__ = ["StackPosterior"]

_ITERATIONS = 200
_TOLERANCE = 1e-5  # of the right-hand side's norm


class StackPosterior:
    """p(u_1 .. u_n | y_1 .. y_n) of whitened latents.

    Parameters
    ----------
    alone : sequence of GaussianPosterior
        Of each slice without the others, in its whitened latents.
    correlation : (K, n, n) Tensor
        Of each latent between the slices.
    check : callable, optional
        Called before each iteration; what it raises ends the work.

    Attributes
    ----------
    mean : (n, K) Tensor
    """

    def __init__(
        self, alone: Sequence[GaussianPosterior], correlation: Tensor, check: Callable[[], None] | None = None
    ) -> None:
        self._check = check
        like = alone[0].precision
        self._factor = torch.linalg.cholesky(correlation.double()).to(like)  # (K, n, n): L
        distinct: dict[int, Tensor] = {}
        self._data = [distinct.setdefault(id(one), one.precision - torch.eye(len(one.mean)).to(like)) for one in alone]
        self._linear = torch.stack([one.precision @ one.mean for one in alone])  # (n, K): b
        diagonal = torch.stack([data.diagonal().clamp(min=0) for data in self._data], dim=1)  # (K, n)
        eye = torch.eye(len(alone), dtype=torch.float64, device=like.device)
        factor = self._factor.double()
        inner = eye + factor.mT @ (diagonal.double()[:, :, None] * factor)
        self._inverse = torch.linalg.inv(inner).to(like)  # (K, n, n)
        self.mean = self._up(self._solved(self._down(self._linear[None])))[0]

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw stacks of latents (count, n, K), random numbers of the CPU; centred round the mean for two or more."""
        n, size = self._linear.shape
        like = self._linear
        roots: dict[int, Tensor] = {}
        right = torch.randn(count, n, size, generator=generator).to(like)
        for i, data in enumerate(self._data):
            if id(data) not in roots:
                values, vectors = torch.linalg.eigh(data.double())
                roots[id(data)] = (vectors * values.clamp(min=0).sqrt()).to(like)
            noise = torch.randn(count, size, generator=generator).to(like) @ roots[id(data)].T  # cov P_i
            part = torch.zeros_like(right)
            part[:, i] = noise
            right = right + self._down(part)
        apart = self._up(self._solved(right))
        if count > 1:
            apart = (apart - apart.mean(dim=0)) * (count / (count - 1)) ** 0.5
        return self.mean + apart

    def _up(self, v: Tensor) -> Tensor:
        """L v for v (B, n, K)."""
        return torch.einsum("kij,bjk->bik", self._factor, v)

    def _down(self, u: Tensor) -> Tensor:
        """L' u for u (B, n, K)."""
        return torch.einsum("kji,bjk->bik", self._factor, u)

    def _precision(self, v: Tensor) -> Tensor:
        """(I + L' P L) v."""
        u = self._up(v)
        seen = torch.stack([u[:, i] @ data for i, data in enumerate(self._data)], dim=1)
        return v + self._down(seen)

    def _solved(self, right: Tensor) -> Tensor:
        """(I + L' P L)^-1 right, for right (B, n, K)."""
        return solved(
            self._precision, right, iterations=_ITERATIONS, tolerance=_TOLERANCE, check=self._check,
            eased=lambda v: torch.einsum("kij,bjk->bik", self._inverse, v),
        )  # fmt: skip
