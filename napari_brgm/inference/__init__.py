"""Inference over latents: maximum a posteriori, variational, the Gaussian at a maximum, and ensembles."""

from __future__ import annotations

from napari_brgm.inference.ensemble import Ensemble, fit_ensemble
from napari_brgm.inference.laplace import LowRankGaussian, laplace_at
from napari_brgm.inference.maximum import Maximum, maximise
from napari_brgm.inference.residual import complete
from napari_brgm.inference.step import Step
from napari_brgm.inference.variational import Gaussian, Spread, fit_gaussian

__all__ = [
    "Ensemble",
    "Gaussian",
    "LowRankGaussian",
    "Maximum",
    "Spread",
    "Step",
    "complete",
    "fit_ensemble",
    "fit_gaussian",
    "laplace_at",
    "maximise",
]
