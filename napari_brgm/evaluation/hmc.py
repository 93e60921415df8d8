"""Hamiltonian Monte Carlo: exact draws of the posterior, slowly. It validates the Gaussians where a network is small.

    p(e) ~ exp(-U),   U = loss(v(e)) / 2,   v(e) = m + A e,  A A' the covariance of a Gaussian found before
    H(e, p) = U(e) + |p|^2 / 2;   leapfrog steps of size eps, accepted with probability min(1, exp(-dH))

A Gaussian that fits makes the posterior of e nearly N(0, I): the affine map is the mass matrix. Chains are entries of
one batch. Half-way through the warm-up the map is taken anew from the covariance of the chains so far; the step size is
set by dual averaging to a mean acceptance. Then both stay. For each trajectory of all chains its length is drawn, so
that no period of the motion is hit, and a share of the step size, so that narrow places are entered as well.

Sources: Neal, "MCMC using Hamiltonian dynamics" (2011, arXiv 1206.1901), Sec. 3 to 5; Hoffman and Gelman, "The
No-U-Turn Sampler" (JMLR 15, 2014, arXiv 1111.4246), Sec. 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from napari_brgm.evaluation.convergence import effective_size, split_rhat
from napari_brgm.inference.gaussians import Gaussian
from napari_brgm.inference.step import Progress

if TYPE_CHECKING:
    from napari_brgm.inference.gaussians import LowRankGaussian

__all__ = ["Chains", "Density", "coloured", "run_chains"]

_PATH = math.pi / 2  # length of a mean trajectory; a quarter of the period of N(0, I)
_SHORTEST = 0.5  # of the step size
_LONGEST = 64  # leapfrog steps of a trajectory
_WIDER = 1.5  # times the Gaussian's spread: where chains start


class Density(Protocol):
    """What a posterior tells of coordinates v (B, L, D): terms (B,) of -2 log p, and the images of v."""

    def terms(self, v: Tensor) -> tuple[dict[str, Tensor], Tensor]: ...


@dataclass(frozen=True, slots=True)
class Chains:
    """Draws of the posterior.

    Attributes
    ----------
    draws : (M, N, L, D) Tensor
        Coordinates v of M chains, after warm-up.
    acceptance : float
        Mean probability of acceptance after warm-up.
    step_size : float
        The longest leapfrog step, in standard deviations of the covariance found in warm-up.
    divergent : int
        Trajectories after warm-up whose energy was lost (dH above 1000, or not finite).
    """

    draws: Tensor
    acceptance: float
    step_size: float
    divergent: int

    @property
    def mean(self) -> Tensor:
        """(L, D) mean over all chains."""
        return self.draws.mean(dim=(0, 1))

    @property
    def rhat(self) -> Tensor:
        """(L, D) rank-normalised split R-hat."""
        return split_rhat(self.draws, ranked=True)

    @property
    def effective(self) -> Tensor:
        """(L, D) effective sample size for the mean."""
        return effective_size(self.draws)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Pick n draws (n, L, D) of all chains, without repetition while there are enough."""
        flat = self.draws.flatten(0, 1)
        order = torch.cat([torch.randperm(len(flat), generator=generator) for _ in range(math.ceil(n / len(flat)))])
        return flat[order[:n].to(flat.device)]


def coloured(spread: Gaussian | LowRankGaussian, e: Tensor) -> Tensor:
    """Coordinates v (B, L, D) of white e (B, L, D): v ~ the Gaussian ``spread`` where e ~ N(0, I)."""
    if isinstance(spread, Gaussian):
        return spread.mean + spread.std * e
    flat = e.flatten(1)
    flat = flat - ((flat @ spread.directions) * (1 - (1 + spread.gain).rsqrt())) @ spread.directions.T
    return spread.mean + spread.scale * flat.reshape(e.shape)


@dataclass(frozen=True, slots=True)
class _Affine:
    """v = centre + root e, of e (B, P) and v (B, L, D) with P = L D numbers."""

    centre: Tensor  # (L, D)
    root: Tensor  # (P, P)

    def __call__(self, e: Tensor) -> Tensor:
        return self.centre + (e @ self.root.T).reshape(-1, *self.centre.shape)

    @classmethod
    def of(cls, spread: Gaussian | LowRankGaussian) -> _Affine:
        unit = torch.eye(spread.mean.numel(), dtype=spread.mean.dtype, device=spread.mean.device)
        return cls(spread.mean, (coloured(spread, unit.reshape(-1, *spread.mean.shape)) - spread.mean).flatten(1).T)

    def refitted(self, past: Tensor, e: Tensor) -> tuple[_Affine, Tensor]:
        """The map that makes past draws (N, P) white, and ``e`` (B, P) in its coordinates."""
        n, size = past.shape
        share = n / (n + 5 * size)  # shrunk towards the map that was
        covariance = share * torch.cov(past.T.double()) + (1 - share) * torch.eye(size, device=past.device).double()
        factor, mean = torch.linalg.cholesky(covariance).to(past), past.mean(dim=0)
        moved = torch.linalg.solve_triangular(factor, (e - mean).T, upper=False).T
        return _Affine(self(mean[None])[0], self.root @ factor), moved


