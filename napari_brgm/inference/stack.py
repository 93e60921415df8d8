"""The exact posterior of a stack under a generator's linear part, slices correlated along their axis.

    u ~ N(0, K),  K = (rho_k(z_i - z_j)) for each latent k,      p(y_j | z_j) ~ exp(-z_j' P_j z_j / 2 + b_j' z_j)
    z_j = sum_i M_ji u_i:  what a measured slice holds of the stack's (itself, or a weighted sum of thin ones)
    u = a + L v,  v ~ N(0, I):     precision of v = I + L' M' P M L,  mean = (I + L' M' P M L)^-1 L' M' (b - P M a)
    a draw = the same with xi_1 + L' M' P^(1/2) xi_2 beside it on the right                (perturb and optimise)

P_j and b_j are what one slice says of its own latents: the posterior of a slice alone without its prior. a = 0 and
L L' = K, but where the first slices are known already, as when a long stack is gone through in parts: then a is the
mean of the others given these, and L L' what is left of their covariance (Matheron's rule goes on from slice to slice).
The system is solved by conjugate gradients, batched over draws, preconditioned by what it would be if each P_j were
diagonal, which the bases of principal components nearly make it.

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), Sec. 3.4.3 (the symmetric form);
Papandreou and Yuille, "Gaussian sampling by local perturbations", NIPS 2010 (draws).
"""

from __future__ import annotations

from functools import cached_property
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
_ROUNDING = 1e-6  # of the greatest entry, by which a Gram matrix may miss being positive


