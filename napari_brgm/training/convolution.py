"""Convolution whose second derivatives are convolutions with small kernels too.

    y = conv(x, w):   <g, y> = <back(g, w), x> = <weigh(x, g), w>

is linear in each of its three factors, so the derivatives of the three functions are the three functions. PyTorch's own
second derivative by the weight is a convolution with kernels as large as the images, which cuDNN is slow at, or has no
kernels for; gradient and path length penalties need it in every layer.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

__all__ = ["convolve", "convolve_up"]


def convolve(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """``F.conv2d`` of x (B, I, H, W) and weight (O, I, k, k): (B, O, h, w)."""
    if torch.compiler.is_compiling():  # the compiler has its own derivatives, of first order only
        return F.conv2d(x, weight, stride=stride, padding=padding)
    return _conv(x, weight, stride, padding)


def convolve_up(x: Tensor, weight: Tensor) -> Tensor:
    """``F.conv_transpose2d``, stride 2, of x (B, I, h, w) and weight (O, I, k, k): (B, O, 2h + k - 2, 2w + k - 2)."""
    weight = weight.transpose(0, 1)
    if torch.compiler.is_compiling():
        return F.conv_transpose2d(x, weight, stride=2)
    size = [2 * side + weight.shape[-1] - 2 for side in x.shape[2:]]
    return _back(x, weight, 2, 0, size)


class _Conv(torch.autograd.Function):
    """(x, w) -> y."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, w, stride=stride, padding=padding)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, w = ctx.saved_tensors
        how = ctx.stride, ctx.padding
        of_x = _back(g, w, *how, x.shape[2:]) if ctx.needs_input_grad[0] else None
        of_w = _weigh(x, g, *how, w.shape) if ctx.needs_input_grad[1] else None
        return of_x, of_w, None, None


class _Back(torch.autograd.Function):
    """(g, w) -> gradient of <g, y> by x, whose sides are ``size``."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, w: Tensor, stride: int, padding: int, size: list[int]) -> Tensor:
        ctx.save_for_backward(g, w)
        ctx.stride, ctx.padding = stride, padding
        reached = [(side - 1) * stride - 2 * padding + w.shape[-1] for side in g.shape[2:]]
        rest = [wanted - found for wanted, found in zip(size, reached, strict=True)]
        return F.conv_transpose2d(g, w, stride=stride, padding=padding, output_padding=rest)

    @staticmethod
    def backward(ctx: Any, h: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        g, w = ctx.saved_tensors
        how = ctx.stride, ctx.padding
        of_g = _conv(h, w, *how) if ctx.needs_input_grad[0] else None
        of_w = _weigh(h, g, *how, w.shape) if ctx.needs_input_grad[1] else None
        return of_g, of_w, None, None, None


class _Weigh(torch.autograd.Function):
    """(x, g) -> gradient of <g, y> by w, whose shape is ``shape``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, stride: int, padding: int, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.stride, ctx.padding = stride, padding
        found: Tensor = conv2d_weight(x, shape, g, stride=stride, padding=padding)  # type: ignore[no-untyped-call]
        return found

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, g = ctx.saved_tensors
        how = ctx.stride, ctx.padding
        of_x = _back(g, v, *how, x.shape[2:]) if ctx.needs_input_grad[0] else None
        of_g = _conv(x, v, *how) if ctx.needs_input_grad[1] else None
        return of_x, of_g, None, None, None


def _conv(x: Tensor, w: Tensor, stride: int, padding: int) -> Tensor:
    found: Tensor = _Conv.apply(x, w, stride, padding)  # type: ignore[no-untyped-call]
    return found


def _back(g: Tensor, w: Tensor, stride: int, padding: int, size: list[int] | torch.Size) -> Tensor:
    found: Tensor = _Back.apply(g, w, stride, padding, list(size))  # type: ignore[no-untyped-call]
    return found


def _weigh(x: Tensor, g: Tensor, stride: int, padding: int, shape: torch.Size) -> Tensor:
    found: Tensor = _Weigh.apply(x, g, stride, padding, shape)  # type: ignore[no-untyped-call]
    return found
