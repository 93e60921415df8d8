"""Finish: a network that turns a draw of a linear model into one with the texture of a scan.

    y = x + tanh R(x, hole, place, n),   n ~ N(0, I) on four grids

x is a draw of the linear part (prior or posterior), which has the large shapes of anatomy and no fine ones; R adds
those, differently for each noise n. It comes after inference, on draws: what is measured, and the mean, do not go
through it. A push-forward of the linear posterior, not a posterior of its own.

A U-Net on 1, 1/2, 1/4 and 1/8 of the frame's grid; most of its weights are where there are few pixels. Enlarging is
bilinear and the last two convolutions are on the full grid: nearest neighbours and shuffled pixels leave a cross-hatch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CONTRAST", "PLACE", "Finish", "high_pass", "place_maps"]

Widths = tuple[int, int, int, int]
WIDTHS: Widths = (16, 40, 96, 192)  # channels on 1, 1/2, 1/4, 1/8 of the grid
CONTRAST = 3.0  # contrast that the network sees
_DEEP = 3  # blocks on the coarsest grid
PLACE = 3  # channels of ``place_maps``


def high_pass(x: Tensor) -> Tensor:
    """Images (B, C, H, W) less their averages over 5 x 5 pixels."""
    return x - F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, 1)


def place_maps(mean: Tensor, mirror: bool) -> Tensor:
    """Where a pixel lies, (1, 3, R / 2, R / 2): mean image, row, column from -1 to 1.

    Parameters
    ----------
    mean : (1, R, R) Tensor
        Of the prior, in [-1, 1].
    mirror : bool
        The anatomy is symmetric: the column's distance from the middle stands for the column.
    """
    half = F.avg_pool2d(mean[None], 2)
    at = torch.linspace(-1, 1, half.shape[-1], device=mean.device)
    rows, columns = torch.meshgrid(at, at, indexing="ij")
    return torch.cat([half, rows[None, None], (columns.abs() if mirror else columns)[None, None]], dim=1)


class _Block(nn.Module):
    """x + conv(leaky_relu(conv(x) + noise))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.strength = nn.Parameter(torch.full((1, width, 1, 1), 0.1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        found: Tensor = x + self.second(_act(self.first(x) + noise * self.strength))
        return found


class Finish(nn.Module):
    """See the module.

    Parameters
    ----------
    widths : tuple of int
        Channels on 1, 1/2, 1/4 and 1/8 of the grid.
    """

    def __init__(self, widths: Widths = WIDTHS) -> None:
        super().__init__()
        full, half, quarter, eighth = self.widths = widths
        self.enter = nn.Conv2d(8 + 1 + PLACE + 1, half, 3, padding=1)
        self.on_half = _Block(half)
        self.to_quarter = nn.Conv2d(half, quarter, 4, 2, 1)
        self.on_quarter = _Block(quarter)
        self.to_eighth = nn.Conv2d(quarter, eighth, 4, 2, 1)
        self.on_eighth = nn.ModuleList(_Block(eighth) for _ in range(_DEEP))
        self.join_quarter = nn.Conv2d(quarter + eighth, quarter, 1)
        self.back_quarter = _Block(quarter)
        self.join_half = nn.Conv2d(half + quarter, half, 1)
        self.back_half = _Block(half)
        self.narrow = nn.Conv2d(half, full, 1)
        self.join_full = nn.Conv2d(full + 2, full, 3, padding=1)
        self.on_full = _Block(full)
        self.out = nn.Conv2d(full, 1, 3, padding=1)

    def noise(self, n: int, shape: tuple[int, int], generator: torch.Generator | None = None) -> list[Tensor]:
        """Noise for images (n, 1, H, W): (n, maps, H / 2^k, W / 2^k) for each grid, on the generator's device."""
        device = None if generator is None else generator.device
        maps = (1, 3, 2, _DEEP)
        sizes = [(n, count, shape[0] >> k, shape[1] >> k) for k, count in enumerate(maps)]
        return [torch.randn(size, generator=generator, device=device) for size in sizes]

    def forward(self, x: Tensor, hole: Tensor, place: Tensor, noise: list[Tensor]) -> Tensor:
        """Finished images (B, 1, H, W).

        Parameters
        ----------
        x : (B, 1, H, W) Tensor
            In [-1, 1]; H and W are multiples of 8.
        hole : (B, 1, H, W) Tensor
            1 where x was drawn, 0 where it was measured.
        place : (1, 3, H / 2, W / 2) Tensor
            As of ``place_maps``.
        noise : list of Tensor
            As of ``noise``.
        """
        fine, coarse, low, deep = noise
        mean = F.interpolate(place[:, :1], scale_factor=2, mode="bilinear")
        views = torch.cat([CONTRAST * (x - mean), CONTRAST * high_pass(x)], dim=1)  # (B, 2, H, W)
        seen = [F.pixel_unshuffle(views, 2), F.avg_pool2d(hole, 2), place.expand(len(x), -1, -1, -1), coarse[:, :1]]
        a = self.on_half(_act(self.enter(torch.cat(seen, dim=1))), coarse[:, 1:2])
        b = self.on_quarter(_act(self.to_quarter(a)), low[:, :1])
        c = _act(self.to_eighth(b))
        for k, block in enumerate(self.on_eighth):
            c = block(c, deep[:, k : k + 1])
        b = self.back_quarter(_act(self.join_quarter(torch.cat([b, _enlarged(c)], dim=1))), low[:, 1:])
        a = self.back_half(_act(self.join_half(torch.cat([a, _enlarged(b)], dim=1))), coarse[:, 2:])
        z = torch.cat([_enlarged(self.narrow(a)), views.to(a.dtype)], dim=1)
        z = self.on_full(_act(self.join_full(z)), fine)
        return x + torch.tanh(self.out(_act(z)).float())


def _act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


def _enlarged(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear")
