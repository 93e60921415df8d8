"""Back-projection: make an image agree with what was measured at low resolution, ``x + U (y - A x)`` again and again.

U is bicubic interpolation (a = -0.75), pixel centres by the half-pixel shift.

Source: Irani and Peleg, "Improving resolution by image registration", CVGIP 53 (1991).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.evaluation.tasks import Task

    Images = npt.NDArray[np.floating]

__all__ = ["ROUNDS", "back_projected"]

ROUNDS = 8


def back_projected(images: Images, observed: Images, task: Task) -> npt.NDArray[np.float32]:
    """Eight rounds of back-projection of images (N, R, R) on what was observed of them (N, h, w)."""
    x, y = _tensor(images), _tensor(observed)
    for _ in range(ROUNDS):
        x = x + _enlarged(y - task.apply(x), task)
    found: npt.NDArray[np.float32] = x[:, 0].numpy()
    return found


def _tensor(images: Images) -> Tensor:
    return torch.from_numpy(np.asarray(images, dtype=np.float32))[:, None]


def _enlarged(images: Tensor, task: Task) -> Tensor:  # (N, 1, h, w) -> (N, 1, h f, w f)
    return F.interpolate(images, scale_factor=float(task.factor), mode="bicubic", align_corners=False)
