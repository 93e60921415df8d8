"""Prior: latent -> image, with the density of its latents. What inference needs of a generator, and nothing more."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from napari_brgm.calibration import Calibration
    from napari_brgm.priors.encoder import Encoder
    from napari_brgm.priors.linear_gaussian import LinearGaussian
    from napari_brgm.priors.residual_field import ResidualField
    from napari_brgm.priors.stylegan2 import Mapping
    from napari_brgm.priors.stylegan2_layers import NoiseMode

__all__ = ["LatentStatistics", "Latents", "LowRankStatistics", "Prior", "PriorInfo"]


class Latents(Protocol):
    """N(mean, covariance) of one latent w (D,), and its whitened coordinates u (rank,) ~ N(0, I)."""

    @property
    def mean(self) -> Tensor: ...  # (D,)
    @property
    def std(self) -> Tensor: ...  # (D,)
    @property
    def rank(self) -> int: ...
    def colour(self, u: Tensor) -> Tensor: ...  # (..., rank) -> (..., D)
    def whiten(self, w: Tensor) -> Tensor: ...  # (..., D) -> (..., rank); w outside the span of the factor is projected


@dataclass(frozen=True)
class LatentStatistics:
    """Mean and covariance of the latents w under the prior (BRGM Sec. 2.2: from 10,000 mapped z).

    Attributes
    ----------
    mean : (D,) Tensor
    covariance : (D, D) Tensor
    """

    mean: Tensor
    covariance: Tensor

    @cached_property
    def std(self) -> Tensor:  # (D,)
        """Per-dimension standard deviation, the sigma of BRGM Eq. 6."""
        return self.covariance.diagonal().clamp(min=1e-12).sqrt()

    @cached_property
    def factor(self) -> Tensor:  # (D, D), lower triangular, w = mean + factor u with u ~ N(0, I)
        """Cholesky factor of the covariance, regularised by 1e-6 of its mean variance so that rank gaps do no harm."""
        ridge = 1e-6 * self.covariance.diagonal().mean() + 1e-12
        eye = torch.eye(len(self.mean), dtype=torch.float64, device=self.mean.device)
        factor: Tensor = torch.linalg.cholesky(self.covariance.double() + ridge * eye)
        return factor.to(self.mean.dtype)

    @property
    def rank(self) -> int:
        return len(self.mean)

    def colour(self, u: Tensor) -> Tensor:  # (..., D) -> (..., D)
        """Latents w of whitened u."""
        return self.mean + u @ self.factor.T

    def whiten(self, w: Tensor) -> Tensor:  # (..., D) -> (..., D)
        """Whitened u of latents w."""
        apart = (w - self.mean).reshape(-1, len(self.mean))
        u: Tensor = torch.linalg.solve_triangular(self.factor, apart.T, upper=False).T
        return u.reshape(w.shape)

    @classmethod
    def standard(cls, size: int) -> LatentStatistics:
        """N(0, I) in ``size`` dimensions."""
        return cls(torch.zeros(size), torch.eye(size))

    @classmethod
    def of(cls, latents: Tensor) -> LatentStatistics:
        """Statistics of latents (N, D)."""
        return cls(latents.mean(dim=0), torch.cov(latents.T))

    @classmethod
    def of_nearly_symmetric(cls, latents: Tensor, signs: Tensor, share: float) -> LatentStatistics:
        """Statistics of a mixture: ``share`` the latents (N, D), the rest mirrored, (N, D) * ``signs`` (D,)."""
        one, other = cls.of(latents), cls.of(latents * signs)
        mean = share * one.mean + (1 - share) * other.mean
        apart = (one.mean - mean, other.mean - mean)
        covariance = share * (one.covariance + torch.outer(apart[0], apart[0]))
        covariance += (1 - share) * (other.covariance + torch.outer(apart[1], apart[1]))
        return cls(mean, covariance)

    def to(self, device: torch.device | str) -> LatentStatistics:
        return LatentStatistics(self.mean.to(device), self.covariance.to(device))


_ROUNDING = 1e-6  # of the largest variance: single precision tells no smaller ones from zero


@dataclass(frozen=True)
class LowRankStatistics:
    """N(mean, B' B) of latents that are too many for a full covariance: principal components of a training set's.

    Attributes
    ----------
    mean : (D,) Tensor
    basis : (K, D) Tensor
        B: principal directions, orthogonal, each as long as the standard deviation along it.
    """

    mean: Tensor
    basis: Tensor

    @cached_property
    def std(self) -> Tensor:  # (D,)
        return self.basis.square().sum(dim=0).clamp(min=1e-12).sqrt()

    @property
    def rank(self) -> int:
        return len(self.basis)

    def colour(self, u: Tensor) -> Tensor:  # (..., K) -> (..., D)
        """Latents w of whitened u."""
        return self.mean + u @ self.basis

    def whiten(self, w: Tensor) -> Tensor:  # (..., D) -> (..., K)
        """Whitened u of the projection of w on the components."""
        return (w - self.mean) @ (self.basis / self.basis.square().sum(dim=1, keepdim=True).clamp(min=1e-30)).T

    @classmethod
    def of(cls, latents: Tensor, components: int) -> LowRankStatistics:
        """Principal components of latents (N, D), at most N - 1 of them, by the Gram matrix: D may be large.

        Directions in which the latents do not differ beyond rounding are left out; one is always kept.
        """
        n = len(latents)
        mean = latents.mean(dim=0)
        gram = torch.zeros(n, n, dtype=torch.float64)
        for part in torch.split(torch.arange(latents.shape[1]), 4096):  # columns, so that no copy of all is made
            centred = (latents[:, part[0] : part[-1] + 1] - mean[part]).float()
            gram += (centred @ centred.T).double()
        values, vectors = torch.linalg.eigh(gram)
        real = int((values > _ROUNDING * values[-1].clamp(min=1e-30)).sum())
        chosen = vectors.flip(1)[:, : max(min(components, n - 1, real), 1)].T.float()  # (K, N)
        basis = (chosen @ latents - chosen.sum(dim=1, keepdim=True) * mean) / n**0.5
        return cls(mean, basis)

    def to(self, device: torch.device | str) -> LowRankStatistics:
        return LowRankStatistics(self.mean.to(device), self.basis.to(device))


@dataclass(frozen=True, slots=True)
class PriorInfo:
    """What a prior was made for, as its model card says it.

    Attributes
    ----------
    name, modality, plane : str
        For example 'brain-axial-128', 'MR T1', 'axial'.
    spacing_mm : float
        Pixel size of the generator frame in mm; 0 if unknown.
    representation_sigma : float
        Standard deviation, in grey levels of the 0..255 frame, of what the generator cannot draw, as tuned on training
        subjects (an effective white-noise level: the residual is correlated).
    weights_sha256 : str
        Of the file the prior was loaded from; empty if made in memory.
    rotation : float
        Degrees, 0 or 180, by which its images are turned against the way radiologists look at such a plane.
    misfit_limit : float
        Misfit (engine/misfit.py) that slices of held-out subjects hardly exceed; 0 if it was not measured.
    calibration : Calibration or None
        Conformal factors of the intervals; None if they were not measured.
    """

    name: str
    modality: str = ""
    plane: str = ""
    spacing_mm: float = 0.0
    bright_level: float = 230.0  # grey level of the 99th percentile of tissue in the training slices
    representation_sigma: float = 10.0
    weights_sha256: str = ""
    rotation: float = 0.0
    misfit_limit: float = 0.0
    calibration: Calibration | None = None


@runtime_checkable
class Prior(Protocol):
    """p(w) and G: all that MAP and variational inference ask of a generative model.

    ``synthesize`` maps ws (B, num_ws, w_dim) to images (B, channels, resolution, resolution), nominally in [-1, 1].
    ``linear_part`` is the linear image of the latents that the network refines, for instant answers, or None;
    ``linearisation`` is a straight line through its draws, in whitened latents, for starts and scale, or None;
    ``alignment`` is a linear model of the leading variation, good enough to find a scan's pose with, or None;
    ``mapping`` is the network z -> w, and ``unbent_latents`` the statistics of W's inverse leaky ReLU, or None;
    ``residual`` models what G cannot draw, or None; ``encoder`` holds features for the perceptual term, or None.
    ``network`` holds the weights that ``with_network`` exchanges (inference/pivotal.py), or None;
    ``preset`` names the settings that suit it (settings.py).
    """

    info: PriorInfo

    @property
    def latents(self) -> Latents: ...
    @property
    def preset(self) -> str: ...
    @property
    def resolution(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def num_ws(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def linear_part(self) -> LinearGaussian | None: ...
    @property
    def linearisation(self) -> LinearGaussian | None: ...
    @property
    def alignment(self) -> LinearGaussian | None: ...
    @property
    def mapping(self) -> Mapping | None: ...
    @property
    def unbent_latents(self) -> LatentStatistics | None: ...
    @property
    def residual(self) -> ResidualField | None: ...
    @property
    def encoder(self) -> Encoder | None: ...
    @property
    def network(self) -> nn.Module | None: ...
    def with_network(self, network: nn.Module) -> Self: ...
    def synthesize(self, ws: Tensor, noise: NoiseMode = "none") -> Tensor: ...
    def sample(self, n: int, seed: int = 0) -> Tensor: ...
    def to(self, device: torch.device | str) -> Self: ...
