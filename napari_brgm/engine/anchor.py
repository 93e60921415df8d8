"""Anchor: the one slice whose pose, window and noise are those of a whole stack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.engine.observed import beyond_view
from napari_brgm.likelihood import Likelihood
from napari_brgm.observation import Observation

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.observed import Problem

__all__ = ["Anchor"]


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """The slice that tells where a whole stack lies against the prior.

    Attributes
    ----------
    problem : Problem
    """

    problem: Problem

    @property
    def alignment(self) -> Alignment:
        return self.problem.placed.alignment

    @property
    def noise_sigma(self) -> float:
        """Noise of a measured pixel, in the scan's units."""
        return self.problem.placed.noise.measured / self.problem.window.gain

    def unseen(self, wanted: npt.NDArray[np.bool_] | None = None) -> Problem:
        """The problem of a slice of which nothing was measured; ``wanted`` (H, W) of it is restored, None: all."""
        placed = self.problem.placed
        none = np.zeros(placed.given.grid.fine, dtype=bool)
        given = replace(placed.given, seen=np.zeros_like(placed.given.seen), kept=none)
        outside = ~placed.frame.covers(~none).reshape(none.shape)
        if wanted is not None:
            outside &= wanted
        observation, y = self.problem.likelihood.observation, torch.zeros_like(self.problem.likelihood.y)
        assert isinstance(observation, Observation)
        likelihood = Likelihood(replace(observation, measured=torch.zeros_like(observation.measured)), y)
        return replace(
            self.problem, placed=replace(placed, given=given), likelihood=likelihood, unseen=outside,
            notes=placed.notes + beyond_view(outside),
        )  # fmt: skip
