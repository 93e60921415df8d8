"""Posed copies: training slices shifted, scaled and rotated a little, as other heads and patients lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Poses", "posed_copies"]

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Poses:
    """How far a copy may be moved; each drawn evenly from -x .. x."""

    copies: int = 1  # of each slice
    shift: float = 0.01  # of the frame's side, in each direction
    scale: float = 0.02  # of the size
    rotation: float = 2.0  # degrees


def posed_copies(images: Tensor, poses: Poses, seed: int = 0) -> Tensor:
    """Copies of images (N, 1, R, R) uint8, one set after the other: (copies * N, 1, R, R) uint8.

    Bilinear; the border's values go on outside.
    """
    if not poses.copies:
        return images[:0]
    generator = torch.Generator().manual_seed(seed)
    found = []
    for part in torch.split(images.repeat(poses.copies, 1, 1, 1), _BATCH):
        draw = 2 * torch.rand(len(part), 4, generator=generator) - 1
        turn = draw[:, 0] * math.radians(poses.rotation)
        size = 1 + draw[:, 1] * poses.scale
        theta = torch.zeros(len(part), 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = turn.cos() * size
        theta[:, 1, 0] = turn.sin() * size
        theta[:, 0, 1] = -theta[:, 1, 0]
        theta[:, :, 2] = 2 * poses.shift * draw[:, 2:]
        grid = F.affine_grid(theta, list(part.shape), align_corners=False)
        moved = F.grid_sample(part.float(), grid, padding_mode="border", align_corners=False)
        found.append(moved.round().clamp(0, 255).to(torch.uint8))
    return torch.cat(found)
