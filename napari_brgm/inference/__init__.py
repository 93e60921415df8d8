"""Inference over latents: maximum a posteriori, variational, the Gaussian at a maximum, and ensembles."""

from __future__ import annotations

from napari_brgm.inference.ensemble import Ensemble, fit_ensemble
from napari_brgm.inference.gaussians import FactorGaussian, Gaussian, LowRankGaussian, Spread
from napari_brgm.inference.laplace import laplace_at, laplace_batches
from napari_brgm.inference.maximum import Maximum, maximise, maximise_together
from napari_brgm.inference.pivotal import tune
from napari_brgm.inference.released_variational import fit_released_gaussian
from napari_brgm.inference.residual import Completion, complete
from napari_brgm.inference.step import Progress, Step
from napari_brgm.inference.variational import fit_gaussian

__all__ = [
    "Completion",
    "Ensemble",
    "FactorGaussian",
    "Gaussian",
    "LowRankGaussian",
    "Maximum",
    "Progress",
    "Spread",
    "Step",
    "complete",
    "fit_ensemble",
    "fit_gaussian",
    "fit_released_gaussian",
    "laplace_at",
    "laplace_batches",
    "maximise",
    "maximise_together",
    "tune",
]
