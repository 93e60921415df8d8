"""Mixture: a density of the latents with the shapes of real heads, and what one slice makes of it.

    p(u) = 1/M sum_j N(a c_j, D),   D = diag(1 - a_k^2)

c_j are whitened leading latents of training slices, a_k how far they are leant on.

Under the prior's line and a linear f all parts share the covariance S of their posterior, S^-1 = G + D^-1:

    w_j ~ exp( tau/2 [ |r + D^-1 a c_j|^2_S - |a c_j|^2_{D^-1} ] )      the weight by evidence, r = B' A' N (y - A mean)
    mean = S (r + z),   covariance = S + S Z S,                         z, Z: mean and covariance of D^-1 a c_j under w

The Gaussian whose posterior has these moments takes the place of N(0, I) for this slice: MAP, Laplace, VI and draws go
on it as on the other. tau = 1/2, since the residuals of neighbouring pixels are correlated (docs/mixture.md).

Source: West, "Approximating posterior distributions by mixtures", J. R. Stat. Soc. B 55 (1993); moment matching as in
Minka, "Expectation propagation", UAI 2001.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.errors import InputError
from napari_brgm.priors.gaussian_posterior import GaussianPosterior

if TYPE_CHECKING:
    from napari_brgm.priors.latents import Latents

__all__ = ["LatentMixture", "Recentred"]

_TEMPER = 0.5  # tau
_WIDEST = 0.1  # least precision along a direction of the Gaussian for one slice: the mixture may have two modes there


@dataclass(frozen=True, eq=False)
class Recentred:
    """N(mean, covariance) of one latent w, as an affine map of whitened latents u = shift + root u'.

    Attributes
    ----------
    base : Latents
    shift : (rank,) Tensor
    root : (k, k) Tensor
        Lower triangular, of the leading k entries; the others stay as they are.
    """

    base: Latents
    shift: Tensor
    root: Tensor

    @property
    def mean(self) -> Tensor:
        """(D,)."""
        return self.base.colour(self.shift)

    @property
    def std(self) -> Tensor:
        """(D,) of the density that it is made from."""
        return self.base.std

    @property
    def rank(self) -> int:
        return self.base.rank

    def colour(self, u: Tensor) -> Tensor:
        """Latents w (..., D) of whitened u (..., rank)."""
        k = len(self.root)
        return self.base.colour(self.shift + torch.cat([u[..., :k] @ self.root.T, u[..., k:]], dim=-1))

    def whiten(self, w: Tensor) -> Tensor:
        """Whitened u (..., rank) of latents w (..., D)."""
        k, apart = len(self.root), self.base.whiten(w) - self.shift
        leading = torch.linalg.solve_triangular(self.root, apart[..., :k].reshape(-1, k).T, upper=False).T
        return torch.cat([leading.reshape(*apart.shape[:-1], k), apart[..., k:]], dim=-1)

    def to(self, device: torch.device | str) -> Recentred:
        """Copy on ``device``."""
        return Recentred(self.base.to(device), self.shift.to(device), self.root.to(device))


@dataclass(frozen=True, eq=False)
class LatentMixture:
    """The density of the module's first equation.

    Attributes
    ----------
    centres : (M, k) Tensor
        Whitened leading latents of training slices, and of their reflections.
    shrinkage : (k,) Tensor
        a, between 0 and 1.

    Raises
    ------
    InputError
        They do not fit together.
    """

    centres: Tensor
    shrinkage: Tensor

    def __post_init__(self) -> None:
        a = self.shrinkage
        if self.centres.ndim != 2 or not len(self.centres) or a.shape != self.centres.shape[1:] or not a.numel():
            raise InputError("centres (M, k) and the shrinkage (k,) of their latents are needed")
        if not (bool(self.centres.isfinite().all()) and bool(((a >= 0) & (a < 1)).all())):
            raise InputError("centres must be numbers, and the shrinkage at least 0 and below 1")

    def under(self, latents: Latents, given: GaussianPosterior) -> tuple[Recentred, GaussianPosterior]:
        """The Gaussian that takes the place of N(0, I) for one slice, and the posterior of its whitened latents.

        Parameters
        ----------
        latents : Latents
            Of the prior.
        given : GaussianPosterior
            Of whitened latents u under N(0, I) and the prior's line.
        """
        k = len(self.shrinkage)
        precision, mean = given.precision.double(), given.mean.double()
        right = precision @ mean  # r
        variance = 1 - self.shrinkage.double().square()  # D
        centres = self.shrinkage.double() * self.centres.double()
        own = precision.clone()
        own[range(k), range(k)] += 1 / variance - 1
        root = torch.linalg.cholesky(own)
        leading = torch.zeros(len(own), k).to(own)
        leading[range(k), range(k)] = 1
        shared = torch.cholesky_solve(leading, root)  # S, its first k columns
        base = torch.cholesky_solve(right[:, None], root)[:, 0]  # S r
        pulls = centres / variance  # D^-1 a c_j
        gain = pulls @ base[:k] + 0.5 * ((pulls @ shared[:k]) * pulls).sum(dim=1) - 0.5 * (pulls * centres).sum(dim=1)
        weights = torch.softmax(_TEMPER * gain, dim=0)
        z = weights @ pulls
        spread = (pulls - z) * weights.sqrt()[:, None]
        found = base + shared @ z
        between = _root(spread.T @ spread)  # Z^1/2
        inner = torch.eye(k).to(own) + between @ shared[:k] @ between
        taken = between @ torch.linalg.solve(inner, between)
        block = _at_least(torch.diag(1 / variance) - taken, _WIDEST)
        own = precision.clone()
        own[:k, :k] += block - torch.eye(k).to(own)
        shift = torch.zeros_like(mean)
        shift[:k] = found[:k] + torch.linalg.solve(block, z - found[:k] / variance)
        # rows k and beyond are those of S^-1 found = r + z: nothing to shift
        out = torch.linalg.cholesky(torch.linalg.inv(block))
        back = found - shift
        back[:k] = torch.linalg.solve_triangular(out, back[:k, None], upper=False)[:, 0]
        own[:k] = out.T @ own[:k]
        own[:, :k] = own[:, :k] @ out
        own = (own + own.T) / 2
        kind = given.mean.dtype
        return Recentred(latents, shift.to(kind), out.to(kind)), GaussianPosterior(back.to(kind), own.to(kind))

    def to(self, device: torch.device | str) -> LatentMixture:
        """Copy on ``device``."""
        return LatentMixture(self.centres.to(device), self.shrinkage.to(device))


def _root(matrix: Tensor) -> Tensor:
    """Symmetric square root of a matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors @ (values.clamp(min=0).sqrt()[:, None] * vectors.T)
    return root


def _at_least(matrix: Tensor, least: float) -> Tensor:
    """Symmetric matrix with no eigenvalue below ``least``."""
    values, vectors = torch.linalg.eigh(matrix)
    wider: Tensor = vectors @ (values.clamp(min=least)[:, None] * vectors.T)
    return wider
