"""Hourglass: the convolutional network g that all images share, from a latent map to an image.

    z (B, Z, r, r) -> squeeze -> halve, halve, ... and back up with skips -> double to R -> (B, C, R, R)

After "Latent Convolutional Models" (LCM, arXiv 1806.06284, Sec. 3): an hourglass with skip connections and a sigmoid
at its end. Ours is narrow and enlarges by sub-pixel convolution (Shi et al., arXiv 1609.05158), so that a step
costs milliseconds on a CPU. The sigmoid is that of a [0, 1] image; here images are in [-1, 1], so it is a tanh.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Hourglass"]

_MOST_SIZES = 6  # of the trunk, 32 to 1 pixels, and beyond it


class _Block(nn.Module):
    """Convolution, batch norm, leaky ReLU 0.2; ``double`` gives twice the size by sub-pixel convolution."""

    def __init__(self, ins: int, outs: int, kernel: int = 3, stride: int = 1, double: bool = False) -> None:
        super().__init__()
        self.doubles = double
        self.conv = nn.Conv2d(ins, outs * (4 if double else 1), kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = F.pixel_shuffle(x, 2) if self.doubles else x
        return F.leaky_relu(self.norm(x), 0.2)


class Hourglass(nn.Module):
    """g_theta.

    Parameters
    ----------
    ins : int
        Z, channels of the latent map.
    outs : int
        C, 1 or 3.
    trunk : tuple of int
        Channels at the size of the latent map, at half of it, ...; at least two.
    fine : tuple of int
        Channels after each doubling beyond the size of the latent map.
    skip : int
        Channels of each skip connection.
    """

    def __init__(
        self, ins: int = 64, outs: int = 1, trunk: tuple[int, ...] = (32, 64, 96, 128), fine: tuple[int, ...] = (16, 6),
        skip: int = 8,
    ) -> None:  # fmt: skip
        super().__init__()
        self.trunk, self.fine = trunk, fine
        self.squeeze = _Block(ins, trunk[0], kernel=1)
        self.down = nn.ModuleList(_Block(a, b, stride=2) for a, b in pairwise(trunk))
        self.skip = nn.ModuleList(nn.Conv2d(a, skip, 1) for a in trunk[:-1])
        back = (trunk[0], *(3 * c // 4 for c in trunk[1:-1]), trunk[-1])  # channels on the way up, by size
        self.up = nn.ModuleList(_Block(b + skip, a) for a, b in zip(back[-2::-1], back[:0:-1], strict=True))
        self.enlarge = nn.ModuleList(_Block(a, b, double=True) for a, b in zip((trunk[0], *fine), fine, strict=False))
        self.smooth = nn.ModuleList(_Block(c, c) for c in fine[:-1])
        self.last = nn.Conv2d(fine[-1] if fine else trunk[0], outs, 3, padding=1)

    @property
    def channels(self) -> int:
        """C."""
        return int(self.last.weight.shape[0])

    def forward(self, z: Tensor) -> Tensor:  # (B, Z, r, r) -> (B, C, r 2^len(fine), r 2^len(fine)) in [-1, 1]
        x = self.squeeze(z)
        kept = []
        for halve, aside in zip(self.down, self.skip, strict=True):
            kept.append(aside(x))
            x = halve(x)
        for rise in self.up:
            x = rise(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), kept.pop()], dim=1))
        for i, rise in enumerate(self.enlarge):
            x = rise(x)
            x = self.smooth[i](x) if i < len(self.smooth) else x
        return torch.tanh(self.last(x) / 2)

    @classmethod
    def from_state_dict(cls, weights: Mapping[str, Tensor]) -> Hourglass:
        """Build the network that fits ``weights``.

        Raises
        ------
        WeightsError
            Names or shapes do not fit.
        """
        try:
            depth = sum(k.startswith("down.") and k.endswith(".conv.weight") for k in weights)
            doublings = sum(k.startswith("enlarge.") and k.endswith(".conv.weight") for k in weights)
            trunk = [int(weights["squeeze.conv.weight"].shape[0])]
            trunk += [int(weights[f"down.{i}.conv.weight"].shape[0]) for i in range(depth)]
            fine = tuple(int(weights[f"enlarge.{i}.norm.weight"].shape[0]) for i in range(doublings))
            ins, outs = int(weights["squeeze.conv.weight"].shape[1]), int(weights["last.weight"].shape[0])
            skip = int(weights["skip.0.weight"].shape[0])
            if min(ins, outs, skip, *trunk, *fine) < 1 or max(len(trunk), len(fine)) > _MOST_SIZES:
                raise WeightsError("the hourglass network in these weights has sizes that cannot be")
            with torch.device("meta"):  # nothing is allocated before the shapes are known to fit
                net = cls(ins, outs, tuple(trunk), fine, skip)
            counters = {k: torch.tensor(0) for k in net.state_dict() if k.endswith("num_batches_tracked")}
            values = {k: v.to(torch.float32, copy=True) for k, v in weights.items()}
            net.load_state_dict(counters | values, assign=True)
        except (KeyError, IndexError, RuntimeError) as error:
            raise WeightsError("the hourglass network in these weights is incomplete") from error
        if any(bool((v < 0).any()) for k, v in values.items() if k.endswith("running_var")):
            raise WeightsError("the hourglass network in these weights has a negative variance")
        return net.eval().requires_grad_(False)
