"""Maximum a posteriori latents (BRGM Eq. 6): candidates, from coarse to fine, by the optimiser of the settings."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.coarse import levels, seen_coarser
from napari_brgm.inference.adam import adam
from napari_brgm.inference.gauss_newton import gauss_newton
from napari_brgm.inference.lbfgs import lbfgs
from napari_brgm.inference.step import Step

if TYPE_CHECKING:
    from collections.abc import Generator

    from napari_brgm.inference.visit import Descent
    from napari_brgm.posterior import Posterior

__all__ = ["Maximum", "Plateau", "learning_rate", "maximise"]

_EARLY = 4  # one of so many steps goes to each coarse level, and to all candidates before the best goes on alone
_WINDOW = 4  # steps over which the change of the loss is taken


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


class Plateau:
    """Whether the least loss so far has fallen by less than ``tolerance`` a step over the last few steps."""

    def __init__(self, tolerance: float | None) -> None:
        self.tolerance = tolerance
        self.least: deque[float] = deque(maxlen=_WINDOW + 1)

    def reached(self, loss: float) -> bool:
        """Take the loss of a step."""
        self.least.append(min(loss, self.least[-1]) if self.least else loss)
        if self.tolerance is None or len(self.least) <= _WINDOW:
            return False
        return self.least[0] - self.least[-1] < _WINDOW * self.tolerance * abs(self.least[-1])


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

    A step is one evaluation of G and of its gradient, or of one product with J and J', for all candidates in one batch.
    With several starts the best after a quarter of the steps goes on alone. From coarse to fine, a quarter of them goes
    to each coarse level; losses of different levels do not compare, so that the best of the last one is returned.

    Parameters
    ----------
    posterior : Posterior
        Settings ``starts``, ``optimiser``, ``steps``, ``tolerance`` and ``coarse_to_fine`` count, and for Adam
        ``learning_rate`` and ``schedule``.
    total : int or None
        Number of steps of the whole run, for the steps' ``total``; None means those of MAP.
    generator : torch.Generator or None
        Of drawn starts (CPU).
    """
    settings = posterior.settings
    total = total or settings.steps
    v = _candidates(posterior, generator)  # (S, L, D)
    best_loss, done = math.inf, 0
    for block, last in _phases(posterior, len(v)):
        seen = seen_coarser(posterior, block)
        plateau, lowest = Plateau(settings.tolerance if len(v) == 1 else None), None
        descent = _descent(seen, v, done)
        while done < last:
            visit = next(descent)
            lowest = visit if lowest is None else lowest.where(visit.loss < lowest.loss, visit)
            row, done = int(visit.loss.argmin()), done + 1
            terms = {name: float(term[row]) for name, term in visit.terms.items()}
            yield Step("map", done, total, float(visit.loss[row]), terms), visit.images[row : row + 1]
            if visit.new and plateau.reached(float(visit.loss[row])):
                break
        if lowest is not None:
            row = int(lowest.loss.argmin())
            v, best_loss = lowest.v[row : row + 1].clone(), float(lowest.loss[row])
    return Maximum(v, best_loss)


def _candidates(posterior: Posterior, generator: torch.Generator | None) -> Tensor:
    """V (S, L, D): the start, then draws of the prior."""
    first = posterior.start(generator=generator)
    more = posterior.settings.starts - 1
    return torch.cat([first, posterior.coordinates.drawn(more, generator)]) if more else first


def _phases(posterior: Posterior, starts: int) -> list[tuple[int, int]]:
    """(block size, number of the last step) of each phase."""
    steps = posterior.settings.steps
    early = max(steps // _EARLY, 1)
    blocks = levels(posterior.likelihood) if posterior.settings.coarse_to_fine else [1]
    if len(blocks) == 1 and starts > 1:
        blocks = [1, 1]
    if steps <= len(blocks):  # too few to divide
        blocks = [1]
    ends = [min(early * (i + 1), steps) for i in range(len(blocks) - 1)]
    return list(zip(blocks, [*ends, steps], strict=True))


def _descent(posterior: Posterior, v: Tensor, done: int) -> Descent:
    s = posterior.settings
    if s.optimiser == "gauss-newton":
        return gauss_newton(posterior, v)
    if s.optimiser == "lbfgs":
        return lbfgs(posterior, v)
    return adam(posterior, v, lambda i: learning_rate(done + i, s.steps, s.learning_rate, s.schedule))
