"""Descent: steps of Adam with a rate that rises for a moment and falls as half a cosine, gradients clipped.

Source: Kingma and Ba, ICLR 2015; the rate, Loshchilov and Hutter, "SGDR", ICLR 2017, without restarts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

__all__ = ["descent"]

_BETAS = (0.9, 0.98)
_WARM = 30  # steps
_LEAST = 0.02  # of the rate, at the end
_CLIP = 1.0  # of the norm of the gradient


def descent(net: nn.Module, steps: int, rate: float) -> Iterator[tuple[int, Callable[[Tensor], None]]]:
    """Number of each step, and what takes it down the gradient of a loss.

    Examples
    --------
    >>> net = torch.nn.Linear(1, 1)
    >>> for step, down in descent(net, 500, 0.05):
    ...     down((net.weight - 3).square().sum())
    >>> round(float(net.weight.detach()), 2)
    3.0
    """
    optimiser = torch.optim.Adam(net.parameters(), rate, betas=_BETAS)

    def down(loss: Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), _CLIP)
        optimiser.step()

    for step in range(steps):
        falling = _LEAST + (1 - _LEAST) * (1 + math.cos(math.pi * step / steps)) / 2
        for group in optimiser.param_groups:
            group["lr"] = rate * falling * min(1.0, (step + 1) / _WARM)
        yield step, down
