"""Linear-Gaussian prior: probabilistic PCA with the density of its coordinates (linear_model.py)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.priors.coordinates import usual_coordinates
from napari_brgm.priors.info import PriorInfo
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.parts import Line, Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.coordinates import Coordinates
    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.settings import InferenceSettings

__all__ = ["LinearGaussian"]


class LinearGaussian(LinearModel):
    """Probabilistic PCA as a prior, w ~ N(0, I).

    Parameters
    ----------
    mean, basis, noise_variance
        As of ``LinearModel``.
    info : PriorInfo, optional
    """

    num_ws = 1

    def __init__(self, mean: Tensor, basis: Tensor, noise_variance: float, info: PriorInfo | None = None) -> None:
        super().__init__(mean, basis, noise_variance)
        self.info = info or PriorInfo("linear-gaussian", representation_sigma=127.5 * noise_variance**0.5)
        self.latents = LatentStatistics.standard(len(basis)).to(mean.device)
        self.parts = Parts(line=Line(LinearModel(mean, basis, noise_variance), exact=True))

    @classmethod
    def fit(
        cls, images: Tensor, components: int, info: PriorInfo | None = None, *, mirror: bool = False,
        grid: int | None = None,
    ) -> LinearGaussian:  # fmt: skip
        """Fit to images (N, C, R, R) in [-1, 1], as ``LinearModel.fit``."""
        found = LinearModel.fit(images, components, mirror=mirror, grid=grid)
        return cls(found.mean, found.coarse, found.noise_variance, info)

    def coordinates(
        self, settings: InferenceSettings, given: Callable[[], GaussianPosterior | None]
    ) -> Coordinates:  # fmt: skip
        """What inference works in."""
        return usual_coordinates(self.latents, self.num_ws, settings, given, self.parts.mixture)

    def for_slice(self, shape: tuple[int, int], channels: int) -> LinearGaussian:
        """The same for all slices."""
        return self

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw n images (n, C, R, R) from the prior, without the pixel noise."""
        z = torch.randn(n, 1, self.rank, generator=torch.Generator().manual_seed(seed))
        return self.synthesize(z.to(self.mean.device))

    def to(self, device: torch.device | str) -> LinearGaussian:
        """Copy on ``device`` (the same object if it is there already)."""
        if self.mean.device == torch.device(device):
            return self
        found = LinearGaussian(self.mean.to(device), self.coarse.to(device), self.noise_variance, self.info)
        found.parts = replace(self.parts.to(device), line=found.parts.line)
        return found
