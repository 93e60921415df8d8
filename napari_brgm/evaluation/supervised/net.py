"""RestoringNet: a residual U-Net over the first guess, on blocks of pixels folded into channels.

    x = guess + U(fold(guess, hint, mean))        images in [0, 1]

in-painting:       guess = y where measured, the mean training image in the hole; hint = 1 in the hole
super-resolution:  guess = bicubic enlargement of y; hint = log2(factor) / 4
noise:             U alone, in another guise (denoise.py)

U is MONAI's SegResNet (arXiv 1810.11654, without its VAE). Folding makes a step four (or sixteen) times as cheap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from napari_brgm.evaluation.supervised.role import SupervisedRole

__all__ = ["FirstGuess", "RestoringNet", "enlarged", "filled"]


@dataclass(frozen=True, slots=True, eq=False)
class FirstGuess:
    """What the network corrects, and what it is told: (B, 1, R, R) each."""

    image: Tensor
    hint: Tensor


def filled(observed: Tensor, missing: Tensor, mean: Tensor) -> FirstGuess:
    """Fill holes, true in ``missing`` (B, 1, R, R), with the mean image (1, R, R)."""
    return FirstGuess(torch.where(missing, mean, observed), missing.to(observed))


def enlarged(observed: Tensor, factor: int) -> FirstGuess:
    """Enlarge (B, 1, R / factor, R / factor) bicubically."""
    image = F.interpolate(observed, scale_factor=factor, mode="bicubic", align_corners=False)
    return FirstGuess(image, torch.full_like(image, math.log2(factor) / 4))


class RestoringNet(nn.Module):
    """Restores slices of one size.

    Parameters
    ----------
    size : int
        R, side of the slices; ``fold`` times 2 to the number of levels less 1 divides it.
    fold, filters, blocks
        As of ``SupervisedRole``.
    """

    mean: Tensor  # (1, R, R), of the training slices, 0..1

    def __init__(self, size: int, fold: int, filters: int, blocks: tuple[int, ...]) -> None:
        super().__init__()
        from monai.networks.nets.segresnet import SegResNet

        self.size, self.fold = size, fold
        self.register_buffer("mean", torch.zeros(1, size, size))
        self.body = SegResNet(
            spatial_dims=2, init_filters=filters, in_channels=3 * fold**2, out_channels=fold**2,
            act=("LEAKYRELU", {"negative_slope": 0.1, "inplace": True}), blocks_down=blocks,
            blocks_up=(1,) * (len(blocks) - 1),
        )  # fmt: skip
        last = [layer for layer in self.body.conv_final.modules() if isinstance(layer, nn.Conv2d)][-1]
        nn.init.zeros_(last.weight)  # so that it begins with the first guess
        if last.bias is not None:
            nn.init.zeros_(last.bias)

    @classmethod
    def of(cls, role: SupervisedRole, size: int) -> RestoringNet:
        """Make the network of a role, with random weights."""
        return cls(size, role.fold, role.filters, role.blocks)

    def forward(self, guess: FirstGuess) -> Tensor:
        """Restore a batch: (B, 1, R, R), about 0..1."""
        return guess.image + self.correction(2 * guess.image - 1, guess.hint)

    def correction(self, image: Tensor, hint: Tensor) -> Tensor:
        """U: (B, 1, R, R) of an image of about unit size and a hint."""
        mean = self.mean.expand_as(image)
        x = torch.cat([image, hint, 2 * mean - 1], dim=1)  # (B, 3, R, R)
        found = self.body(F.pixel_unshuffle(x, self.fold))  # (B, fold^2, R / fold, R / fold)
        return F.pixel_shuffle(found, self.fold)