class StackPosterior:
    """p(u_1 .. u_n | y_1 .. y_m) of whitened latents.

    Parameters
    ----------
    alone : sequence of GaussianPosterior
        Of each of the m measured slices without the others, in its whitened latents.
    correlation : (K, n, n) Tensor
        Of each latent between the slices of the stack.
    profile : (m, n) Tensor or None
        M; None: the measured slices are those of the stack.
    known : (k, K) Tensor or None
        Latents of the first k slices, where these are given.
    check : callable, optional
        Called before each iteration; what it raises ends the work.

    Attributes
    ----------
    mean : (n, K) Tensor
    start : (n - k, K) Tensor
        v of the mean.
    """

    def __init__(
        self, alone: Sequence[GaussianPosterior], correlation: Tensor, profile: Tensor | None = None,
        known: Tensor | None = None, check: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._check = check
        like = alone[0].precision
        eye = torch.eye(len(like)).to(like)
        distinct: dict[int, Tensor] = {}
        self._data = [distinct.setdefault(id(one.precision), one.precision - eye) for one in alone]  # P
        self._linear = torch.stack([one.precision @ one.mean for one in alone])  # (m, K): b
        self._profile = profile
        self._known = 0 if known is None else len(known)
        between = correlation.double()
        k = self._known
        given, across, rest = between[:, :k, :k], between[:, k:, :k], between[:, k:, k:]
        gain = torch.linalg.solve(given, across.mT).mT if k else across
        self._gain = gain.to(like)  # (K, n - k, k)
        left = torch.linalg.cholesky(rest - gain @ across.mT)
        self._factor = torch.cat([left.new_zeros(len(left), k, left.shape[2]), left], dim=1).to(like)  # (K, n, n - k)
        diagonal = torch.stack([data.diagonal().clamp(min=0) for data in self._data]).double()  # (m, K)
        seen = (
            self._factor.double()
            if profile is None
            else torch.einsum("ji,kir->kjr", profile.double(), self._factor.double())
        )
        inner = torch.eye(left.shape[2]).to(left) + seen.mT @ (diagonal.T[:, :, None] * seen)
        self._inverse = torch.linalg.inv(inner).to(like)  # (K, n - k, n - k)
        offset = self._offset(None if known is None else known[None], len(alone))
        self.start = self._solved(self._pull(offset))[0]
        self.mean = (offset + self._up(self.start[None]))[0]

    def latents(self, eta: Tensor) -> Tensor:
        """U (B, n, K) = mean + L C eta for eta (B, n - k, K), which is about N(0, I): coordinates to search in."""
        return self.mean + self._up(self.spread(eta))

    def spread(self, eta: Tensor) -> Tensor:
        """C eta: v from its mean, (B, n - k, K); C C' is the preconditioner."""
        found: Tensor = torch.einsum("kij,bjk->bik", self._coordinates, eta)
        return found

    @cached_property
    def _coordinates(self) -> Tensor:
        """(K, n - k, n - k): C."""
        factor: Tensor = torch.linalg.cholesky(self._inverse.double())
        return factor.to(self._inverse)

    def sample(self, count: int, generator: torch.Generator, known: Tensor | None = None) -> Tensor:
        """Draw stacks of latents (count, n, K), random numbers of the CPU; centred round the mean for two or more.

        ``known`` (count, k, K): the first slices of each draw, where these are given; their mean is what is known.
        """
        m, size = self._linear.shape
        like = self._linear
        roots: dict[int, Tensor] = {}
        right = torch.randn(count, *self.start.shape, generator=generator).to(like)
        noise = torch.empty(count, m, size).to(like)
        for j, data in enumerate(self._data):
            if id(data) not in roots:
                roots[id(data)] = _root(data)
            noise[:, j] = torch.randn(count, size, generator=generator).to(like) @ roots[id(data)].T  # cov P_j
        offset = self._offset(known, m)
        drawn = offset + self._up(self._solved(right + self._down(noise) + self._pull(offset)))
        k = self._known
        if count > 1:
            apart = drawn[:, k:]
            drawn[:, k:] = self.mean[k:] + (apart - apart.mean(dim=0)) * (count / (count - 1)) ** 0.5
        return drawn

    def _offset(self, known: Tensor | None, m: int) -> Tensor:
        """A (B, n, K): the known slices, and the others' mean given these; 0 where none are known."""
        if known is None:
            return self._linear.new_zeros(1, self._factor.shape[1], self._linear.shape[1])
        return torch.cat([known, torch.einsum("kij,bjk->bik", self._gain, known)], dim=1)

    def _pull(self, offset: Tensor) -> Tensor:
        """L' M' (b - P M a)."""
        return self._down(self._linear - self._weighed(self._seen(offset)))

    def _seen(self, u: Tensor) -> Tensor:
        """M u of u (B, n, K): (B, m, K)."""
        return u if self._profile is None else torch.einsum("ji,bik->bjk", self._profile, u)

    def _weighed(self, z: Tensor) -> Tensor:
        """P z of z (B, m, K)."""
        return torch.stack([z[:, j] @ data for j, data in enumerate(self._data)], dim=1)

    def _up(self, v: Tensor) -> Tensor:
        """L v for v (B, n - k, K)."""
        return torch.einsum("kij,bjk->bik", self._factor, v)

    def _down(self, z: Tensor) -> Tensor:
        """L' M' z for z (B, m, K)."""
        u = z if self._profile is None else torch.einsum("ji,bjk->bik", self._profile, z)
        found: Tensor = torch.einsum("kji,bjk->bik", self._factor, u)
        return found

    def _precision(self, v: Tensor) -> Tensor:
        """(I + L' M' P M L) v."""
        return v + self._down(self._weighed(self._seen(self._up(v))))

    def _solved(self, right: Tensor) -> Tensor:
        """(I + L' M' P M L)^-1 right, for right (B, n - k, K)."""
        return solved(
            self._precision, right, iterations=_ITERATIONS, tolerance=_TOLERANCE, check=self._check,
            eased=lambda v: torch.einsum("kij,bjk->bik", self._inverse, v),
        )  # fmt: skip


def _root(gram: Tensor) -> Tensor:
    """A square root of a Gram matrix, which rounding may have made slightly indefinite."""
    least = _ROUNDING * float(gram.diagonal().max().clamp(min=_ROUNDING))
    while True:
        factor: Tensor
        factor, info = torch.linalg.cholesky_ex(gram.double() + least * torch.eye(len(gram)).to(gram))
        if not int(info):
            return factor.to(gram)
        least *= 10
