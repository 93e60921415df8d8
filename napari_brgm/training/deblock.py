"""Smoothing of the 8 x 8 blocks of JPEG, so that no network takes them for anatomy."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["deblocked"]

_SIDE = 8
_STEP = 10.0  # grey levels; a larger step at a block's border is an edge


def deblocked(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in grey levels as they came from JPEG, with the steps between blocks spread over four pixels.

    What is taken away is the part of the step that the slopes on both sides do not explain, where it is small.
    """
    return _along_columns(_along_columns(images.float()).transpose(-1, -2)).transpose(-1, -2)


def _along_columns(x: Tensor) -> Tensor:
    found = x.clone()
    at = torch.arange(_SIDE, x.shape[-1] - 1, _SIDE, device=x.device)  # first column of each block but the first
    a, b, c, d = (x[..., at + k] for k in (-2, -1, 0, 1))
    step = (c - b) - ((b - a) + (d - c)) / 2
    step = step * (1 - (step.abs() / _STEP).clamp(max=1))
    for k, share in ((-2, 0.125), (-1, 0.375), (0, -0.375), (1, -0.125)):
        found[..., at + k] += share * step
    return found
