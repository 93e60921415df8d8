"""ThinSlices: what a stack of thick slices becomes; where the thin ones lie, and how much of each a thick one holds.

    thin slice i lies at ((i + 1/2) / f - 1/2) d          mm from the middle of the first thick one

d is the distance of the thick slices, f how many thin ones are made of each. The outer edges of both stacks coincide,
as those of fine and coarse pixels do in the plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from napari_brgm.corruptions import Compose, Downsample
from napari_brgm.engine.job import Stack
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from typing import Any

    from napari_brgm.corruptions import LinearOperator

__all__ = ["MOST", "ThinSlices"]

MOST = 16  # thin slices in a thick one: with their neighbours' they are restored at once, each with each
_NO_GAP = 0.01  # of the distance, between it and the thickness


@dataclass(frozen=True, slots=True, eq=False)
class ThinSlices:
    """Thin slices of thick ones.

    Attributes
    ----------
    thick : int
        How many thick slices there are.
    distance : float
        Of these along their normal, mm.
    profile : Downsample
        How thick slices are sums of thin ones; it leaves the plane as it is.

    Raises
    ------
    InputError
        There would be more than MOST thin slices of each thick one.
    """

    thick: int
    distance: float
    profile: Downsample

    def __post_init__(self) -> None:
        if self.factor > MOST:
            raise InputError(f"at most {MOST} thin slices of each thick one can be made, got {self.factor:g}")

    @classmethod
    def of(cls, thick: int, distance: float, factor: float, thickness: float | None = None) -> Self:
        """Make ``factor`` thin slices of each thick one, whose profile is a box.

        Parameters
        ----------
        factor : float
            Above 1.
        thickness : float or None
            Of the slices, mm: below ``distance`` there are gaps, above it they overlap; None: as thick as far apart.

        Raises
        ------
        InputError
            The factor or the thickness cannot be.
        """
        if not (math.isfinite(factor) and factor > 1):
            raise InputError(f"thin slices in a thick one must be a number above 1, got {factor:g}")
        if thickness is not None and not (math.isfinite(thickness) and thickness > 0):
            raise InputError(f"the thickness of slices must be a length above 0 mm, got {thickness:g}")
        width = 1.0 if thickness is None else thickness / distance
        if abs(width - 1) <= _NO_GAP:
            return cls(thick, distance, Downsample((factor, 1, 1)))
        return cls(thick, distance, Downsample((factor, 1, 1), "slice_profile", width=width, fwhm=0.0))

    @property
    def factor(self) -> float:
        """Thin slices in a thick one."""
        return float(self.profile.through)

    @property
    def count(self) -> int:
        """How many thin slices there will be."""
        return self.profile.image_channels(self.thick)

    def holder(self, thin: int) -> int:
        """The thick slice in which the middle of a thin one lies."""
        return min(int((thin + 0.5) / self.factor), self.thick - 1)

    def stack(self) -> Stack:
        """How the slices of a job lie."""
        places = tuple(self.distance * i for i in range(self.thick))
        thin = tuple(self.distance * ((i + 0.5) / self.factor - 0.5) for i in range(self.count))
        return Stack(places, (), thin, self.profile.slice_profile(self.count))

    def describe(self, plane: LinearOperator) -> dict[str, Any]:
        """For records: what happened to thin slices, in the plane too."""
        return Compose(self.profile, plane).describe()
