"""Inversion: the latents of complete images, in W (one w for all layers) or W+ (one for each layer).

    min over u   || x - G(mu + F u) ||^2 / pixels  +  pull |u|^2 / latents,      w = mu + F u,   F F' = C

with the error in grey levels, mu and C the mean and covariance of the prior's latents. How near G can come to an unseen
image is the reconstruction error of a prior. W+ after Abdal et al., "Image2StyleGAN" (arXiv 1904.03189); the whitened
coordinates u keep steep covariances from slowing Adam down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from napari_brgm.errors import InputError
from napari_brgm.inference.adam import Adam
from napari_brgm.inference.maximum import learning_rate as rate_of
from napari_brgm.likelihood import to_grey

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.prior import Prior

__all__ = ["Inversion", "invert", "starting_latents"]


@dataclass(frozen=True, slots=True)
class Inversion:
    """Latents of images, and what the generator makes of them.

    Attributes
    ----------
    ws : (B, num_ws, D) Tensor
    images : (B, C, R, R) Tensor
        G(ws), nominally in [-1, 1].
    rmse : (B,) Tensor
        Error in grey levels 0..255, with G(ws) clipped to them.
    trace : (steps + 1, B) Tensor
        The same before the first step and after each one; ``rmse`` is that of the lowest objective seen.
    """

    ws: Tensor
    images: Tensor
    rmse: Tensor
    trace: Tensor


def starting_latents(prior: Prior, images: Tensor) -> Tensor:
    """One w (B, D) for each of images (B, C, R, R): of an exact line, else of the encoder, else the mean."""
    line, encoder = prior.parts.line, prior.parts.encoder
    with torch.no_grad():
        if line is not None and line.exact:
            return line.model.encode(images)
        if encoder is not None and encoder.size == prior.resolution and encoder.latents == len(prior.latents.mean):
            return encoder.encode(images)
    return prior.latents.mean.expand(len(images), -1)


def invert(
    prior: Prior,
    targets: Tensor,
    *,
    space: Literal["w", "w+"] = "w+",
    steps: int = 200,
    learning_rate: float = 0.05,
    pull: float = 0.0,
    batch: int = 16,
    report: Callable[[int, Tensor], None] | None = None,
) -> Inversion:
    """Find the latents of ``targets`` by Adam from the linear part's, the encoder's or the mean latent.

    Parameters
    ----------
    prior : Prior
    targets : (B, C, R, R) Tensor
        Complete images in [-1, 1]; moved to the prior's device.
    space : {'w', 'w+'}
    steps : int
        0: the starting point.
    learning_rate : float
        At the peak, in standard deviations of the latents; warm-up and cosine to zero.
    pull : float
        Weight of the mean squared standardised latent, in grey levels squared.
    batch : int
        Images at a time; images do not influence each other.
    report : callable
        Gets the step, counted from 0, and the errors (b,) of the images in hand.

    Raises
    ------
    InputError
        The images do not have the prior's size, or a setting is out of range.
    """
    wanted = (prior.channels, prior.resolution, prior.resolution)
    if targets.ndim != 4 or targets.shape[1:] != wanted:
        raise InputError(f"images must be (B, {wanted[0]}, {wanted[1]}, {wanted[2]}), got {tuple(targets.shape)}")
    if space not in ("w", "w+"):
        raise InputError(f"space must be 'w' or 'w+', got {space!r}")
    if steps < 0 or batch < 1 or not learning_rate > 0 or not pull >= 0:
        raise InputError("steps and pull must be at least 0, batch at least 1, learning_rate above 0")
    if len(targets) == 0:
        raise InputError("there is no image to invert; give at least one")
    layers = 1 if space == "w" else prior.num_ws
    targets = targets.to(prior.latents.mean)
    found = [_inverted(prior, part, layers, steps, learning_rate, pull, report) for part in targets.split(batch)]  # type: ignore[no-untyped-call]
    return Inversion(
        torch.cat([part.ws for part in found]),
        torch.cat([part.images for part in found]),
        torch.cat([part.rmse for part in found]),
        torch.cat([part.trace for part in found], dim=1),
    )


def _inverted(
    prior: Prior, target: Tensor, layers: int, steps: int, peak: float, pull: float,
    report: Callable[[int, Tensor], None] | None,
) -> Inversion:  # fmt: skip
    stats = prior.latents
    u = stats.whiten(starting_latents(prior, target))  # (b, rank)
    u = u[:, None].repeat(1, layers, 1).requires_grad_(True)  # (b, L, rank)
    optimiser = Adam([u], betas=(0.9, 0.99))
    lowest = torch.full((len(target),), torch.inf, device=target.device)
    best_u = u.detach().clone()
    best_images, best_rmse = torch.zeros_like(target), torch.zeros_like(lowest)
    trace = []
    for step in range(steps + 1):
        with torch.set_grad_enabled(step < steps):
            images = prior.synthesize(_latents(prior, u))
            error = (images - target) * 127.5  # grey levels
            objective = error.square().mean(dim=(1, 2, 3)) + pull * u.square().mean(dim=(1, 2))  # (b,)
        with torch.no_grad():
            clipped = to_grey(images).clamp(0, 255) - to_grey(target)
            trace.append(clipped.square().mean(dim=(1, 2, 3)).sqrt())
            better = objective < lowest
            lowest = torch.where(better, objective, lowest)
            best_rmse = torch.where(better, trace[-1], best_rmse)
            best_u = torch.where(better[:, None, None], u, best_u)
            best_images = torch.where(better[:, None, None, None], images, best_images)
        if report is not None:
            report(step, trace[-1])
        if step < steps:
            optimiser.step(objective.sum(), rate_of(step, steps, peak, "cosine"))
    return Inversion(_latents(prior, best_u), best_images, best_rmse, torch.stack(trace))


def _latents(prior: Prior, u: Tensor) -> Tensor:
    """Ws (b, num_ws, D) of whitened latents u (b, L, rank)."""
    return prior.latents.colour(u).expand(-1, prior.num_ws, -1)
