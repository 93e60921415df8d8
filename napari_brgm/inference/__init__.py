"""Inference over latents: maximum a posteriori, variational, and the Gaussian at a maximum."""

from __future__ import annotations

from napari_brgm.inference.gauss_newton import gaussian_at
from napari_brgm.inference.maximum import Maximum, maximise
from napari_brgm.inference.residual import complete
from napari_brgm.inference.step import Step
from napari_brgm.inference.variational import Gaussian, fit_gaussian

__all__ = ["Gaussian", "Maximum", "Step", "complete", "fit_gaussian", "gaussian_at", "maximise"]
