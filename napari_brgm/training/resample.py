"""Resampling by two with the FIR [1, 3, 3, 1] / 8 per axis, as passes of 2 x 2 average pooling.

    [1, 3, 3, 1] / 8 = [1, 1] / 2 * [1, 1] / 2 * [1, 1] / 2

One kernel a pass, no constants to copy to the device, differentiable twice: what a training loop wants. The layers of
priors/stylegan2_layers.py compute the same numbers.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["halve", "smooth", "upsample"]


def smooth(x: Tensor, pad: int) -> Tensor:
    """FIR of x (B, C, H, W), zeros outside; ``pad`` 1 gives (H - 1, W - 1), 2 gives (H + 1, W + 1)."""
    x = F.avg_pool2d(x, 2, stride=1, padding=1)
    x = F.avg_pool2d(x, 2, stride=1, padding=pad - 1)
    return F.avg_pool2d(x, 2, stride=1)


def halve(x: Tensor) -> Tensor:
    """FIR of x (B, C, 2h, 2w), then every other pixel: (B, C, h, w)."""
    x = F.avg_pool2d(F.avg_pool2d(x, 2, stride=1, padding=1), 2, stride=1)
    return F.avg_pool2d(x, 2)


def upsample(x: Tensor) -> Tensor:
    """Zero insertion, then the FIR with gain 4: (B, C, h, w) -> (B, C, 2h, 2w)."""
    x = F.interpolate(x, scale_factor=2.0, mode="nearest")
    return F.avg_pool2d(F.avg_pool2d(x, 2, stride=1, padding=1), 2, stride=1)
