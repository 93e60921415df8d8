"""L-BFGS with a backtracking line search, for each candidate by itself.

    d = -H g,   H from the last m pairs (s, y) by the two-loop recursion,   H_0 = (s'y / y'y) I
    v <- v + t d,   t = 1, or as far back as the loss falls enough (Armijo)

A row is a candidate, or an observation's own (see ``Together``). All share each evaluation and nothing else: one that
still looks for its step goes back along its line while the next tries a new direction, so that a row takes the points
that it would take alone, whatever the others do.

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

    Pair = tuple[Tensor, Tensor, Tensor]  # step s and change of the gradient y (B, L, D), weight 1 / s'y (B,) or 0

__all__ = ["lbfgs"]

_PAIRS = 50  # where nothing preconditions v more were better up to here; they cost little beside G
_ARMIJO = 1e-4
_LEAST = 1e-4  # step, as a share of the full one, below which a line search gives up
_REACH = 0.5  # longest first step, as a share of the prior's typical distance from its mean, sqrt(L D)


def lbfgs(objective: Objective, v: Tensor) -> Descent:
    """Candidates v (B, L, D); a visit for each evaluation of G and its gradient. Goes on for ever.

    A visit is ``new`` (B,) in the rows whose line search is over with it.
    """
    here, gradient = _at(objective, v)
    pairs: deque[Pair] = deque(maxlen=_PAIRS)  # newest first
    t = torch.ones_like(here.loss)
    over = t > 0  # line searches
    yield replace(here, new=over)
    while True:
        if bool(over.any()):
            d, slope = _downhill(pairs, gradient)  # as it was where a line search goes on
        there, ahead = _at(objective, here.v + t[:, None, None] * d)
        found = there.loss <= here.loss + _ARMIJO * t * slope
        lost = ~found & (t < _LEAST)  # no way down: these stay, and start again from the gradient
        over = found | lost
        yield replace(there, new=over)
        curve = 2 * (there.loss - here.loss - t * slope)  # of the parabola through both, for t^2
        back = (-slope * t.square() / curve).nan_to_num(0.0).clamp(0.1 * t, 0.5 * t)
        t = torch.where(over, torch.ones_like(t), back)
        if bool(found.any()):
            _take(pairs, _pair(there.v - here.v, ahead - gradient, found), found)
            here = here.where(found, there)
            gradient = torch.where(found[:, None, None], ahead, gradient)
        if bool(lost.any()):
            _forget(pairs, lost)


def _at(objective: Objective, v: Tensor) -> tuple[Visit, Tensor]:
    leaf = v.detach().clone().requires_grad_(True)
    found = evaluate(objective, leaf)
    (gradient,) = torch.autograd.grad(found.loss.sum(), leaf)
    return found.detached(), gradient


def _pair(step: Tensor, change: Tensor, rows: Tensor) -> Pair:
    """One that counts in ``rows`` (B,) bool, where the gradient grew along the step."""
    curvature = _dot(step, change)
    useful = (curvature > 1e-8 * _dot(change, change).sqrt() * _dot(step, step).sqrt()) & rows
    weight = torch.where(useful, 1 / curvature.clamp(min=1e-30), torch.zeros_like(curvature))
    wide = useful[:, None, None]
    return torch.where(wide, step, 0.0), torch.where(wide, change, 0.0), weight  # what is passed over may be infinite


def _take(pairs: deque[Pair], pair: Pair, rows: Tensor) -> None:
    """Put ``pair`` before the others in ``rows`` (B,) bool; the others keep theirs, so that none loses an old one."""
    if bool(rows.all()):
        pairs.appendleft(pair)
        return
    for place, held in enumerate(pairs):
        pairs[place], pair = _chosen(rows, pair, held), _chosen(rows, held, pair)
    if len(pairs) < _PAIRS:
        pairs.append(pair)


def _chosen(rows: Tensor, these: Pair, those: Pair) -> Pair:
    wide = rows[:, None, None]
    return (
        torch.where(wide, these[0], those[0]),
        torch.where(wide, these[1], those[1]),
        torch.where(rows, these[2], those[2]),
    )


def _downhill(pairs: deque[Pair], gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Direction d (B, L, D), and the slope (B,) along it."""
    d = -_inverse(pairs, gradient)
    slope = _dot(gradient, d)
    if bool((slope >= 0).any()):  # uphill, by rounding
        _forget(pairs, slope >= 0)
        d = -_inverse(pairs, gradient)
        slope = _dot(gradient, d)
    return d, slope


def _inverse(pairs: deque[Pair], gradient: Tensor) -> Tensor:
    """H g; a pair whose weight 1 / s'y is 0 is passed over."""
    q, found = gradient, []
    for step, change, weight in pairs:
        a = weight * _dot(step, q)
        q = q - a[:, None, None] * change
        found.append(a)
    q = q * _scale(pairs, gradient)[:, None, None]
    for (step, change, weight), a in zip(reversed(pairs), reversed(found), strict=True):
        b = weight * _dot(change, q)
        q = q + (a - b)[:, None, None] * step
    return q


def _forget(pairs: deque[Pair], rows: Tensor) -> None:
    """Make these candidates' pairs useless."""
    for _, _, weight in pairs:
        weight[rows] = 0


def _scale(pairs: deque[Pair], gradient: Tensor) -> Tensor:
    """(B,) H_0 over I."""
    length = _dot(gradient, gradient).sqrt()
    size = gradient[0].numel() ** 0.5
    scale = torch.minimum(torch.full_like(length, 0.5), _REACH * size / length.clamp(min=1e-30))
    for _, change, weight in reversed(pairs):  # the last useful one counts
        scale = torch.where(weight > 0, 1 / (weight * _dot(change, change)).clamp(min=1e-30), scale)
    return scale


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2))
