"""Outcome: what one run computed, kept by all of its layers, for whoever looks at the uncertainty or saves it.

A run is one group of layers: each carries the same ``Outcome`` in ``layer.metadata["brgm_outcome"]``, and its own
role in ``layer.metadata["brgm"]["role"]``. It goes when the last of its layers is deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.plugin.layers import ShownSlice

__all__ = ["KEY", "Outcome", "RestoredPlane", "outcome_of"]

KEY = "brgm_outcome"


@dataclass(frozen=True, slots=True, eq=False)
class RestoredPlane:
    """One restored slice and where it lies in the layers of its run.

    Attributes
    ----------
    index : tuple of int or slice
        Of the plane in the data of the run's layers (without the leading axis of samples).
    shown : ShownSlice
        The slice it was computed from: orientation, pixel size, place in the source.
    result : Restoration
        Images (H', W') as shown on the screen, in the scan's units.
    """

    index: tuple[int | slice, ...]
    shown: ShownSlice
    result: Restoration

    def find(self, data_index: Sequence[float]) -> tuple[int, int] | None:
        """Row and column of the result's images at an index of a layer's data; None where it is not in this plane."""
        nearest = [int(np.floor(i + 0.5)) for i in data_index]
        if any(not isinstance(own, slice) and own != i for own, i in zip(self.index, nearest, strict=True)):
            return None
        height, width = self.result.estimate.shape
        row, column = nearest[self.shown.rows], nearest[self.shown.columns]
        row = height - 1 - row if self.shown.flips[0] else row
        column = width - 1 - column if self.shown.flips[1] else column
        return (row, column) if 0 <= row < height and 0 <= column < width else None


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """A finished run.

    Attributes
    ----------
    run : str
        What tells it from other runs.
    task : str
        'in-paint', 'super-resolve' or 'clean'.
    source : str
        Name of the source layer.
    units : str
        Intensity units of the scan.
    planes : tuple of RestoredPlane
        At least one.
    """

    run: str
    task: str
    source: str
    units: str
    planes: tuple[RestoredPlane, ...]

    def find(self, data_index: Sequence[float]) -> tuple[RestoredPlane, int, int] | None:
        """The plane, row and column at an index of a layer's data; None where nothing was restored."""
        for plane in self.planes:
            place = plane.find(data_index)
            if place is not None:
                return plane, *place
        return None


def outcome_of(layer: Layer | None) -> Outcome | None:
    """Give the outcome whose layer this is; None for others, and for results read from files."""
    return None if layer is None else layer.metadata.get(KEY)
