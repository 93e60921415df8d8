"""L-BFGS with a backtracking line search, for each candidate by itself.

    d = -H g,   H from the last m pairs (s, y) by the two-loop recursion,   H_0 = (s'y / y'y) I
    v <- v + t d,   t = 1, or as far back as the loss falls enough (Armijo)

The first H_0 is 1/2 I, the inverse curvature of the prior alone: in preconditioned coordinates it is about right.
Ours and not torch.optim's: see adam.py; and this one takes a batch of candidates in one evaluation.

Source: Nocedal and Wright, "Numerical Optimization", 2nd ed., Algorithms 3.1, 7.4 and 7.5, Eq. 7.20.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.inference.visit import evaluate

if TYPE_CHECKING:
    from napari_brgm.inference.visit import Descent, Objective, Visit

__all__ = ["lbfgs"]

_PAIRS = 50  # where nothing preconditions v more were better up to here; they cost little beside G
_ARMIJO = 1e-4
_LEAST = 1e-4  # step, as a share of the full one, below which a line search gives up
_REACH = 0.5  # longest first step, as a share of the prior's typical distance from its mean, sqrt(L D)


def lbfgs(objective: Objective, v: Tensor) -> Descent:
    """Candidates v (B, L, D); a visit for each evaluation of G and its gradient. Goes on for ever."""
    here, gradient = _at(objective, v)
    pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=_PAIRS)
    yield here
    while True:
        d = -_inverse(pairs, gradient)
        slope = _dot(gradient, d)
        if bool((slope >= 0).any()):  # not downhill, by rounding
            _forget(pairs, slope >= 0)
            d = -_inverse(pairs, gradient)
            slope = _dot(gradient, d)
        t = torch.ones_like(slope)
        while True:
            there, ahead = _at(objective, here.v + t[:, None, None] * d)
            short = there.loss > here.loss + _ARMIJO * t * slope
            over = not bool(short.any()) or bool((t[short] < _LEAST).all())
            yield replace(there, new=over)
            if over:
                break
            curve = 2 * (there.loss - here.loss - t * slope)  # of the parabola through both, for t^2
            t = torch.where(short, (-slope * t.square() / curve).clamp(0.1 * t, 0.5 * t), t)
        step, change = there.v - here.v, ahead - gradient
        curvature = _dot(step, change)
        useful = (curvature > 1e-8 * _dot(change, change).sqrt() * _dot(step, step).sqrt()) & ~short
        pairs.append((step, change, torch.where(useful, 1 / curvature.clamp(min=1e-30), torch.zeros_like(curvature))))
        if bool(short.any()):  # no way down was found: these stay, and start again from the gradient
            _forget(pairs, short)
            there = there.where(short, here)
            ahead = torch.where(short[:, None, None], gradient, ahead)
        here, gradient = there, ahead


def _at(objective: Objective, v: Tensor) -> tuple[Visit, Tensor]:
    leaf = v.detach().clone().requires_grad_(True)
    found = evaluate(objective, leaf)
    (gradient,) = torch.autograd.grad(found.loss.sum(), leaf)
    return found.detached(), gradient


def _inverse(pairs: deque[tuple[Tensor, Tensor, Tensor]], gradient: Tensor) -> Tensor:
    """H g; a pair whose weight 1 / s'y is 0 is passed over."""
    q, found = gradient, []
    for step, change, weight in reversed(pairs):
        a = weight * _dot(step, q)
        q = q - a[:, None, None] * change
        found.append(a)
    q = q * _scale(pairs, gradient)[:, None, None]
    for (step, change, weight), a in zip(pairs, reversed(found), strict=True):
        b = weight * _dot(change, q)
        q = q + (a - b)[:, None, None] * step
    return q


def _forget(pairs: deque[tuple[Tensor, Tensor, Tensor]], rows: Tensor) -> None:
    """Make these candidates' pairs useless."""
    for _, _, weight in pairs:
        weight[rows] = 0


def _scale(pairs: deque[tuple[Tensor, Tensor, Tensor]], gradient: Tensor) -> Tensor:
    """(B,) H_0 over I."""
    length = _dot(gradient, gradient).sqrt()
    size = gradient[0].numel() ** 0.5
    scale = torch.minimum(torch.full_like(length, 0.5), _REACH * size / length.clamp(min=1e-30))
    for _, change, weight in pairs:  # the last useful one counts
        scale = torch.where(weight > 0, 1 / (weight * _dot(change, change)).clamp(min=1e-30), scale)
    return scale


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2))
