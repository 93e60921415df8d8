"""Whether the Gaussians of MAP and variational inference agree with answers that are exact, or slow and exact.

Linear toy: y = A G(w) + n has the posterior N(w_hat, S), from dense float64 matrices (priors/linear_gaussian.py).
Network toy: a curved generator, against Hamiltonian Monte Carlo (inference/hmc.py); compared are the standard
deviations of all its pixels. The chains know one posterior: their R-hat, and a density that some chain found higher
than MAP did, tell whether they and MAP looked at the same maximum.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from napari_brgm.evaluation.hmc import coloured, run_chains
from napari_brgm.evaluation.toy import (
    TOY_VI_STEPS,
    corruptions_of,
    drawn_truth,
    linear_toy,
    network_toy,
    simulated,
    toy_settings,
)
from napari_brgm.inference import FactorGaussian, Gaussian, fit_gaussian, laplace_at, maximise
from napari_brgm.likelihood import to_grey
from napari_brgm.posterior import Posterior

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from napari_brgm.inference import LowRankGaussian, Spread
    from napari_brgm.likelihood import Likelihood
    from napari_brgm.priors.linear_gaussian import LinearGaussian

__all__ = ["LinearRow", "NetworkRow", "exact_posterior", "linear_agreement", "network_agreement"]

MEAN_LIMIT, COVARIANCE_LIMIT = 0.01, 0.05  # of the exact ones, linear toy
LEAST_CORRELATION, RATIO_LIMIT = 0.9, 0.15  # of maps of standard deviation, network toy
_DRAWS = 1000
_BATCH = 50


@dataclass(frozen=True, slots=True)
class LinearRow:
    """Relative errors (Euclidean, Frobenius) of mean and covariance of the latents w."""

    corruption: str
    sigma: float
    method: str
    mean_error: float
    covariance_error: float

    @property
    def agrees(self) -> bool:
        return self.mean_error < MEAN_LIMIT and self.covariance_error < COVARIANCE_LIMIT


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """Maps of standard deviation of one method against those of HMC, over all pixels of the generator's image.

    Attributes
    ----------
    correlation : float
        Of the two maps.
    ratio : float
        Mean standard deviation of the method over that of HMC.
    shift : float
        Root mean square of the difference of the mean images, in mean standard deviations of HMC.
    std : float
        Mean standard deviation of HMC, grey levels.
    missed : float
        By how much -2 log p of the best draw of HMC lies below MAP's; above 0, MAP stopped at a lower maximum.
    rhat, effective, acceptance : float
        Largest and smallest of the latents', and the mean of HMC.
    """

    net: str
    corruption: str
    sigma: float
    method: str
    correlation: float
    ratio: float
    shift: float
    std: float
    missed: float
    rhat: float
    effective: float
    acceptance: float

    @property
    def agrees(self) -> bool:
        return self.correlation > LEAST_CORRELATION and abs(self.ratio - 1) < RATIO_LIMIT


def exact_posterior(prior: LinearGaussian, likelihood: Likelihood) -> tuple[Tensor, Tensor]:
    """Mean (K,) and covariance (K, K) of w, float64, without any code of the posterior."""
    seen = likelihood.observation
    b = seen.A(127.5 * prior.basis.double()).flatten(1)  # (K, M)
    r = (likelihood.y.double() - seen.A(to_grey(prior.mean.double())[None])).flatten()
    precision = torch.eye(len(b), dtype=torch.float64) + b @ b.T / seen.sigma**2
    return torch.linalg.solve(precision, b @ r / seen.sigma**2), torch.linalg.inv(precision)


def linear_agreement(sigmas: tuple[float, ...] = (5.0, 15.0), seed: int = 0) -> Iterator[LinearRow]:
    """MAP with Laplace's Gaussian, and VI with a full covariance, against the exact answer."""
    prior = linear_toy()
    base = toy_settings(prior).but(vi_samples_per_step=64, vi_rank=0)
    ways = {
        "laplace": base,
        "laplace, preconditioned": base.but(start="linear"),
        "vi, full": base.but(vi_rank=prior.rank),
        "vi, preconditioned": base.but(start="linear"),
    }
    for sigma in sigmas:
        for name, corruption in corruptions_of(prior.resolution).items():
            generator = torch.Generator().manual_seed(seed)
            truth = prior.synthesize(torch.randn(1, 1, prior.rank, generator=generator))
            likelihood = simulated(corruption, truth, sigma, generator)
            mean, covariance = exact_posterior(prior, likelihood)
            for way, settings in ways.items():
                posterior = Posterior(prior, likelihood, settings)
                maximum = maximise(posterior, generator)
                around, vi = laplace_at(posterior, maximum.v, generator), way.startswith("vi")
                spread = fit_gaussian(posterior, around, generator, steps=TOY_VI_STEPS) if vi else around
                found_mean, found_covariance = _moments_of_w(posterior, spread)
                yield LinearRow(
                    name, sigma, way, float((found_mean - mean).norm() / mean.norm()),
                    float((found_covariance - covariance).norm() / covariance.norm()),
                )  # fmt: skip


