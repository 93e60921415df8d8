"""Variational inference (BRGM Eq. 7, 8): q(v) = N(m, diag s^2 + F F'), fitted by reparameterised Monte Carlo.

    minimise  E_q[ -log p(v) - log p(I | v) ] - H(q) - log p(s)
    H(q) = sum log s + 1/2 log det(I + F' diag(s^-2) F) + const,   v = m + s e + F h,   e, h ~ N(0, I)

F has a few columns or none (a diagonal q). The entropy is the closed form of the Gaussian, but with F its gradient is
that of log q along the draws, which has the same mean and little noise near the answer; p(s) is the paper's inverse
gamma when the settings have one; the perceptual term counts as much as the settings' temper says. In the preconditioned
coordinates of posterior.py a diagonal q is a full-covariance Gaussian over w.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.inference.adam import Adam
from napari_brgm.inference.gaussians import FactorGaussian, Gaussian
from napari_brgm.inference.maximum import learning_rate
from napari_brgm.inference.replayed import replayed
from napari_brgm.inference.step import Progress

if TYPE_CHECKING:
    from napari_brgm.inference.gaussians import LowRankGaussian
    from napari_brgm.posterior import Posterior

__all__ = ["fit_gaussian", "inverse_softplus"]

_FIRST = 0.1  # of s, length of random first columns of F


def _first_factor(start: Gaussian | LowRankGaussian, rank: int, generator: torch.Generator) -> Tensor:
    """(r, L, D) where F begins, what the start knows of correlations, and a little at random."""
    noise = _FIRST * torch.randn(rank, *start.mean.shape, generator=generator).to(start.mean)
    first: Tensor = start.excess(rank) + start.std * noise / max(rank, 1) ** 0.5
    return first


def _mean_factor(factors: list[Tensor]) -> Tensor:
    """F (r, L, D) of the mean of F F' over iterates, as nearly as its rank allows: F itself may turn on the way."""
    rank, shape = len(factors[0]), factors[0].shape
    rows = torch.cat(factors).flatten(1) / len(factors) ** 0.5  # (n r, L D): rows' rows is the mean of F F'
    vectors = torch.linalg.eigh((rows @ rows.T).double())[1]
    found: Tensor = (vectors[:, -rank:].to(rows).T @ rows).reshape(shape)
    return found


def _factor_entropy(s: Tensor, factor: Tensor) -> Tensor:
    """1/2 log det(I + F' diag(s^-2) F)."""
    scaled = (factor / s).flatten(1)  # (r, L D)
    inner = torch.eye(len(scaled), device=s.device) + scaled @ scaled.T
    half: Tensor = torch.linalg.cholesky(inner).diagonal().log().sum()
    return half


def _sticking(v: Tensor, m: Tensor, s: Tensor, factor: Tensor) -> Tensor:
    """Mean of log q(v) over draws v (n, L, D), whose gradient goes through v alone; its constant is left out.

    Where q is the posterior this gradient is 0 for every draw, and not only on average: no Monte Carlo noise is left
    (Roeder, Wu and Duvenaud, "Sticking the Landing", arXiv 1703.09194, Eq. 8).
    """
    m, s, factor = m.detach(), s.detach(), factor.detach()
    apart = ((v - m) / s).flatten(1)  # (n, L D)
    scaled = (factor / s).flatten(1)  # (r, L D)
    inner = torch.eye(len(scaled), device=s.device) + scaled @ scaled.T
    along = torch.linalg.solve_triangular(torch.linalg.cholesky(inner), scaled @ apart.T, upper=False)  # (r, n)
    found: Tensor = -0.5 * (apart.square().sum() - along.square().sum()) / len(v)
    return found


def inverse_softplus(value: Tensor) -> Tensor:
    """Softplus backwards, elementwise."""
    inverse: Tensor = value + torch.log(-torch.expm1(-value))
    return inverse


