"""Pivotal tuning: the generator itself is fitted to one observation, its latents held.

    min over theta   || y - f(G_theta(w*)) ||^2 / sigma_n^2 + lambda | (theta - theta_0) / s |^2,  s: each tensor's rms

What MAP leaves unexplained is taken up by the weights where the data ask for it (Roich et al., "Pivotal Tuning for
Latent-based Editing of Real Images", arXiv 2106.05744, Sec. 3.2; intermediate layers instead of weights: Daras et al.,
arXiv 2102.07364). It pays where the observation is rich, as in super-resolution by small factors, and leaves the
training set's anatomy behind: results say that the generator was tuned.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from napari_brgm.errors import InputError
from napari_brgm.inference.adam import Adam
from napari_brgm.inference.maximum import learning_rate
from napari_brgm.inference.step import Progress
from napari_brgm.posterior import Posterior
from napari_brgm.priors.network import network_of, with_network

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["tune"]

_RATE = 2e-3  # peak
_HOLD = 1.0  # lambda: a weight that moves by the rms of its tensor costs as much as a pixel off by its noise


def tune(posterior: Posterior, v: Tensor, noise: float, steps: int, progress: Progress | None = None) -> Posterior:
    """Fit a copy of the generator at latents v; gives the posterior under the copy, in the same coordinates.

    Parameters
    ----------
    posterior : Posterior
    v : (1, L, D) Tensor
        Coordinates of the MAP.
    noise : float
        Measurement noise of an observed pixel, grey levels, above 0.
    steps : int
        Of Adam.
    progress : Progress or None
        Gets each step with its image.

    Raises
    ------
    InputError
        The prior has no weights that could be tuned.
    """
    network = network_of(posterior.prior)
    if network is None:
        raise InputError(f"{posterior.prior.info.name} has no network to tune; set refine_steps to 0")
    tuned = copy.deepcopy(network)
    prior = with_network(posterior.prior, tuned)
    weights = [p.requires_grad_(True) for p in tuned.parameters()]
    first = [p.detach().clone() for p in weights]
    scales = [p.square().mean().sqrt().clamp(min=1e-6) for p in first]
    ws = posterior.latents(v).detach()
    optimiser = Adam(weights)
    progress = progress or Progress(total=steps)
    for iteration in range(steps):
        images = prior.synthesize(ws, noise=posterior.settings.noise)
        pixel = posterior.likelihood.pixel(images).sum() / noise**2
        moved = [((p - start) / s).square().sum() for p, start, s in zip(weights, first, scales, strict=True)]
        hold = _HOLD * torch.stack(moved).sum()
        loss = pixel + hold
        progress.step("refine", loss.item(), {"pixel": pixel.item(), "hold": hold.item()}, images.detach())
        optimiser.step(loss, learning_rate(iteration, steps, _RATE, "cosine"))
    tuned.requires_grad_(False)
    return Posterior(prior, posterior.likelihood, posterior.settings, posterior.coordinates)
