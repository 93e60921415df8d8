"""Layout: the slices of a stack in order, which of them are restored and which only help, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.corruptions import Identity
from napari_brgm.engine.job import ObservedSlice
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.engine.job import Job

__all__ = ["Layout", "MeasuredSlice"]


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSlice:
    """What was measured of a stack.

    Attributes
    ----------
    given : ObservedSlice
    holds : dict of int to float
        Share of each slice of the stack, by its number in it.
    number : int or None
        Which slice of the job it is; None: a neighbour.
    """

    given: ObservedSlice
    holds: dict[int, float]
    number: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Slices of a stack, by their numbers in it.

    Attributes
    ----------
    places : (n,) float64 ndarray
        mm, ascending.
    results : (n,) int ndarray
        Which restoration of the job each slice gives; -1: none, it is context.
    measured : tuple of MeasuredSlice
    """

    places: npt.NDArray[np.float64]
    results: npt.NDArray[np.int64]
    measured: tuple[MeasuredSlice, ...]

    @property
    def longest(self) -> int:
        """Slices from the first to the last that one measurement holds, at most."""
        return max((max(one.holds) - min(one.holds) + 1 for one in self.measured), default=1)

    @classmethod
    def of(cls, job: Job, reach: float) -> Layout:
        """Of a job with a stack; neighbours further than ``reach`` mm from all that is restored are left out.

        Raises
        ------
        InputError
            The places are not as many as the slices, or do not ascend.
        """
        assert job.stack is not None
        own, stack = np.asarray(job.stack.places, float), job.stack
        if len(own) != len(job.slices) or not np.isfinite(own).all() or (np.diff(own) <= 0).any():
            raise InputError("each slice of a stack needs a place in mm, and these must ascend")
        if stack.thin:
            thin = np.asarray(stack.thin, float)
            profile = np.asarray(stack.profile, float)
            rows = [{int(i): float(row[i]) for i in np.flatnonzero(row)} for row in profile]
            held = [(one, row, j) for j, (one, row) in enumerate(zip(job.slices, rows, strict=True))]
            return cls(thin, np.arange(len(thin)), tuple(MeasuredSlice(*one) for one in held))
        near = [(at, image) for at, image in stack.neighbours if np.abs(own - at).min() <= reach]
        near = [(at, image) for at, image in near if at not in set(own.tolist())]
        places = np.concatenate([own, [at for at, _ in near]])
        order = np.argsort(places, kind="stable")
        rank = np.argsort(order, kind="stable")  # of each, in the stack
        first = job.slices[0]
        measured = [
            MeasuredSlice(one, {int(rank[j]): 1.0}, j) for j, one in enumerate(job.slices) if one.image is not None
        ]
        measured += [
            MeasuredSlice(ObservedSlice(image, Identity, first.spacing, first.noise_sigma), {int(i): 1.0})
            for (_, image), i in zip(near, rank[len(own) :], strict=True)
        ]
        results = np.where(order < len(own), order, -1)
        return cls(places[order], results, tuple(sorted(measured, key=lambda one: min(one.holds))))