def network_agreement(
    sigmas: tuple[float, ...] = (5.0, 10.0, 15.0), bends: tuple[float, ...] = (0.25,), *, mapped: bool = False,
    seed: int = 0, chains: int = 8, warmup: int = 120, draws: int = 200,
) -> Iterator[NetworkRow]:  # fmt: skip
    """MAP with Laplace's Gaussian, and VI with diagonal and full covariance, against HMC on a small StyleGAN2.

    ``mapped`` infers z of a net with a mapping network, else w. Rows come as they are found: minutes each three.
    """
    for bend, sigma in itertools.product(bends, sigmas):
        prior = network_toy(bend=bend, mapped=mapped)
        settings = toy_settings(prior)
        for name, corruption in corruptions_of(prior.resolution).items():
            generator = torch.Generator().manual_seed(seed)
            likelihood = simulated(corruption, drawn_truth(prior, settings, generator)[1], sigma, generator)
            posterior = Posterior(prior, likelihood, settings)
            maximum = maximise(posterior, generator)
            laplace = laplace_at(posterior, maximum.v, generator)
            found = run_chains(posterior, laplace, generator, chains=chains, warmup=warmup, draws=draws)
            mean, std, best = _image_moments(posterior, found.sample(_DRAWS, generator))
            for method, rank in (("laplace", None), ("vi, diagonal", 0), ("vi, full", prior.latents.rank)):
                near: Spread = laplace
                if rank is not None:
                    fitted = Posterior(prior, likelihood, settings.but(vi_rank=rank))
                    near = fit_gaussian(fitted, laplace, generator, steps=TOY_VI_STEPS)
                other_mean, other_std, _ = _image_moments(posterior, near.sample(_DRAWS, generator))
                yield NetworkRow(
                    f"{prior.info.name}, bend {bend:g}", name, sigma, method,
                    correlation=float(torch.corrcoef(torch.stack([std, other_std]))[0, 1]),
                    ratio=float(other_std.mean() / std.mean()),
                    shift=float((other_mean - mean).square().mean().sqrt() / std.mean()), std=float(std.mean()),
                    missed=maximum.loss - best, rhat=float(found.rhat.max()), effective=float(found.effective.min()),
                    acceptance=found.acceptance,
                )  # fmt: skip


def _moments_of_w(posterior: Posterior, spread: Gaussian | LowRankGaussian | FactorGaussian) -> tuple[Tensor, Tensor]:
    """Mean (K,) and covariance (K, K) of w, float64, of a generator with one w; w is affine in v."""
    centre = posterior.latents(spread.mean[None])[0, 0].double()
    ends = _roots(spread) + spread.mean  # (k, L, D)
    roots = posterior.latents(ends)[:, 0].double() - centre
    return centre, roots.T @ roots


def _roots(spread: Gaussian | LowRankGaussian | FactorGaussian) -> Tensor:
    """Vectors (k, L, D) whose outer products sum to the covariance."""
    unit = torch.eye(spread.mean.numel()).reshape(-1, *spread.mean.shape).to(spread.mean)
    if isinstance(spread, FactorGaussian):
        return torch.cat([unit * spread.std, spread.factor])
    return coloured(spread, unit) - spread.mean


@torch.no_grad()
def _image_moments(posterior: Posterior, draws: Tensor) -> tuple[Tensor, Tensor, float]:
    """Mean and standard deviation (pixels,) of images in grey levels, and the lowest -2 log p of the draws."""
    images, losses = [], []
    for part in torch.split(draws, _BATCH):
        terms, image = posterior.terms(part)
        images.append(to_grey(image).flatten(1))
        losses.append(torch.stack(list(terms.values())).sum(dim=0))
    whole = torch.cat(images).double()
    return whole.mean(dim=0), whole.std(dim=0), float(torch.cat(losses).min())
