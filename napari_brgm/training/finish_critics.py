"""Discriminators of the finish: is a patch, is a whole slice, one of a scan?

Both know where they look (priors/finish.py, ``place_maps``), so that cortex is compared with cortex.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.priors.finish import CONTRAST, PLACE, high_pass

__all__ = ["PatchCritic", "WholeCritic"]

_GROUP = 4  # slices whose deviation is compared


class PatchCritic(nn.Module):
    """Images (B, 1, H, W) -> logits (B, 1, H / 8, W / 8), each of about 46 pixels.

    Sees the image, its high-pass and the magnitude of that.

    Parameters
    ----------
    pool : int
        Images are averaged by this first; logits are of H / (8 pool).
    widths : tuple of int
        Channels on 1/2, 1/4 and 1/8 of the grid.
    """

    def __init__(self, pool: int = 1, widths: tuple[int, int, int] = (64, 128, 256)) -> None:
        super().__init__()
        self.pool = pool
        a, b, c = widths
        self.enter = nn.Conv2d(12 + PLACE, a, 3, padding=1)
        self.to_quarter = nn.Conv2d(a, b, 4, 2, 1)
        self.to_eighth = nn.Conv2d(b, c, 4, 2, 1)
        self.deep = nn.Conv2d(c, c, 3, padding=1)
        self.out = nn.Conv2d(c, 1, 1)

    def forward(self, images: Tensor, place: Tensor) -> Tensor:
        """Logits; ``place`` is (1, 3, H / 2, W / 2)."""
        x = images
        if self.pool > 1:
            x, place = F.avg_pool2d(x, self.pool), F.avg_pool2d(place, self.pool)
        mean = F.interpolate(place[:, :1], scale_factor=2, mode="bilinear")
        fine = CONTRAST * high_pass(x)
        views = torch.cat([CONTRAST * (x - mean), fine, fine.abs()], dim=1)
        z = torch.cat([F.pixel_unshuffle(views, 2), place.expand(len(x), -1, -1, -1)], dim=1)
        for layer in (self.enter, self.to_quarter, self.to_eighth, self.deep):
            z = F.leaky_relu(layer(z), 0.2)
        logits: Tensor = self.out(z).float()
        return logits


class WholeCritic(nn.Module):
    """Images (B, 1, H, W) -> logits (B,), from averages over H / 32 pixels and the deviation within groups of four.

    Parameters
    ----------
    shape : tuple of int
        (H, W) of the images, multiples of ``pool`` times 4.
    pool : int
        Side of the averages.
    """

    def __init__(self, shape: tuple[int, int], pool: int, widths: tuple[int, int, int] = (48, 96, 128)) -> None:
        super().__init__()
        self.pool = pool
        a, b, c = widths
        self.enter = nn.Conv2d(1, a, 3, padding=1)
        self.to_half = nn.Conv2d(a, b, 4, 2, 1)
        self.to_quarter = nn.Conv2d(b, c, 4, 2, 1)
        self.dense = nn.Linear((c + 1) * (shape[0] // pool // 4) * (shape[1] // pool // 4), 128)
        self.out = nn.Linear(128, 1)

    def forward(self, images: Tensor, place: Tensor) -> Tensor:
        """Logits of images in groups of four, B a multiple of it."""
        z = CONTRAST * (F.avg_pool2d(images, self.pool) - F.avg_pool2d(place[:, :1], self.pool // 2))
        for layer in (self.enter, self.to_half, self.to_quarter):
            z = F.leaky_relu(layer(z), 0.2)
        z = z.float()
        groups = z.reshape(len(z) // _GROUP, _GROUP, -1)
        deviation = (groups.var(dim=1, correction=0) + 1e-8).sqrt().mean(dim=1)
        channel = deviation[:, None].expand(-1, _GROUP).reshape(-1, 1, 1, 1).expand(-1, 1, *z.shape[2:])
        found = F.leaky_relu(self.dense(torch.cat([z, channel], dim=1).flatten(1)), 0.2)
        logits: Tensor = self.out(found).float()[:, 0]
        return logits