def fit_gaussian(
    posterior: Posterior,
    start: Gaussian | LowRankGaussian,
    generator: torch.Generator,
    progress: Progress | None = None,
    *,
    steps: int | None = None,
) -> Gaussian | FactorGaussian:
    """Fit q to ``posterior`` from ``start``.

    The result is the average of the iterates of the last quarter, which takes most of the Monte Carlo noise out of it.
    Steps are as long as the learning rate says, in units of the start's standard deviations; with the paper's density
    in those of w.

    Parameters
    ----------
    posterior : Posterior
    start : Gaussian
        Usually the MAP and the prior's spread.
    generator : torch.Generator
        Of the reparameterisation noise (CPU).
    progress : Progress or None
        Gets each step with the mean of its images (1, C, R, R).
    steps : int or None
        None means as many as the settings say.
    """
    settings = posterior.settings
    steps = steps or settings.vi_steps or settings.steps
    progress = progress or Progress(total=steps)
    unit = torch.ones_like(start.std) if settings.prior_density == "diagonal" else start.std  # of a step of Adam
    shift = torch.zeros_like(start.mean).requires_grad_(True)
    rho = inverse_softplus(start.std.clamp(1e-6, 1e6)).requires_grad_(True)
    columns = (_first_factor(start, settings.vi_rank, generator) / unit).requires_grad_(True)  # (r, L, D), r may be 0
    optimiser = Adam([shift, rho, columns] if settings.vi_rank else [shift, rho], betas=(0.9, 0.99))
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    pairs = math.ceil(settings.vi_samples_per_step / 2)
    draws = torch.zeros(settings.vi_samples_per_step, *start.mean.shape).to(start.mean)
    objective = replayed(lambda v: posterior.terms(v, settings.perceptual_temper), draws, steps)
    for iteration in range(steps):
        m, s, factor = start.mean + unit * shift, F.softplus(rho), unit * columns
        noise = _noise(pairs, settings.vi_samples_per_step, m.shape, generator).to(m)
        v = m + s * noise
        if settings.vi_rank:
            shared = _noise(pairs, settings.vi_samples_per_step, factor.shape[:1], generator).to(m)
            v = v + torch.tensordot(shared, factor, dims=1)
        terms, images = objective(v)
        parts = {name: 0.5 * value.mean() for name, value in terms.items()}  # Eq. 6 sums are twice -log p
        parts["entropy"] = -s.log().sum()
        if settings.vi_rank:
            path = _sticking(v, m, s, factor)
            closed = (parts["entropy"] - _factor_entropy(s, factor)).detach()
            parts["entropy"] = closed + path - path.detach()
        if settings.inverse_gamma is not None:
            alpha, beta = settings.inverse_gamma
            parts["spread"] = ((alpha + 1) * s.log() + beta / s).sum()
        loss = torch.stack(list(parts.values())).sum()
        optimiser.step(loss, learning_rate(iteration, steps, settings.learning_rate, settings.schedule))
        if iteration >= steps - max(1, steps // 4):
            kept.append((start.mean + unit * shift.detach(), F.softplus(rho.detach()), unit * columns.detach()))
        shown = images.detach().mean(dim=0, keepdim=True)
        progress.step("vi", loss.item(), {k: t.item() for k, t in parts.items()}, shown)
    mean = torch.stack([pair[0] for pair in kept]).mean(dim=0)
    std = torch.stack([pair[1].log() for pair in kept]).mean(dim=0).exp()
    if not settings.vi_rank:
        return Gaussian(mean, std)
    return FactorGaussian(mean, std, _mean_factor([pair[2] for pair in kept]))


def _noise(pairs: int, count: int, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Normal noise (count, *shape), antithetic: odd terms cancel."""
    half = torch.randn(pairs, *shape, generator=generator)
    if pairs > 1:  # unit mean square in each coordinate: a quadratic loss then has no Monte Carlo noise in s
        half = half / half.square().mean(dim=0).sqrt()
    return torch.cat([half, -half])[:count]
