"""Training of the encoder: from degraded slices to the leading latents of the clean ones.

The degradations (blur, noise, gain, boxes cut out) teach features that see anatomy through them. Minutes on a CPU.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.priors.encoder import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["train_encoder"]


def _degrade(images: Tensor, generator: torch.Generator) -> Tensor:
    """Gain, blur by down- and up-sampling, noise and a box cut out, at random; images (B, 1, R, R) in [-1, 1]."""
    b, size = len(images), images.shape[-1]
    grey = (images + 1) * (0.85 + 0.3 * torch.rand(b, 1, 1, 1, generator=generator))
    factor = (1, 1, 2, 4)[int(torch.randint(0, 4, (), generator=generator))]
    if factor > 1:
        grey = F.interpolate(F.avg_pool2d(grey, factor), size=(size, size), mode="bilinear", align_corners=False)
    grey = grey + 0.15 * torch.rand(b, 1, 1, 1, generator=generator) * torch.randn(grey.shape, generator=generator)
    corner = torch.randint(0, size, (b, 2, 1, 1, 1), generator=generator)
    extent = torch.randint(0, size // 2, (b, 2, 1, 1, 1), generator=generator)
    axis = torch.arange(size)
    rows = ((axis[:, None] - corner[:, 0]).abs() * 2 < extent[:, 0]).float()
    columns = ((axis[None] - corner[:, 1]).abs() * 2 < extent[:, 1]).float()
    return grey * (1 - rows * columns) - 1


def train_encoder(
    images: Tensor, latents: Tensor, *, widths: tuple[int, ...] = (12, 24, 48, 64, 96), steps: int = 3000,
    batch: int = 16, report: Callable[[int, float], None] | None = None,
    device: torch.device | str = "cpu",
) -> Encoder:  # fmt: skip
    """Train on images (N, 1, R, R) uint8 with their latents (N, K), both on the CPU; the net runs on ``device``.

    Returns the encoder; ``report(step, loss)`` is called every 100 steps, the loss being the mean square error of the
    latents (1 is no better than the mean).
    """
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    net = Encoder(widths, latents.shape[1], images.shape[-1]).to(device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-3)
    running = 1.0
    for step in range(steps):
        index = torch.randint(0, len(images), (batch,), generator=generator)
        clean = images[index].float() / 127.5 - 1
        degraded = _degrade(clean, generator).to(device)
        value = (net.encode(degraded) - latents[index].float().to(device)).square().mean()
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        running = 0.98 * running + 0.02 * value.item()
        if report is not None and step % 100 == 99:
            report(step + 1, running)
    return net.cpu().eval().requires_grad_(False)
