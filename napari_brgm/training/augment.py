"""Adaptive augmentation of what the discriminator sees, restricted to what anatomy allows.

Integer shifts, small isotropic scales and rotations in one bilinear sampling (a shift alone lands on pixels and does
not blur), contrast about black and brightness. Each is applied with probability p, to real and generated images alike,
so that the generator does not learn them; p follows the overfitting of the discriminator:

    r_t = E[sign D(real)],   p <- p + sign(r_t - target) * step                    (arXiv 2006.06676, Eq. 1, Sec. 3)

No flips: where left and right may be exchanged, the data are mirrored instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["AdaptiveStrength", "AugmentSettings", "augment"]


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """How far the augmentations go."""

    shift: float = 0.1  # largest, as a share of the side; uniform
    scale: float = 0.1  # standard deviation of log2(scale)
    rotation: float = 10.0  # degrees, largest; uniform
    brightness: float = 0.1  # standard deviation; black to white is 2
    contrast: float = 0.25  # standard deviation of log2(gain about black)
    edge: Literal["black", "reflect"] = "black"  # beyond the frame


def augment(images: Tensor, p: Tensor, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """Augment images (B, C, R, R) in [-1, 1], each transform of each image with probability ``p`` ().

    Differentiable once (bilinear sampling has no second derivative): gradients that are differentiated again start
    from its result.
    """
    b, device = len(images), images.device
    applied = torch.rand(5, b, device=device, generator=generator) < p  # which image gets which transform
    uniform = 2 * torch.rand(3, b, device=device, generator=generator) - 1
    normal = torch.randn(3, b, device=device, generator=generator)
    side = images.shape[-1]
    pixels = (uniform[:2] * (settings.shift * side)).round() * applied[0]  # (2, B) columns, rows
    zoom = torch.exp2(-settings.scale * normal[0] * applied[1])
    angle = uniform[2] * math.radians(settings.rotation) * applied[2]
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    shift = -2 / side * pixels
    theta = torch.stack([cosine, -sine, shift[0], sine, cosine, shift[1]], dim=1).reshape(b, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    mode = "zeros" if settings.edge == "black" else "reflection"
    light = F.grid_sample(images + 1, grid, mode="bilinear", padding_mode=mode, align_corners=False)  # black is 0
    gain = torch.exp2(settings.contrast * normal[1] * applied[3])
    offset = settings.brightness * normal[2] * applied[4] - 1
    return light * gain[:, None, None, None] + offset[:, None, None, None]


class AdaptiveStrength:
    """p of the augmentation, driven by the signs of the discriminator on real images; never waits for the device.

    Parameters
    ----------
    target : float
        Of r_t.
    images : int
        p can go from 0 to 1 in so many real images.
    most : float
        Upper limit of p: above 0.8 augmentations begin to leak into the generator (arXiv 2006.06676, Sec. 2.2).
    """

    def __init__(self, target: float, images: int, most: float, device: torch.device) -> None:
        self.target, self.images, self.most = target, images, most
        self.p = torch.zeros((), device=device)
        self.overfitting = torch.zeros((), device=device)  # r_t when last adjusted
        self.signs = torch.zeros((), device=device)  # since then
        self.count = 0

    def observe(self, logits: Tensor) -> None:
        """Count logits (B,) of augmented real images."""
        self.signs += logits.detach().sign().sum()
        self.count += len(logits)

    def adjust(self) -> None:
        """Move p by what was observed since the last time."""
        self.overfitting.copy_(self.signs / self.count)
        self.p += (self.overfitting - self.target).sign() * (self.count / self.images)
        self.p.clamp_(0, self.most)
        self.signs.zero_()
        self.count = 0
