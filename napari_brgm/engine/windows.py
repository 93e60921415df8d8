"""Windows: a long stack in parts of bounded length, in order, each given what was drawn of the one before.

    known | kept | ahead          slices of one window, one above the other

Latents and residual fields of the last slices of a window are ``known`` to the next, so that draws go on without a
seam; those ``ahead`` are looked at for what they measured, and come again. Runs of slices that are further apart than
their neighbours help start anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_brgm.engine.job import Stack

__all__ = ["StackPart", "helping_mm", "windows_of"]

_ASIDE = 4  # slices of context on a side, at most, and as many known ones
_NEW = 16  # slices of a window that are not known, about
_MORE, _FURTHEST_MM = 1.01, 20.0  # the next slice is looked at, however far its detail is known, up to here


@dataclass(frozen=True, slots=True)
class StackPart:
    """Part of a stack; its slices by their numbers, ascending.

    Attributes
    ----------
    known, kept, ahead : tuple of int
    """

    known: tuple[int, ...]
    kept: tuple[int, ...]
    ahead: tuple[int, ...]

    @property
    def slices(self) -> tuple[int, ...]:
        return self.known + self.kept + self.ahead

    @property
    def new(self) -> tuple[int, ...]:
        return self.kept + self.ahead


def windows_of(
    places: Sequence[float], wanted: npt.NDArray[np.bool_], reach: float, longest: int = 1
) -> list[StackPart]:
    """Plan the windows of a stack.

    Parameters
    ----------
    places : (n,) sequence of float
        Of the slices of the stack, mm, ascending.
    wanted : (n,) bool ndarray
        Those that are to be restored; the others are context.
    reach : float
        How far a slice helps another, mm.
    longest : int
        Slices in the longest profile of a measured one: known and looked at ahead are as many, at least.
    """
    at = np.asarray(places, float)
    found: list[StackPart] = []
    for run in _runs(at, np.flatnonzero(wanted), reach):
        first, last = run[0], run[-1]
        near = np.flatnonzero((at >= at[first] - reach) & (at <= at[last] + reach))
        near = near[(near >= first - _ASIDE) & (near <= last + _ASIDE)]
        aside, start = max(_ASIDE, longest), 0
        while start < len(near):
            end = start + max(_NEW, 3 * aside)
            end = len(near) if end + aside >= len(near) else end
            keep = end if end == len(near) else end - aside
            known = near[max(start - aside, 0) : start] if start else near[:0]
            parts = known, near[start:keep], near[keep:end]
            found.append(StackPart(*(tuple(part.tolist()) for part in parts)))
            start = keep
    return found


def helping_mm(stack: Stack, reach: float) -> float:
    """How far a slice of a stack helps another, where detail is known up to ``reach`` mm."""
    places = np.sort([*stack.places, *(at for at, _ in stack.neighbours), *stack.thin])
    step = float(np.diff(np.asarray(places, float)).min(initial=np.inf)) if len(places) > 1 else 0.0
    return max(reach, min(_MORE * step, _FURTHEST_MM))


def _runs(at: npt.NDArray[np.float64], wanted: npt.NDArray[np.intp], reach: float) -> list[npt.NDArray[np.intp]]:
    """Slices that are wanted, parted where their contexts do not meet."""
    gaps = np.flatnonzero((np.diff(at[wanted]) > 2 * reach) | (np.diff(wanted) > 2 * _ASIDE))
    return np.split(wanted, gaps + 1)
