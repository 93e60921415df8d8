"""Copying: how near draws of a prior come to its training slices, against held-out slices, which cannot be copies.

d_i = min_j rms(x_i - t_j),   over training slices t_j and their reflections, on 64 x 64 means
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["nearest_training"]

_SIDE = 64
_BATCH = 256  # slices that distances are looked at together


def nearest_training(
    images: npt.NDArray[np.float32], training: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:  # fmt: skip
    """Distances (n,) of images (n, R, R) from the nearest of training slices (m, R, R), all in grey levels."""
    near = np.full(len(images), np.inf)
    ours = _small(images)
    for first in range(0, len(training), _BATCH):
        theirs = _small(training[first : first + _BATCH])
        for one in (theirs, theirs.flip(-1)):
            near = np.minimum(near, torch.cdist(ours.flatten(1), one.flatten(1)).amin(dim=1).numpy())
    return near / _SIDE


def _small(images: npt.NDArray[np.float32]) -> torch.Tensor:
    x = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float64))
    return F.adaptive_avg_pool2d(x[:, None], _SIDE)[:, 0]
