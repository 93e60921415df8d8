"""Floating point operations, counted from the shapes of the layers that run; multiply and add are two.

Counted are convolutions and matrix products, forward and backward, as torch's own counter sees them: a transposed
convolution by its input pixels, a gradient only where one is asked for (weights are frozen), and the 4 x 4 resampling
filter of each up-sampling convolution, 32 a pixel and channel. Element-wise work (modulation, activations) is not
counted: it is bound by memory, and a part of the gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from napari_brgm.priors.stylegan2 import StyleGAN2

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.prior import Prior

__all__ = ["CHANNEL_BASE", "Config", "counted", "network", "step_flops", "synthesis_flops", "widths"]

Config = Literal["e", "f"]
CHANNEL_BASE: dict[Config, int] = {"e": 16384, "f": 32768}  # of the published nets
_MOST = 512  # channels


def widths(resolution: int, config: Config) -> dict[int, int]:
    """Channels of each resolution from 4 on, by the published rule min(base / r, 512)."""
    found = {}
    r = 4
    while r <= resolution:
        found[r] = min(CHANNEL_BASE[config] // r, _MOST)
        r *= 2
    return found


def network(resolution: int, config: Config, device: torch.device | str = "cpu") -> StyleGAN2:
    """Gray StyleGAN2 of a published size with random weights; on the device 'meta' it takes no memory."""
    with torch.device(device):
        return StyleGAN2(widths(resolution, config), channels=1, mapping_layers=8).requires_grad_(False).eval()


def counted(work: Callable[[], object]) -> int:
    """FLOP of what ``work`` does."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def synthesis_flops(resolution: int, config: Config, batch: int = 1, *, backward: bool = False) -> int:
    """FLOP of w -> image of a published net, and of the gradient in w; nothing is computed."""
    net = network(resolution, config, "meta")
    ws = torch.empty(batch, net.num_ws, 512, device="meta", requires_grad=backward)

    def work() -> None:
        image = net.synthesis(ws, "none")
        if backward:
            image.backward(torch.empty_like(image))

    return counted(work)


def step_flops(prior: Prior, batch: int = 1) -> tuple[int, int]:
    """FLOP of drawing ``batch`` images, and of drawing them with the gradient in w, with any prior: by running it."""
    ws = prior.latents.mean.expand(batch, prior.num_ws, -1).clone()

    def forward() -> None:
        with torch.no_grad():
            prior.synthesize(ws)

    def gradient() -> None:
        leaf = ws.clone().requires_grad_(True)
        prior.synthesize(leaf).square().mean().backward()  # type: ignore[no-untyped-call]

    return counted(forward), counted(gradient)
