"""Stack place: what a slice was restored together with, as its record and its calibration want it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.engine.coordinate import coordinate

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.engine.observed import Problem
    from napari_brgm.priors.prior import Prior

__all__ = ["StackPlace"]

_WHOLE = 0.5  # sides of the frame: the depth of a hole that is the whole slice


@dataclass(frozen=True, slots=True, eq=False)
class StackPlace:
    """A slice of a stack.

    Attributes
    ----------
    record : dict
        'place_mm', 'neighbours_mm' and 'nearest_measured_mm', of the slice.
    distance_mm : (H, W) ndarray
        To the nearest slice in which the same pixel was measured.
    thick_mm : float
        Of the slices that this thin one is part of; 0: none.
    second : bool
        Whether another scan of the patient has a say in it, if only by what it saw of its neighbours.
    """

    record: dict[str, Any]
    distance_mm: npt.NDArray[np.float64]
    thick_mm: float = 0.0
    second: bool = False

    def coordinate(self, problem: Problem, prior: Prior) -> tuple[str, npt.NDArray[np.float64]]:
        """Kind of task and coordinate (H, W) of the groups of its pixels: depth in the plane, or thickness."""
        if self.thick_mm:
            return "thick", np.broadcast_to(self.thick_mm, problem.shape)
        if not problem.measured.any():
            return "hole", np.broadcast_to(_WHOLE, problem.shape)
        return "hole", coordinate(problem, prior.resolution)[1]
