"""Maximum a posteriori latents (BRGM Eq. 6): candidates, from coarse to fine, by the optimiser of the settings."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.inference.adam import adam
from napari_brgm.inference.gauss_newton import gauss_newton
from napari_brgm.inference.lbfgs import lbfgs
from napari_brgm.inference.replayed import replayed
from napari_brgm.inference.step import Progress
from napari_brgm.posterior import synthesized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.inference.visit import Descent, Visit
    from napari_brgm.posterior import Posterior

__all__ = ["Maximum", "Plateau", "Together", "learning_rate", "maximise", "maximise_together"]

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


@dataclass(frozen=True, slots=True)
class Together:
    """Rows of v belong to the members in turn, ``rows`` to each: an objective for optimisers that move rows alone.

    Attributes
    ----------
    members : tuple of Posterior
        With the same prior and the same settings, and so with coordinates of one shape.
    rows : int
    """

    members: tuple[Posterior, ...]
    rows: int = 1

    def terms(self, v: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted terms (B,) by name, each row's of its own observation, and the images (B, C, R, R)."""
        parts = torch.split(v, self.rows)
        ws = [member.latents(part) for member, part in zip(self.members, parts, strict=True)]
        images = synthesized(self.members[0].prior, torch.cat(ws), self.members[0].settings)
        each = [
            member.terms_of(part, w, seen)
            for member, part, w, seen in zip(self.members, parts, ws, torch.split(images, self.rows), strict=True)
        ]
        return {name: torch.cat([terms[name] for terms in each]) for name in each[0]}, images


def learning_rate(iteration: int, steps: int, peak: float, schedule: str) -> float:
    """Rate of a 0-based iteration: constant, or a warm-up over a tenth of the steps and a cosine to zero."""
    if schedule == "constant":
        return peak
    warm = max(1, steps // 10)
    if iteration < warm:
        return peak * (iteration + 1) / warm
    return peak * 0.5 * (1 + math.cos(math.pi * (iteration - warm) / max(1, steps - warm)))


def maximise(
    posterior: Posterior, generator: torch.Generator | None = None, progress: Progress | None = None
) -> Maximum:
    """Minimise the loss of ``posterior``; gives the best point seen.

    A step is one evaluation of G and of its gradient, or of one product with J and J', for all candidates in one batch.
    With several starts the best after a quarter of the steps goes on alone. From coarse to fine, a quarter of them goes
    to each coarse level; losses of different levels do not compare, so that the best of the last one is returned.

    Parameters
    ----------
    posterior : Posterior
        Settings ``starts``, ``optimiser``, ``steps``, ``tolerance`` and ``coarse_to_fine`` count, and for Adam
        ``learning_rate`` and ``schedule``.
    generator : torch.Generator or None
        Of drawn starts (CPU).
    progress : Progress or None
        Gets each step with its image (1, C, R, R).
    """
    return maximise_together([posterior], [generator], [progress or Progress(total=posterior.settings.steps)])[0]


def maximise_together(
    posteriors: Sequence[Posterior], generators: Sequence[torch.Generator | None], progresses: Sequence[Progress]
) -> list[Maximum]:
    """The same for several observations at once, as ``maximise`` would do each: they share one synthesis a step.

    Their line searches are their own (lbfgs.py), so that each takes the steps it would take alone; what rounding
    differs by, a batch being summed in another order, grows by half or more a step. Early stop comes when all have
    levelled off.

    Parameters
    ----------
    posteriors : sequence of Posterior
        Under the same prior with the same settings; several only with optimisers 'adam' and 'lbfgs'.
    generators, progresses
        As in ``maximise``; one for each.
    """
    settings, count = posteriors[0].settings, len(posteriors)
    starts = [_candidates(p, g) for p, g in zip(posteriors, generators, strict=True)]
    v, rows = torch.cat(starts), len(starts[0])  # (count * rows, L, D), those of one observation together
    best_loss, done = [math.inf] * count, 0
    for block, last in _phases(posteriors, rows):
        seen = [posterior.coarser(block) for posterior in posteriors]
        rows = len(v) // count
        plateaus = [Plateau(settings.tolerance if rows == 1 else None) for _ in posteriors]
        lowest: Visit | None = None
        level, least_loss = [False] * count, [math.inf] * len(v)  # of each row
        for visit in islice(_descent(seen, v, rows, done, last), last - done):
            losses, terms = visit.numbers()
            lower = [loss < least for loss, least in zip(losses, least_loss, strict=True)]
            if lowest is None or all(lower):
                lowest = visit
            elif any(lower):
                lowest = lowest.where(torch.tensor(lower, device=v.device), visit)
            least_loss = [new if one else old for one, new, old in zip(lower, losses, least_loss, strict=True)]
            done += 1
            for i, (progress, row) in enumerate(zip(progresses, _least(losses, count), strict=True)):
                progress.step("map", losses[row], terms[row], visit.images[row : row + 1])
                if visit.new is None or visit.new[row]:
                    level[i] |= plateaus[i].reached(losses[row])
            if all(level):
                break
        if lowest is not None:
            best = _least(least_loss, count)
            v, best_loss = lowest.v[best].clone(), [least_loss[row] for row in best]
    return [Maximum(v[i : i + 1], best_loss[i]) for i in range(count)]


def _least(losses: list[float], count: int) -> list[int]:
    """Row of the lowest loss of each observation."""
    rows = len(losses) // count
    return [min(range(i * rows, (i + 1) * rows), key=lambda row: _nan_last(losses[row])) for i in range(count)]


def _nan_last(loss: float) -> float:
    return math.inf if math.isnan(loss) else loss


def _candidates(posterior: Posterior, generator: torch.Generator | None) -> Tensor:
    """V (S, L, D): the start, then draws of the prior."""
    first = posterior.start(generator=generator)
    more = posterior.settings.starts - 1
    return torch.cat([first, posterior.coordinates.drawn(more, generator)]) if more else first


def _phases(posteriors: Sequence[Posterior], starts: int) -> list[tuple[int, int]]:
    """(block size, number of the last step) of each phase."""
    settings = posteriors[0].settings
    steps = settings.steps
    early = max(steps // _EARLY, 1)
    blocks = min((p.likelihood.levels for p in posteriors), key=len) if settings.coarse_to_fine else [1]
    if len(blocks) == 1 and starts > 1:
        blocks = [1, 1]
    if steps <= len(blocks):  # too few to divide
        blocks = [1]
    ends = [min(early * (i + 1), steps) for i in range(len(blocks) - 1)]
    return list(zip(blocks, [*ends, steps], strict=True))


def _descent(posteriors: Sequence[Posterior], v: Tensor, rows: int, done: int, last: int) -> Descent:
    """Visits from ``v`` on, of steps ``done`` to ``last`` of all."""
    s = posteriors[0].settings
    if s.optimiser == "gauss-newton":
        (alone,) = posteriors
        return gauss_newton(alone, v)
    together = posteriors[0] if len(posteriors) == 1 else Together(tuple(posteriors), rows)
    objective = replayed(together.terms, v, last - done)
    if s.optimiser == "lbfgs":
        return lbfgs(objective, v)
    return adam(objective, v, lambda i: learning_rate(done + i, s.steps, s.learning_rate, s.schedule))
