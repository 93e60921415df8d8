"""Small inverse problems whose posterior is known in closed form, so that methods can be held against it.

    x = mean + B' w,   y = A x + n,   n ~ N(0, sigma^2)
    linear     w ~ N(0, I)                               posterior N(S h, S),            S^-1 = I + G
    mixture    w ~ 1/M sum_j N(a c_j, D), D = 1 - a^2    sum_j w_j N(S (h + D^-1 a c_j), S),   S^-1 = D^-1 + G
               w_j ~ exp( 1/2 |h + D^-1 a c_j|_S^2 - 1/2 |a c_j|_{D^-1}^2 )

with G = B A' A B' / sigma^2 and h = B A' (y - A mean) / sigma^2, dense and in float64, without any code of the
posterior. A is in-painting of three quarters of the image, or a blur. The mixture leaves one to five parts likely.

The problems are after BIPSDA's (Scope Crafts and Villa, "Can diffusion models provide rigorous uncertainty
quantification for Bayesian inverse problems?", arXiv 2503.03007), whose mixture has ten dimensions; here it is one of
images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from napari_brgm.corruptions import Blur, Mask
from napari_brgm.evaluation.toy import linear_toy, simulated
from napari_brgm.likelihood import to_grey
from napari_brgm.priors.latent_mixture import LatentMixture

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.corruptions import LinearOperator
    from napari_brgm.likelihood import Likelihood
    from napari_brgm.priors.linear_gaussian import LinearGaussian

__all__ = ["CORRUPTIONS", "DENSITIES", "AnalyticProblem", "ExactPosterior", "analytic_problem"]

DENSITIES = ("linear", "mixture")
CORRUPTIONS = ("in-painting", "blur")
_SIDE, _LATENTS = 32, 40
_HIDDEN = 24  # of 32 columns
_FWHM = 8.0  # pixels
_SIGMA = {"in-painting": 10.0, "blur": 25.0}  # grey levels
_PARTS, _LEADING, _SHRINKAGE = 8, 4, 0.9  # of the mixture


@dataclass(frozen=True, slots=True, eq=False)
class ExactPosterior:
    """A mixture of Gaussians of w with one covariance.

    Attributes
    ----------
    weights : (M,) Tensor
    means : (M, K) Tensor
    covariance : (K, K) Tensor
    middle, basis : (P,) and (K, P) Tensor
        Of all pixels, grey levels. All are float64.
    """

    weights: Tensor
    means: Tensor
    covariance: Tensor
    middle: Tensor
    basis: Tensor

    @property
    def parts(self) -> float:
        """How many parts are likely: 1 over the sum of the squared weights."""
        return float(1 / self.weights.square().sum())

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (P,) of the pixels, grey levels."""
        mean = self.weights @ self.means
        apart = self.means - mean
        covariance = self.covariance + apart.T @ (self.weights[:, None] * apart)
        variance = ((covariance @ self.basis) * self.basis).sum(dim=0)
        return self.middle + mean @ self.basis, variance.clamp(min=0).sqrt()

    def draws(self, count: int, generator: torch.Generator) -> Tensor:
        """Independent images (count, P), grey levels."""
        which = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        white = torch.randn(count, len(self.covariance), generator=generator).double()
        w: Tensor = self.means[which] + white @ torch.linalg.cholesky(self.covariance).T
        return self.middle + w @ self.basis


@dataclass(frozen=True, slots=True, eq=False)
class AnalyticProblem:
    """One truth, what is seen of it, and what can be known.

    Attributes
    ----------
    density, corruption : str
    prior : LinearGaussian
        With the mixture among its parts, where that is the density.
    likelihood : Likelihood
    truth : (P,) Tensor
        Grey levels.
    region : (P,) Tensor of bool
        Pixels that count: the hidden ones, or all.
    exact : ExactPosterior
    """

    density: str
    corruption: str
    prior: LinearGaussian
    likelihood: Likelihood
    truth: Tensor
    region: Tensor
    exact: ExactPosterior


def analytic_problem(density: str, corruption: str, number: int, seed: int = 0) -> AnalyticProblem:
    """Problem ``number`` of one of ``DENSITIES`` and one of ``CORRUPTIONS``; the prior is the same for all numbers."""
    prior = linear_toy(_LATENTS, _SIDE, seed)
    centres = torch.zeros(1, _LATENTS, dtype=torch.float64)
    shrinkage = torch.zeros(_LATENTS, dtype=torch.float64)
    if density == "mixture":
        leading = torch.randn(_PARTS, _LEADING, generator=torch.Generator().manual_seed(seed))
        lean = torch.full((_LEADING,), _SHRINKAGE)
        prior.parts = replace(prior.parts, mixture=LatentMixture(leading, lean))
        centres = torch.cat([leading.double(), torch.zeros(_PARTS, _LATENTS - _LEADING).double()], dim=1)
        shrinkage[:_LEADING] = _SHRINKAGE
    own = torch.Generator().manual_seed(seed * 1_000_003 + number + 1)
    which = int(torch.randint(len(centres), (1,), generator=own))
    spread = (1 - shrinkage.square()).sqrt() * torch.randn(_LATENTS, generator=own)
    w = shrinkage * centres[which] + spread
    truth = prior.synthesize(w.float()[None, None])
    hidden = torch.zeros(_SIDE, _SIDE, dtype=torch.bool)
    hidden[:, :_HIDDEN] = True
    f: LinearOperator = Mask(hidden) if corruption == "in-painting" else Blur(_FWHM)
    likelihood = simulated(f, truth, _SIGMA[corruption], own)
    region = hidden.flatten() if corruption == "in-painting" else torch.ones(_SIDE * _SIDE, dtype=torch.bool)
    exact = _exact(prior, likelihood, shrinkage * centres, 1 - shrinkage.square())
    return AnalyticProblem(
        density, corruption, prior, likelihood, to_grey(truth).flatten().double(), region, exact
    )  # fmt: skip


def _exact(prior: LinearGaussian, likelihood: Likelihood, centres: Tensor, variance: Tensor) -> ExactPosterior:
    """The module's equations; centres (M, K) are a c_j, variance (K,) is the diagonal of D."""
    seen = likelihood.observation
    images, middle = 127.5 * prior.basis.double(), to_grey(prior.mean.double())
    b = seen.A(images).flatten(1)  # (K, M)
    precision = b @ b.T / seen.sigma**2 + torch.diag(1 / variance)
    h = b @ (likelihood.y.double() - seen.A(middle[None])).flatten() / seen.sigma**2
    covariance = torch.linalg.inv(precision)
    pull = h + centres / variance  # (M, K)
    evidence = 0.5 * ((pull @ covariance) * pull).sum(dim=1) - 0.5 * (centres.square() / variance).sum(dim=1)
    return ExactPosterior(
        torch.softmax(evidence, dim=0), pull @ covariance, (covariance + covariance.T) / 2, middle.flatten(),
        images.flatten(1),
    )  # fmt: skip
