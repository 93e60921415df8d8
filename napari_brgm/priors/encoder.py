"""Encoder: image -> leading latents, and on the way the features of the perceptual term that ship with a prior.

Its feature distance takes the place of VGG's (BRGM Sec. 2.2, phi) where no backbone is on disk: channels normalised to
unit length at each position, then averaged over positions, as in LPIPS (Zhang et al., arXiv 1801.03924, Eq. 1) without
learned channel weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Encoder"]


class Encoder(nn.Module):
    """Strided convolutions from (B, C, R, R) in [-1, 1] to latents (B, K).

    Parameters
    ----------
    widths : tuple of int
        Channels of the stages; each but the first halves the size.
    latents : int
        K, how many leading latents it predicts.
    size : int
        R.
    channels : int
        C.
    direct : int
        Side of the pooled image that is also mapped to the latents directly, by one matrix; 0: there is none.
    """

    def __init__(self, widths: tuple[int, ...], latents: int, size: int, channels: int = 1, direct: int = 0) -> None:
        super().__init__()
        self.size, self.latents, self.name = size, latents, "encoder"
        ins = (channels, *widths[:-1])
        for i, (a, b) in enumerate(zip(ins, widths, strict=True)):
            self.add_module(f"conv{i}", nn.Conv2d(a, b, 3, stride=1 if i == 0 else 2, padding=1))
        self.depth = len(widths)
        side = size >> (len(widths) - 1)
        self.squeeze = nn.Conv2d(widths[-1], 16, 1)
        self.head = nn.Linear(16 * side * side, latents)
        self.pool = size // direct if direct else 0
        self.direct = nn.Linear(channels * direct * direct, latents) if direct else None

    def maps(self, images: Tensor) -> list[Tensor]:
        """Activations (B, C_l, R / 2^l, R / 2^l) of each stage."""
        found, x = [], images
        for i in range(self.depth):
            x = F.leaky_relu(getattr(self, f"conv{i}")(x), 0.2)
            found.append(x)
        return found

    def encode(self, images: Tensor) -> Tensor:
        """Leading latents (B, K) of images (B, C, R, R)."""
        x = F.leaky_relu(self.squeeze(self.maps(images)[-1]), 0.2)
        found: Tensor = self.head(x.flatten(1))
        if self.direct is not None:
            found = found + self.direct(F.avg_pool2d(images, self.pool).flatten(1))
        return found

    def forward(self, images: Tensor) -> list[Tensor]:
        """Features for the perceptual term: squared distances may be summed over all entries."""
        return [
            x * (x.square().sum(dim=1, keepdim=True) + 1e-6).rsqrt() / (x.shape[-1] * x.shape[-2]) ** 0.5
            for x in self.maps(images)
        ]

    @classmethod
    def from_state_dict(cls, weights: Mapping[str, Tensor]) -> Encoder:
        """Build the encoder that fits ``weights``.

        Raises
        ------
        WeightsError
            Names or shapes do not fit.
        """
        try:
            depth = sum(k.startswith("conv") and k.endswith(".weight") for k in weights)
            widths = tuple(int(weights[f"conv{i}.weight"].shape[0]) for i in range(depth))
            side = int((weights["head.weight"].shape[1] / 16) ** 0.5)
            size = side << (depth - 1)
            channels = int(weights["conv0.weight"].shape[1])
            direct = int((weights["direct.weight"].shape[1] / channels) ** 0.5) if "direct.weight" in weights else 0
            net = cls(widths, int(weights["head.weight"].shape[0]), size, channels, direct)
            net.load_state_dict(dict(weights))
        except (KeyError, RuntimeError, IndexError) as error:
            raise WeightsError("the encoder in these weights is incomplete") from error
        return net.eval().requires_grad_(False)
