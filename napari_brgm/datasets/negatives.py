"""Negatives: slices whose black and white are exchanged, as some X-ray archives hold a few."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.datasets.slice_set import SliceSet

__all__ = ["negatives_in"]

_OPPOSITE = -0.4  # correlation with the mean of all: others of real sets lie above
_SIDE = 16  # blocks a side


def negatives_in(slices: SliceSet) -> npt.NDArray[np.intp]:
    """Index of slices that look like the negative of the mean slice, on a grid of 16 x 16."""
    size = slices.framing.resolution
    side = _SIDE if size % _SIDE == 0 else 1
    step = size // side
    small = np.stack(
        [image.mean(axis=0).reshape(side, step, side, step).mean(axis=(1, 3)).ravel() for image in slices.images]
    )
    apart = small - small.mean(axis=1, keepdims=True)
    mean = apart.mean(axis=0)
    lengths = np.linalg.norm(apart, axis=1) * np.linalg.norm(mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.flatnonzero((apart @ mean) / lengths < _OPPOSITE)
