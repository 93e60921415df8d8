"""Laplacian pyramid: an image as bands of detail, each half as fine, and a coarse rest (Burt and Adelson 1983).

As a loss, L1 over the bands weighs structure of every size alike, where L1 over pixels is ruled by the large ones:
Bojanowski et al., "Optimizing the Latent Space of Generative Networks" (arXiv 1707.05776, Sec. 3), where level j of the
sums has the weight 4^j, which makes it the mean over the band.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["laplacian_pyramid", "pyramid_distance"]

_COARSEST = 4  # pixels a side


def laplacian_pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """Bands (B, C, R / 2^j, R / 2^j), j = 0 .. levels - 1, and the rest at R / 2^levels, of images (B, C, R, R).

    A band is the image minus its smoothed, halved and re-enlarged self; all of them added up again give the image.
    Levels that would be smaller than 4 pixels are left out.
    """
    bands: list[Tensor] = []
    while len(bands) < levels and images.shape[-1] >= 2 * _COARSEST:
        half = _smoothed(images)[..., ::2, ::2]
        bands.append(images - enlarged(half))
        images = half
    return [*bands, images]


def pyramid_distance(error: Tensor, levels: int) -> Tensor:
    """Sum over the bands of the error (B, C, R, R) of their mean absolute values; its own unit."""
    return torch.stack([band.abs().mean() for band in laplacian_pyramid(error, levels)]).sum()


def enlarged(images: Tensor) -> Tensor:
    """Twice the size, by bilinear interpolation."""
    return F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


def _smoothed(images: Tensor) -> Tensor:
    """Binomial filter [1, 4, 6, 4, 1] / 16 along both axes, edges repeated."""
    x = F.pad(images, (2, 2, 2, 2), mode="replicate")
    x = (x[:, :, :-4] + x[:, :, 4:]) / 16 + (x[:, :, 1:-3] + x[:, :, 3:-1]) / 4 + x[:, :, 2:-2] * 0.375
    return (x[..., :-4] + x[..., 4:]) / 16 + (x[..., 1:-3] + x[..., 3:-1]) / 4 + x[..., 2:-2] * 0.375
