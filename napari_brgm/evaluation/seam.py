"""Seams of in-painting: the step from a measured pixel to its restored neighbour, against steps of the texture beside.

    ratio = rms(step across the rim) / rms(steps between measured neighbours within a few pixels of the rim)

1: the rim cannot be told from its surroundings. Steps are differences of neighbouring pixels along rows or columns.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import distance_transform_edt

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["SeamSums", "seam_sums"]

_REACH = 4.0  # pixels from the rim that count as its surroundings


@dataclass(frozen=True, slots=True)
class SeamSums:
    """Sums of squared steps, and their numbers, to be added up over slices.

    Attributes
    ----------
    across, across_count : float
        Over the rim.
    beside, beside_count : float
        Between measured pixels near it.
    """

    across: float = 0.0
    across_count: float = 0.0
    beside: float = 0.0
    beside_count: float = 0.0

    def __add__(self, other: SeamSums) -> SeamSums:
        return SeamSums(*(a + b for a, b in zip(self.as_tuple(), other.as_tuple(), strict=True)))

    @property
    def ratio(self) -> float:
        """Ratio of the two rms steps; nan where there is no rim or no texture."""
        if not (self.across_count and self.beside > 0):
            return math.nan
        return math.sqrt(self.across / self.across_count / (self.beside / self.beside_count))

    def as_tuple(self) -> tuple[float, ...]:
        return astuple(self)


def seam_sums(images: npt.NDArray[np.floating[Any]], missing: npt.NDArray[np.bool_]) -> SeamSums:
    """Steps of images (B, H, W) whose pixels were restored where ``missing`` (H, W).

    Both sides are taken along the axis of the rim only: across a vertical rim and beside it, steps along rows.
    """
    near = ~missing & (distance_transform_edt(~missing) <= _REACH)
    total = SeamSums()
    for axis in (0, 1):
        squared = np.square(np.diff(images, axis=axis + 1))
        across = np.diff(missing, axis=axis)
        if not across.any():
            continue
        size = missing.shape[axis] - 1
        near_both = np.take(near, range(size), axis) & np.take(near, range(1, size + 1), axis)
        count = float(len(images))
        total += SeamSums(
            float(squared[:, across].sum()), count * across.sum(),
            float(squared[:, near_both].sum()), count * near_both.sum(),
        )  # fmt: skip
    return total
