"""Ways to draw from the posterior of an analytic problem: the package's, and restarts as rivals have them.

    exact       independent draws of the closed form: what no method can be better than
    map         the linear part's Gaussian round the maximum, as ``restore`` draws;  laplace: by the whole Jacobian
    vi          a Gaussian fitted by BRGM Eq. 7;  released-vi: as the authors' code returns it, spread of the prior
    ensemble    fits from draws of the prior without its density, late iterates
    pulse       restarts on the sphere of radius sqrt(D) on which white latents crowd, least squares alone
    deep-image  restarts of an untrained network with early stopping (inference/ensemble.py)

Sources: Menon et al., "PULSE" (CVPR 2020, arXiv 2003.03808), Sec. 3.2, with starts drawn anew for each restart; Ulyanov
et al., "Deep Image Prior" (CVPR 2018, arXiv 1711.10925).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_brgm.evaluation.toy import TOY_VI_STEPS, toy_settings
from napari_brgm.inference import fit_ensemble, fit_gaussian, fit_released_gaussian, laplace_at, maximise
from napari_brgm.inference.adam import Adam
from napari_brgm.inference.step import Progress
from napari_brgm.likelihood import to_grey
from napari_brgm.posterior import Posterior
from napari_brgm.priors.deep_image import DeepImagePrior
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.evaluation.analytic import AnalyticProblem
    from napari_brgm.settings import InferenceSettings

    Draw = Callable[[AnalyticProblem, int, torch.Generator], Tensor]

__all__ = ["ANALYTIC_METHODS"]

_RESTARTS = 32  # of an ensemble and of PULSE; draws are those and late iterates of theirs
_STEPS, _RATE = 200, 0.1
_NETWORKS = 4  # restarts of the untrained network


def _settings(problem: AnalyticProblem) -> InferenceSettings:
    """As the prior would be used: from the linear answer, under its own density."""
    found = toy_settings(problem.prior).but(start="linear", vi_rank=0)
    return found.but(prior_density="mixture") if problem.density == "mixture" else found


def _exact(problem: AnalyticProblem, count: int, generator: torch.Generator) -> Tensor:
    return problem.exact.draws(count, generator)


def _gaussian(kind: str) -> Draw:
    def draw(problem: AnalyticProblem, count: int, generator: torch.Generator) -> Tensor:
        posterior = Posterior(problem.prior, problem.likelihood, _settings(problem))
        maximum = maximise(posterior, generator)
        found = laplace_at(posterior, maximum.v, generator, linearised=kind != "laplace")
        if kind == "vi":
            return _images(
                posterior, fit_gaussian(posterior, found, generator, steps=TOY_VI_STEPS).sample(count, generator)
            )
        return _images(posterior, found.sample(count, generator))

    return draw


def _released(problem: AnalyticProblem, count: int, generator: torch.Generator) -> Tensor:
    settings = preset("reference").but(lambda_perceptual=0.0)  # a network's features have no place in toys
    posterior = Posterior(problem.prior, problem.likelihood, settings)
    found = fit_released_gaussian(posterior, generator, Progress(total=settings.steps))
    return _images(posterior, found.sample(count, generator))


def _ensemble(problem: AnalyticProblem, count: int, generator: torch.Generator) -> Tensor:
    settings = preset("box").but(members=_RESTARTS, steps=_STEPS, learning_rate=_RATE)
    posterior = Posterior(problem.prior, problem.likelihood, settings)
    return _images(posterior, fit_ensemble(posterior, generator).sample(count, generator))


def _deep_image(problem: AnalyticProblem, count: int, generator: torch.Generator) -> Tensor:
    posterior = Posterior(
        DeepImagePrior(problem.prior.resolution), problem.likelihood, preset("untrained").but(members=_NETWORKS)
    )
    return _images(posterior, fit_ensemble(posterior, generator).sample(min(count, _RESTARTS), generator))


def _pulse(problem: AnalyticProblem, count: int, generator: torch.Generator) -> Tensor:
    prior, radius = problem.prior, problem.prior.rank**0.5
    free = torch.randn(count, 1, prior.rank, generator=generator).requires_grad_(True)
    optimiser = Adam([free])
    for _ in range(_STEPS):
        images = prior.synthesize(radius * F.normalize(free, dim=2))
        optimiser.step(problem.likelihood.pixel(images).sum(), _RATE)
    with torch.no_grad():
        return to_grey(prior.synthesize(radius * F.normalize(free, dim=2))).flatten(1).double()


@torch.no_grad()
def _images(posterior: Posterior, v: Tensor) -> Tensor:
    """Pixels (B, P) in grey levels of coordinates v (B, L, D)."""
    return torch.cat([to_grey(posterior.images(part)).flatten(1).double() for part in torch.split(v, _RESTARTS)])


# name: how a number of draws (count, P) or, from few restarts, fewer are made
ANALYTIC_METHODS: dict[str, Draw] = {
    "exact": _exact,
    "map": _gaussian("map"),
    "laplace": _gaussian("laplace"),
    "vi": _gaussian("vi"),
    "released-vi": _released,
    "ensemble": _ensemble,
    "pulse": _pulse,
    "deep-image": _deep_image,
}
