"""Ensemble: several fits from different starts, where the latents have no density that could hold a fit or spread it.

    min over v_1 .. v_M   sum_m  lambda_pix || I - f(G(v_m)) ||^2          (each from a draw of its own)

Draws are the late iterates of all members. Untrained networks fit the image first and its noise later; the run stops
when the running variance of the images, which falls until then, has not fallen to a new minimum for some time, and goes
back to that minimum (Wang et al., "Early Stopping for Deep Image Prior", TMLR 2023, arXiv 2112.06074, Algorithm 1). The
spread of an ensemble is a lower bound of the uncertainty and not calibrated.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.inference.adam import Adam
from napari_brgm.inference.maximum import learning_rate
from napari_brgm.inference.step import Progress

if TYPE_CHECKING:
    from napari_brgm.posterior import Posterior

__all__ = ["Ensemble", "RunningVariance", "fit_ensemble"]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Equally likely latents.

    Attributes
    ----------
    draws : (N, L, D) Tensor
        Late iterates, member by member for each.
    stopped : int
        Iteration, from 1, of the last of them.
    """

    draws: Tensor
    stopped: int

    @property
    def mean(self) -> Tensor:
        """(L, D) a member at the end; the mean of networks' weights would be no network of use."""
        return self.draws[-1]

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Give n of the draws (n, L, D), the latest first, over again where there are fewer; nothing is random."""
        count = len(self.draws)
        return self.draws[[count - 1 - i % count for i in range(n)]]


class RunningVariance:
    """When to stop: the variance of the last ``window`` images has had no new minimum for ``patience`` iterations."""

    def __init__(self, window: int, patience: int | None) -> None:
        self.images: deque[Tensor] = deque(maxlen=window)
        self.patience, self.least, self.since = patience, float("inf"), 0

    def update(self, images: Tensor) -> tuple[bool, bool]:
        """Take the images of an iteration; whether the variance is at its minimum, and whether it is time to stop."""
        self.images.append(images)
        if len(self.images) < (self.images.maxlen or 1):
            return True, False
        variance = float(torch.stack(list(self.images)).var(dim=0, correction=0).mean())
        lowest = variance < self.least
        self.least, self.since = (variance, 0) if lowest else (self.least, self.since + 1)
        return lowest, self.patience is not None and self.since >= self.patience


def fit_ensemble(posterior: Posterior, generator: torch.Generator, progress: Progress | None = None) -> Ensemble:
    """Fit the members together.

    Parameters
    ----------
    posterior : Posterior
        Settings ``members``, ``window`` and ``patience`` count.
    generator : torch.Generator
        Of the starts (CPU).
    progress : Progress or None
        Gets each step with the mean of their images (1, C, R, R).
    """
    settings = posterior.settings
    progress = progress or Progress(total=settings.steps)
    v = posterior.start(settings.members, generator).requires_grad_(True)
    optimiser = Adam([v])
    rule = RunningVariance(settings.window, settings.patience)
    recent: deque[Tensor] = deque(maxlen=settings.window)
    kept, stopped = [v.detach().clone()], 0
    for iteration in range(settings.steps):
        recent.append(v.detach().clone())
        terms, images = posterior.terms(v)
        loss = torch.stack(list(terms.values())).sum()
        lowest, enough = rule.update(images.detach())
        if lowest or settings.patience is None:
            kept, stopped = list(recent), iteration + 1
        shown = images.detach().mean(dim=0, keepdim=True)
        progress.step("ensemble", loss.item(), {k: t.sum().item() for k, t in terms.items()}, shown)
        if enough:
            break
        optimiser.step(loss, learning_rate(iteration, settings.steps, settings.learning_rate, settings.schedule))
    return Ensemble(torch.cat(kept), stopped)
