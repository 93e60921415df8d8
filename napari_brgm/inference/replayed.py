"""Replayed: an objective on a GPU whose evaluation and gradient are recorded once and then replayed as one CUDA graph.

One image at a time, a GPU waits for its kernels to be launched, hundreds of them a step: a graph launches them all at
once. What is recorded is the very computation, so that the numbers stay the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from napari_brgm.inference.visit import Objective

__all__ = ["Replayed", "replayed"]

_FEWEST = 12  # evaluations that are worth a recording: it takes as long as 4 to 17 without it (1024 px, H100)
_WARM = 2  # runs before it, in which libraries choose their kernels


def replayed(objective: Objective, v: Tensor, evaluations: int) -> Objective:
    """``objective`` recorded for candidates of the shape of v; itself for few evaluations, or where that cannot be.

    A recording fails where the computation waits for the GPU in its midst, as a solver does that asks how far it got.
    """
    if v.device.type != "cuda" or evaluations < _FEWEST:
        return objective
    try:
        return Replayed(objective, v)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        torch.cuda.synchronize(v.device)
        return objective


class Replayed:
    """Weighted terms, images and the gradient of the terms' sum, recorded at one shape of v.

    Parameters
    ----------
    objective : callable
        v (B, L, D) -> terms (B,) by name, images (B, C, R, R); rows do not depend on one another.
    v : (B, L, D) Tensor
        On a CUDA device.

    Raises
    ------
    RuntimeError
        The computation cannot be recorded.
    """

    def __init__(self, objective: Objective, v: Tensor) -> None:
        self._objective = objective
        self._v = v.detach().clone().requires_grad_(True)
        aside = torch.cuda.Stream(v.device)  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream(v.device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM):
                self._evaluate()
        torch.cuda.current_stream(v.device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._named, self._images, self._gradient = self._evaluate()

    def _evaluate(self) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        terms, images = self._objective(self._v)
        (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), self._v)
        return {name: term.detach() for name, term in terms.items()}, images.detach(), gradient

    def at(self, v: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Terms, images and gradient (B, L, D) at v (B, L, D); they outlive the next replay."""
        with torch.no_grad():
            self._v.copy_(v)
        self._graph.replay()
        return {name: term.clone() for name, term in self._named.items()}, self._images.clone(), self._gradient.clone()

    def __call__(self, v: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """As the recorded callable; the gradient of the terms' sum hangs on the first of them."""
        terms, images, gradient = self.at(v)
        if v.requires_grad:
            first = next(iter(terms))
            terms[first] = _Attached.apply(v, terms[first], gradient)
        return terms, images


class _Attached(torch.autograd.Function):
    """A value (B,) of v (B, L, D) whose gradient (B, L, D) is known."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, of_value: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return of_value[:, None, None] * gradient, None, None