@dataclass(slots=True)
class _DualAveraging:
    """log eps of Hoffman and Gelman, Eq. 6, with their constants gamma, t0, kappa."""

    first: float
    target: float
    count: int = 0
    error: float = 0.0
    average: float = field(default=0.0)

    def update(self, acceptance: float) -> float:
        """Step size of the next trajectory."""
        self.count += 1
        share = 1 / (self.count + 10)
        self.error = (1 - share) * self.error + share * (self.target - acceptance)
        now = math.log(10 * self.first) - self.count**0.5 / 0.05 * self.error
        weight = self.count**-0.75
        self.average = weight * now + (1 - weight) * self.average
        return math.exp(now)


def run_chains(
    posterior: Density, spread: Gaussian | LowRankGaussian, generator: torch.Generator,
    progress: Progress | None = None, *, chains: int = 8, warmup: int = 200, draws: int = 500, acceptance: float = 0.8,
    starts: Tensor | None = None,
) -> Chains:  # fmt: skip
    """Sample ``posterior``.

    Parameters
    ----------
    posterior : Density
        Posterior with terms that are sums. Its precision, and that of ``spread``, is that of the arithmetic.
    spread : Gaussian or LowRankGaussian
        Usually Laplace's. Its covariance only decides how fast the chains mix.
    generator : torch.Generator
        Of everything random (CPU).
    progress : Progress or None
        Gets each step with the mean of the chains' images (1, C, R, R).
    chains, warmup, draws : int
        Chains side by side; trajectories of each that are thrown away, and that are kept.
    acceptance : float
        Mean acceptance that the step size is set to.
    starts : (chains, L, D) Tensor or None
        Where chains start, as white e of ``spread``; None: drawn, half as wide again as ``spread``.
    """
    to_v = _Affine.of(spread)
    size = spread.mean.numel()

    def noise() -> Tensor:
        return torch.randn(chains, size, generator=generator).to(spread.mean)

    e = noise() * _WIDER if starts is None else starts.detach().flatten(1)
    energy, force, images = _energy(posterior, to_v, e)
    tuner = _DualAveraging(size**-0.25, acceptance)
    epsilon = tuner.first
    past: list[Tensor] = []
    kept, accepted, divergent = [], 0.0, 0
    progress = progress or Progress(total=warmup + draws)
    for iteration in range(warmup + draws):
        if iteration == warmup // 2 and len(past) > 1:
            to_v, e = to_v.refitted(torch.cat(past[len(past) // 2 :]), e)
            energy, force, images = _energy(posterior, to_v, e)
            tuner = _DualAveraging(size**-0.25, acceptance)
            epsilon = tuner.first
        p = noise()
        length, share = torch.rand(2, generator=generator).tolist()
        step = epsilon * (_SHORTEST + (1 - _SHORTEST) * share)
        steps = min(max(round(_PATH * (0.5 + length) / step), 1), _LONGEST)
        before = energy + 0.5 * p.square().sum(dim=1)
        moved, pull, after, drawn = e, force, energy, images
        for _ in range(steps):
            p = p - 0.5 * step * pull
            moved = moved + step * p
            after, pull, drawn = _energy(posterior, to_v, moved)
            p = p - 0.5 * step * pull
        gained = before - after - 0.5 * p.square().sum(dim=1)  # -dH (M,)
        gained = torch.where(gained.isfinite(), gained, torch.full_like(gained, -math.inf))
        chance = gained.clamp(max=0).exp()
        yes = torch.rand(chains, generator=generator).to(chance) < chance
        e, force = torch.where(yes[:, None], moved, e), torch.where(yes[:, None], pull, force)
        energy, images = torch.where(yes, after, energy), torch.where(yes[:, None, None, None], drawn, images)
        if iteration < warmup:
            past.append(e)
            epsilon = tuner.update(chance.mean().item())
            epsilon = math.exp(tuner.average) if iteration == warmup - 1 else epsilon
        else:
            kept.append(to_v(e))
            accepted += chance.mean().item() / draws
            divergent += int((gained < -1000).sum())
        progress.step("hmc", 2 * energy.mean().item(), None, images.mean(dim=0, keepdim=True))
    return Chains(torch.stack(kept, dim=1), accepted, epsilon, divergent)


def _energy(posterior: Density, to_v: _Affine, e: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (M,), dU/de (M, P) and images of white e."""
    with torch.enable_grad():
        e = e.detach().requires_grad_(True)
        terms, images = posterior.terms(to_v(e))
        energy = 0.5 * torch.stack(list(terms.values())).sum(dim=0)
        (force,) = torch.autograd.grad(energy.sum(), e)
    return energy.detach(), force, images.detach()
