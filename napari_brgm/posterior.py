"""Posterior p(w | I) ~ p(w) p(I | f(G(w))): each term named as in the paper (BRGM Eq. 2, 4, 6).

    L_w     = sum_i ((w_i - mu) / sigma_i)^2        or the Mahalanobis distance (w - mu)' C^-1 (w - mu)
    L_colin = - sum_ij cos(w_i, w_j)
    loss    = lambda_w L_w + lambda_c L_colin + lambda_pix L_pix + lambda_perc L_perc

With sums and lambda_pix = 1 / sigma_pix^2, loss = -2 log p(w | I) + const.

Inference works in coordinates v in which the problem is well scaled; w = mu + T (v0 + P v):
- prior "gaussian": T is the Cholesky factor of the latents' covariance, so that L_w = |v|^2; P = 1, v0 = 0.
- the same with a linear part and a linear f: P is the square root of the linear posterior's covariance and v0 its mean,
  so that for a purely linear generator the posterior of v is N(0, I). This is exact preconditioning, no other density.
- prior "diagonal" (the paper's presets): v = w, as published, so that their learning rates mean the same.
- prior "flat": v = w, no L_w; what keeps w in bounds is the generator (LCM: the box of phi; DIP: nothing but time).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from napari_brgm.priors.prior import LatentStatistics

if TYPE_CHECKING:
    from napari_brgm.likelihood import Likelihood
    from napari_brgm.priors.linear_gaussian import GaussianPosterior
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
        self.__dict__["linear"] = self._linear_posterior()

    @property
    def linear(self) -> GaussianPosterior | None:
        """Exact posterior of the generator's linear part in whitened latents u, or None (no linear part or f)."""
        return cast("GaussianPosterior | None", self.__dict__["linear"])

    def _linear_posterior(self) -> GaussianPosterior | None:
        part, latents = self.prior.linear_part, self.prior.latents
        s = self.settings
        if (
            part is None
            or not isinstance(latents, LatentStatistics)
            or s.start != "linear"
            or s.prior_density != "gaussian"
            or not self.likelihood.linear
        ):
            return None

        scale = self.likelihood.observed
        if self.likelihood.weight is not None:
            scale = scale * self.likelihood.weight.sqrt()

        def observe(images: Tensor) -> Tensor:  # the linear part of f on [-1, 1] images, in grey levels
            return self.likelihood.forward_map(images * 127.5) * scale

        # y - f(mean) with y in grey levels equals A (x - mean) for x, mean in [-1, 1]: shift both by the black level.
        observation = self.likelihood.observation * scale - observe(torch.ones_like(part.mean)[None])
        return part.whitened(latents).posterior(observation, observe, 1.0 / self.lambda_pixel)

    @property
    def lambda_pixel(self) -> float:
        """sigma_pix^-2, per grey level squared."""
        fixed = self.settings.lambda_pixel
        return fixed if fixed is not None else 1.0 / self.likelihood.sigma**2

    @property
    def shape(self) -> tuple[int, int]:
        """(L, D) of the coordinates v: L = 1 in W, num_ws in W+; D the size of w, or the rank of its density."""
        size = self.prior.w_dim if self.direct else self.prior.latents.rank
        return (1 if self.settings.latent_space == "w" else self.prior.num_ws, size)

    @property
    def direct(self) -> bool:
        """Whether v is w itself and not a whitened coordinate of it."""
        return self.settings.prior_density != "gaussian"

    def start(self, batch: int = 1, generator: torch.Generator | None = None) -> Tensor:
        """Where inference starts: v (batch, L, D): mean latent, the linear posterior's mean, or draws of the prior."""
        if self.settings.start == "draw":
            latents = self.prior.latents
            u = torch.randn(batch, self.shape[0], latents.rank, generator=generator).to(latents.mean)
            return latents.colour(u) if self.direct else u
        if self.direct:
            return self.prior.latents.mean.expand(batch, *self.shape).clone()
        return torch.zeros(batch, *self.shape, device=self.prior.latents.mean.device)

    def start_std(self) -> Tensor:
        """(L, D) spread of v before the data are seen; 1 where preconditioned, which is the linear answer."""
        if self.direct:
            return self.prior.latents.std.expand(self.shape).clone()
        return torch.ones(self.shape, device=self.prior.latents.mean.device)

    def whitened(self, v: Tensor) -> Tensor:
        """U (B, L, D): latents in units of the prior's standard deviations."""
        latents = self.prior.latents
        if self.direct:
            return (v - latents.mean) / latents.std
        if self.linear is None:
            return v
        return self.linear.mean + v @ self._root.T

    @property
    def _root(self) -> Tensor:  # (D, D) square root of the linear posterior's covariance
        cached = self.__dict__.get("root")
        if cached is None:
            assert self.linear is not None
            factor = torch.linalg.cholesky(self.linear.precision.double())  # precision = F F', root = F^-T
            eye = torch.eye(len(factor), dtype=factor.dtype, device=factor.device)
            cached = torch.linalg.solve_triangular(factor.T, eye, upper=True).to(self.linear.precision.dtype)
            self.__dict__["root"] = cached
        return cast("Tensor", cached)

    def latents(self, v: Tensor) -> Tensor:
        """Ws (B, num_ws, D) of coordinates v (B, L, D)."""
        w = v if self.direct else self.prior.latents.colour(self.whitened(v))
        return w.expand(-1, self.prior.num_ws, -1) if w.shape[1] == 1 else w

    def images(self, v: Tensor) -> Tensor:
        """G(w) (B, C, R, R), nominally in [-1, 1]."""
        return self.prior.synthesize(self.latents(v), noise=self.settings.noise)

    def terms(self, v: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted terms (B,) of BRGM Eq. 6 by name, and the images (B, C, R, R) they were computed from."""
        s = self.settings
        ws = self.latents(v)
        images = self.prior.synthesize(ws, noise=s.noise)
        terms = {"pixel": self.lambda_pixel * self.likelihood.pixel(images, s.reduction)}
        if s.prior_density != "flat":
            squared = self.whitened(v).square()
            terms["w"] = s.lambda_w * (squared.sum(dim=(1, 2)) if s.reduction == "sum" else squared.mean(dim=(1, 2)))
        if s.lambda_colinear:
            directions = torch.nn.functional.normalize(ws, dim=2)  # (B, L, D)
            cosines = directions @ directions.transpose(1, 2)  # (B, L, L)
            colinear = -(cosines.sum(dim=(1, 2)) if s.reduction == "sum" else cosines.mean(dim=(1, 2)))
            terms["colinear"] = s.lambda_colinear * colinear
        if s.lambda_perceptual and self.likelihood.features is not None:
            terms["perceptual"] = s.lambda_perceptual * self.likelihood.perceptual(images, s.reduction)
        return terms, images
