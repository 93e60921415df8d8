"""Posterior p(w | I) ~ p(w) p(I | f(G(w))): each term named as in the paper (BRGM Eq. 2, 4, 6).

    L_w     = sum_i ((w_i - mu) / sigma_i)^2        or the Mahalanobis distance (w - mu)' C^-1 (w - mu)
    L_colin = - sum_ij cos(w_i, w_j)
    loss    = lambda_w L_w + lambda_c L_colin + lambda_pix L_pix + lambda_perc L_perc

With lambda_pix = 1 / sigma_pix^2, loss = -2 log p(w | I) + const. The objective of the released code is another:
released.py.

Inference works in coordinates v in which the problem is well scaled, and which carry the density
(priors/coordinates.py):
- prior "gaussian": v is white under N(mu, C), and under the linear posterior where the prior has a line (an exact one
  is also taken for the posterior of its part elsewhere, another is a start and a preconditioner only);
  with a layer spread tau, W+ is w_i = w + tau d_i; in latent space "z", v is the mapping network's input.
- prior "gaussianised": the same for the inverse leaky ReLU of W.
- prior "diagonal" (the paper's presets): v = w, as published, so that their learning rates mean the same.
- prior "flat": v = w, no L_w; what keeps w in bounds is the generator (LCM: the box of phi; DIP: nothing but time).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from napari_brgm.likelihood import GreyLevels, from_grey, to_grey
from napari_brgm.released import released_terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.likelihood import Likelihood
    from napari_brgm.priors.coordinates import Coordinates
    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["Posterior", "bytes_of_images", "encoded", "images_at_once"]

_ROOM = 2500 << 20  # bytes of images that are drawn at a time; on a GPU a quarter of its memory
_GRADIENT, _DRAWN = 2500, 1250  # bytes a pixel of an image with its gradient, and of one without
_ENCODER_ROUNDS = 8  # conjugate gradients of the image that an encoder looks at


class Posterior:
    """log p(w | I) of one observation under one prior; batched over candidate latents. Not to be changed once made.

    Parameters
    ----------
    prior : Prior
    likelihood : Likelihood
    settings : InferenceSettings
    coordinates : Coordinates or None
        What v is; None: what the settings say, preconditioned by this likelihood.
    check : callable, optional
        Called now and then while that is worked out; what it raises ends it.

    Attributes
    ----------
    coordinates : Coordinates
        What v is, and its density before the data are seen.
    """

    def __init__(
        self, prior: Prior, likelihood: Likelihood, settings: InferenceSettings,
        coordinates: Coordinates | None = None, check: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.prior, self.likelihood, self.settings = prior, likelihood, settings
        self.coordinates = coordinates or prior.coordinates(settings, lambda: self._linear_posterior(check))

    @property
    def linear(self) -> GaussianPosterior | None:
        """Exact posterior of the generator's linear part in the coordinates' own latents: under N(mu, C) whitened u.

        None without such a part or f.
        """
        line = self.prior.parts.line
        return self.coordinates.given if line is not None and line.exact else None

    def _linear_posterior(self, check: Callable[[], None] | None) -> GaussianPosterior | None:
        """Posterior of whitened latents u under the prior's line; None where there is none to start from."""
        line, seen = self.prior.parts.line, self.likelihood
        if line is None or not line.complete or self.settings.start != "linear" or not seen.linear:
            return None
        operator = GreyLevels(seen.observation)
        model = line.whitened
        # y - f(mean) with y in grey levels equals A (x - mean) for x, mean in [-1, 1]: shift both by the black level.
        shifted = seen.y - operator.A(torch.ones_like(model.mean)[None])
        return model.posterior(shifted, operator, 1.0 / self.lambda_pixel + line.error_variance, check)

    @property
    def lambda_pixel(self) -> float:
        """sigma_pix^-2, per grey level squared."""
        fixed = self.settings.lambda_pixel
        return fixed if fixed is not None else 1.0 / self.likelihood.observation.sigma**2

    @property
    def shape(self) -> tuple[int, int]:
        """(L, D) of the coordinates v; L = 1 where one latent serves all layers."""
        return self.coordinates.shape

    def coarser(self, block: int) -> Posterior:
        """The same posterior in the same coordinates, of the measurement in blocks of so many pixels; itself for 1."""
        if block == 1:
            return self
        return Posterior(self.prior, self.likelihood.coarser(block), self.settings, self.coordinates)

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
        return synthesized(self.prior, self.latents(v), self.settings)

    def terms(self, v: Tensor, temper: float = 1.0) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted terms (B,) of BRGM Eq. 6 by name, and the images (B, C, R, R) they were computed from.

        ``temper`` is the share of the perceptual term that counts: it looks at data that the pixel term has counted.
        """
        ws = self.latents(v)
        images = synthesized(self.prior, ws, self.settings)
        return self.terms_of(v, ws, images, temper), images

    def terms_of(self, v: Tensor, ws: Tensor, images: Tensor, temper: float = 1.0) -> dict[str, Tensor]:
        """The same where latents ws (B, num_ws, D) and images (B, C, R, R) of v are there already."""
        s = self.settings
        if s.objective == "released":
            return released_terms(s, self.likelihood, self.prior.latents, ws, images)
        terms = {"pixel": self.lambda_pixel * self.likelihood.pixel(images)}
        if s.prior_density != "flat":
            terms["w"] = s.lambda_w * self.whitened(v).square().sum(dim=(1, 2))
        if s.lambda_colinear:
            directions = torch.nn.functional.normalize(ws, dim=2)  # (B, L, D)
            cosines = directions @ directions.transpose(1, 2)  # (B, L, L)
            terms["colinear"] = -s.lambda_colinear * cosines.sum(dim=(1, 2))
        if s.lambda_perceptual * temper and self.likelihood.features is not None:
            terms["perceptual"] = s.lambda_perceptual * temper * self.likelihood.perceptual(images)
        return terms


def synthesized(prior: Prior, ws: Tensor, settings: InferenceSettings) -> Tensor:
    """G(w) (B, C, R, R) of latents ws (B, num_ws, D), with the noise maps and the precision of the settings.

    Of many large images with gradients few are in memory at a time: the others are drawn again for theirs.
    """
    few = images_at_once(prior.resolution, ws.device, gradient=True)
    if ws.requires_grad and len(ws) > few:
        return torch.cat(
            [_Redrawn.apply(part, lambda w: synthesized(prior, w, settings)) for part in torch.split(ws, few)]
        )
    if settings.precision == "float32":
        return prior.synthesize(ws, noise=settings.noise)
    with torch.autocast(ws.device.type, torch.bfloat16):
        return prior.synthesize(ws, noise=settings.noise).float()


def images_at_once(resolution: int, device: torch.device, *, gradient: bool = False) -> int:
    """How many images of so many pixels a side a network draws in bounded memory: at least one."""
    room = torch.cuda.get_device_properties(device).total_memory // 4 if device.type == "cuda" else _ROOM
    return int(max(room // bytes_of_images(1, resolution, gradient=gradient), 1))


def bytes_of_images(count: int, resolution: int, *, gradient: bool = False) -> int:
    """What a network takes that draws so many images at once, roughly."""
    return count * (_GRADIENT if gradient else _DRAWN) * resolution**2


class _Redrawn(torch.autograd.Function):
    """Images of latents, drawn again for their gradient.

    Ours and not torch.utils.checkpoint, which imports the compiler stack (see inference/adam.py).
    """

    @staticmethod
    def forward(ctx: Any, ws: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.ws, ctx.draw = ws, draw
        return draw(ws)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        ws = ctx.ws.detach().requires_grad_(True)
        with torch.enable_grad():
            images = ctx.draw(ws)
        (found,) = torch.autograd.grad(images, ws, gradient)
        return found, None


@torch.no_grad()
def encoded(posterior: Posterior) -> Tensor | None:
    """V (1, L, D) of what the prior's encoder makes of the observation; None without a fitting encoder.

    It looks at an image without holes: the observation is put into the mean image of the prior, x + A^+ (I - A x),
    which keeps what was measured and leaves the mean where nothing was. It gives the leading latents; the others stay
    at their mean.
    """
    prior, seen = posterior.prior, posterior.likelihood
    encoder = prior.parts.encoder
    if encoder is None or encoder.size != prior.resolution or encoder.latents > len(prior.latents.mean):
        return None
    image = to_grey(posterior.images(posterior.coordinates.start(1)))
    if seen.linear:
        image = image + seen.observation.A_dagger(seen.y - seen.observation.A(image), iterations=_ENCODER_ROUNDS)  # type: ignore[union-attr]
    w = prior.latents.mean[None].clone()  # (1, D)
    w[:, : encoder.latents] = encoder.encode(from_grey(image.clamp(0, 255)))
    return posterior.coordinates.at(w)
