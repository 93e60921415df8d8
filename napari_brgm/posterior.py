"""Posterior p(w | I) ~ p(w) p(I | f(G(w))): each term named as in the paper (BRGM Eq. 2, 4, 6).

    L_w     = sum_i ((w_i - mu) / sigma_i)^2        or the Mahalanobis distance (w - mu)' C^-1 (w - mu)
    L_colin = - sum_ij cos(w_i, w_j)
    loss    = lambda_w L_w + lambda_c L_colin + lambda_pix L_pix + lambda_perc L_perc

With sums and lambda_pix = 1 / sigma_pix^2, loss = -2 log p(w | I) + const.

Inference works in coordinates v in which the problem is well scaled, and which carry the density
(latent_coordinates.py):
- prior "gaussian": v is white under N(mu, C), and under the linear posterior where the generator has a linear part
  or a linearisation (the first is taken for exact elsewhere, the second is a start and a preconditioner only);
  with a layer spread tau, W+ is w_i = w + tau d_i; in latent space "z", v is the mapping network's input.
- prior "gaussianised": the same for the inverse leaky ReLU of W.
- prior "diagonal" (the paper's presets): v = w, as published, so that their learning rates mean the same.
- prior "flat": v = w, no L_w; what keeps w in bounds is the generator (LCM: the box of phi; DIP: nothing but time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from napari_brgm.encoded_start import encoded
from napari_brgm.errors import InputError
from napari_brgm.latent_coordinates import Gaussianised, Layered, Mapped, Plain, White
from napari_brgm.priors.prior import LatentStatistics

if TYPE_CHECKING:
    from napari_brgm.latent_coordinates import Coordinates
    from napari_brgm.likelihood import Likelihood
    from napari_brgm.priors.linear_gaussian import GaussianPosterior, LinearGaussian
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["Posterior"]


@dataclass(frozen=True)
class Posterior:
    """log p(w | I) of one observation under one prior; batched over candidate latents."""

    prior: Prior
    likelihood: Likelihood
    settings: InferenceSettings

    def __post_init__(self) -> None:
        linear = self._linear_posterior()
        self.__dict__["linear"] = linear
        self.__dict__["coordinates"] = self._coordinates(linear or self._linearised_posterior())

    @property
    def linear(self) -> GaussianPosterior | None:
        """Exact posterior of the generator's linear part in whitened latents u, or None (no linear part or f)."""
        return cast("GaussianPosterior | None", self.__dict__["linear"])

    def _linear_posterior(self) -> GaussianPosterior | None:
        part, latents = self.prior.linear_part, self.prior.latents
        if part is None or not isinstance(latents, LatentStatistics) or not self._wants_linear:
            return None
        return self._under(part.whitened(latents), 1.0 / self.lambda_pixel)

    def _linearised_posterior(self) -> GaussianPosterior | None:
        line = self.prior.linearisation
        if line is None or not self._wants_linear:
            return None
        return self._under(line, 1.0 / self.lambda_pixel + 127.5**2 * line.noise_variance)

    @property
    def _wants_linear(self) -> bool:
        s = self.settings
        white = s.prior_density == "gaussian" and not (s.latent_space == "z" and self.prior.mapping is not None)
        return s.start == "linear" and white and self.likelihood.linear

    def _under(self, part: LinearGaussian, variance: float) -> GaussianPosterior:
        """Posterior under a linear model of the whitened latents; variance of a pixel in grey levels squared."""
        scale = self.likelihood.observed
        if self.likelihood.weight is not None:
            scale = scale * self.likelihood.weight.sqrt()

        def observe(images: Tensor) -> Tensor:  # the linear part of f on [-1, 1] images, in grey levels
            return self.likelihood.forward_map(images * 127.5) * scale

        # y - f(mean) with y in grey levels equals A (x - mean) for x, mean in [-1, 1]: shift both by the black level.
        observation = self.likelihood.observation * scale - observe(torch.ones_like(part.mean)[None])
        return part.posterior(observation, observe, variance)

    @property
    def lambda_pixel(self) -> float:
        """sigma_pix^-2, per grey level squared."""
        fixed = self.settings.lambda_pixel
        return fixed if fixed is not None else 1.0 / self.likelihood.sigma**2

    @property
    def shape(self) -> tuple[int, int]:
        """(L, D) of the coordinates v; L = 1 where one latent serves all layers."""
        return self.coordinates.shape

    @property
    def coordinates(self) -> Coordinates:
        """What v is, and its density before the data are seen."""
        return cast("Coordinates", self.__dict__["coordinates"])

    def _coordinates(self, linear: GaussianPosterior | None) -> Coordinates:
        s, prior = self.settings, self.prior
        layers = prior.num_ws if s.latent_space == "w+" else 1
        if s.prior_density in ("diagonal", "flat"):
            return Plain(prior.latents, layers)
        if s.prior_density == "gaussianised":
            if prior.unbent_latents is None:
                raise InputError(
                    f"{prior.info.name} has no mapping network whose W could be made Gaussian; "
                    "choose prior_density 'gaussian'"
                )
            return Gaussianised(prior.unbent_latents, layers)
        if s.latent_space == "z" and prior.mapping is not None:
            return Mapped(prior.mapping)
        if s.layer_spread is not None:
            return Layered(White(prior.latents, 1, linear), layers, s.layer_spread)
        return White(prior.latents, layers, linear)

    def start(self, batch: int = 1, generator: torch.Generator | None = None) -> Tensor:
        """Where inference starts: v (batch, L, D): mean latent, the linear posterior's mean, or draws of the prior."""
        if self.settings.start == "draw":
            return self.coordinates.drawn(batch, generator)
        if self.settings.start == "encoder":
            found = encoded(self)
            if found is not None:
                return found.repeat(batch, 1, 1)
        return self.coordinates.start(batch)

    def start_std(self) -> Tensor:
        """(L, D) spread of v before the data are seen; 1 where preconditioned, which is the linear answer."""
        return self.coordinates.std()

    def whitened(self, v: Tensor) -> Tensor:
        """U (B, L, D): latents in units of the prior's standard deviations."""
        return self.coordinates.white(v)

    def latents(self, v: Tensor) -> Tensor:
        """Ws (B, num_ws, D) of coordinates v (B, L, D)."""
        w = self.coordinates.ws(v)
        return w.expand(-1, self.prior.num_ws, -1) if w.shape[1] == 1 else w

    def images(self, v: Tensor) -> Tensor:
        """G(w) (B, C, R, R), nominally in [-1, 1]."""
        return self.drawn(self.latents(v))

    def drawn(self, ws: Tensor) -> Tensor:
        """G(w) (B, C, R, R) of latents ws (B, num_ws, D)."""
        if self.settings.precision == "float32":
            return self.prior.synthesize(ws, noise=self.settings.noise)
        with torch.autocast(ws.device.type, torch.bfloat16):
            return self.prior.synthesize(ws, noise=self.settings.noise).float()

    def terms(self, v: Tensor, temper: float = 1.0) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted terms (B,) of BRGM Eq. 6 by name, and the images (B, C, R, R) they were computed from.

        ``temper`` is the share of the perceptual term that counts: it looks at data that the pixel term has counted.
        """
        ws = self.latents(v)
        images = self.drawn(ws)
        return self.terms_of(v, ws, images, temper), images

    def terms_of(self, v: Tensor, ws: Tensor, images: Tensor, temper: float = 1.0) -> dict[str, Tensor]:
        """The same where latents ws (B, num_ws, D) and images (B, C, R, R) of v are there already."""
        s = self.settings
        terms = {"pixel": self.lambda_pixel * self.likelihood.pixel(images, s.reduction)}
        if s.prior_density != "flat":
            squared = self.whitened(v).square()
            terms["w"] = s.lambda_w * (squared.sum(dim=(1, 2)) if s.reduction == "sum" else squared.mean(dim=(1, 2)))
        if s.lambda_colinear:
            directions = torch.nn.functional.normalize(ws, dim=2)  # (B, L, D)
            cosines = directions @ directions.transpose(1, 2)  # (B, L, L)
            colinear = -(cosines.sum(dim=(1, 2)) if s.reduction == "sum" else cosines.mean(dim=(1, 2)))
            terms["colinear"] = s.lambda_colinear * colinear
        if s.lambda_perceptual * temper and self.likelihood.features is not None:
            terms["perceptual"] = s.lambda_perceptual * temper * self.likelihood.perceptual(images, s.reduction)
        return terms
