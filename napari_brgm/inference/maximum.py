"""Maximum a posteriori latents (BRGM Eq. 6) by Adam."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.inference.adam import Adam
from napari_brgm.inference.step import Step

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_brgm.posterior import Posterior

__all__ = ["Maximum", "learning_rate", "maximise"]


@dataclass(frozen=True, slots=True)
class Maximum:
    """Latents of highest posterior density found.

    Attributes
    ----------
    v : (1, L, D) Tensor
        Coordinates of the posterior (see posterior.py).
    loss : float
        The objective there; -2 log p(w | I) up to a constant when terms are sums.
    """

    v: Tensor
    loss: float


def learning_rate(iteration: int, steps: int, peak: float, schedule: str) -> float:
    """Rate of a 0-based iteration: constant, or a warm-up over a tenth of the steps and a cosine to zero."""
    if schedule == "constant":
        return peak
    warm = max(1, steps // 10)
    if iteration < warm:
        return peak * (iteration + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (iteration - warm) / max(1, steps - warm)))


def maximise(
    posterior: Posterior, total: int | None = None, generator: torch.Generator | None = None
) -> Generator[tuple[Step, Tensor], None, Maximum]:
    """Minimise the loss of ``posterior``; yields each step with its image (1, C, R, R), returns the best point seen.

    Parameters
    ----------
    posterior : Posterior
    total : int or None
        Number of steps of the whole run, for the steps' ``total``; None means those of MAP.
    generator : torch.Generator or None
        Of a drawn start (CPU).
    """
    settings = posterior.settings
    v = posterior.start(generator=generator).requires_grad_(True)
    optimiser = Adam([v])
    best, best_loss = v.detach().clone(), math.inf
    for iteration in range(settings.steps):
        terms, images = posterior.terms(v)
        loss = torch.stack(list(terms.values())).sum()
        value = loss.item()
        if value < best_loss:
            best, best_loss = v.detach().clone(), value
        yield (
            Step("map", iteration + 1, total or settings.steps, value, {k: t.sum().item() for k, t in terms.items()}),
            images.detach(),
        )
        optimiser.step(loss, learning_rate(iteration, settings.steps, settings.learning_rate, settings.schedule))
    return Maximum(best, best_loss)
