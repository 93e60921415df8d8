"""Adam (Kingma and Ba, arXiv 1412.6980, Algorithm 1), for the few latents of one restoration.

Ours and not torch.optim's: that one imports the compiler stack on first use, which takes more than a second and, in a
process that has loaded Mesa's LLVM for a window, can crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.inference.visit import Visit, evaluate

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.inference.visit import Descent, Objective

__all__ = ["Adam", "adam"]


class Adam:
    """Moments of each parameter, updated in place by ``step``."""

    def __init__(self, parameters: list[Tensor], betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.parameters, self.betas, self.count = parameters, betas, 0
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]

    def step(self, loss: Tensor, rate: float) -> None:
        """Move the parameters down the gradient of ``loss`` at learning rate ``rate``."""
        gradients = torch.autograd.grad(loss, self.parameters)
        self.count += 1
        b1, b2 = self.betas
        with torch.no_grad():
            for p, g, m, s in zip(self.parameters, gradients, self.first, self.second, strict=True):
                m.lerp_(g, 1 - b1)
                s.lerp_(g.square(), 1 - b2)
                mean, power = m / (1 - b1**self.count), s / (1 - b2**self.count)
                p -= rate * mean / (power.sqrt() + 1e-8)


def adam(objective: Objective, v: Tensor, rate: Callable[[int], float]) -> Descent:
    """Candidates v (B, L, D) moved by Adam, each by itself; ``rate`` is that of the 0-based step. Goes on for ever."""
    v = v.detach().clone().requires_grad_(True)
    optimiser, iteration = Adam([v]), 0
    while True:
        here = evaluate(objective, v)
        found = here.detached()
        yield Visit(found.v.clone(), found.terms, found.images)  # v itself moves on in place
        optimiser.step(here.loss.sum(), rate(iteration))
        iteration += 1
