"""Thin detail: thin slices of thick ones as a network reads them, on the scan's grid; draws are spread about these.

    h = s + frame( sum_d c_jd P_d )         s: cubic interpolation of what was measured, on the scan's own pixels
    x_k <- h + a (x_k - m)                  x_k draws of the stack, m their mean; both agree with the thick slices

The stack's Gaussian model is linear in what was measured, and misses what the network (priors/through_detail.py) sees:
of 20 subjects h left 0.84 to 0.85 of the error of interpolation, the model 0.9 to 0.98. a is about what h leaves of the
model's error. Only of slices that are plain means of thin ones, without gaps, measured throughout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.engine.placed import grey_tensor
from napari_brgm.errors import InputError
from napari_brgm.priors.through_detail import THICKNESSES_MM, agreeing, between

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.engine.layout import MeasuredSlice
    from napari_brgm.engine.observed import Problem
    from napari_brgm.engine.stack_seen import StackSeen
    from napari_brgm.priors.through_detail import ThroughDetail

__all__ = ["SPREAD", "thin_of"]

SPREAD = 0.7  # a: the jump from slice to slice of such draws is that of the truth (16.8 for 16.4 and 16.8 grey levels)
_ASIDE = 4  # thick slices on either side that a spline of one feels
_BEYOND_MM = 1.0  # of the thicknesses that were learnt
_EVEN = 1e-3  # of a share


def thin_of(seen: StackSeen, net: ThroughDetail, check: Callable[[], None]) -> Tensor | None:
    """Thin slices (n, H, W) of a window, grey levels; None where they cannot be read like that.

    Parameters
    ----------
    seen : StackSeen
        Of thick slices.
    net : ThroughDetail
    check : callable
        Called now and then; what it raises ends the work.
    """
    layout, slices = seen.layout, seen.window.slices
    factor = _factor(layout.measured)
    frame = seen.anchor.problem.placed.frame
    if factor is None or frame.resolution % net.shuffle:
        return None
    thickness = factor * float(np.diff(layout.places).mean())
    if not THICKNESSES_MM[0] - _BEYOND_MM <= thickness <= THICKNESSES_MM[-1] + _BEYOND_MM:
        return None
    first, last = slices[0] // factor, slices[-1] // factor + 1
    near = range(max(first - _ASIDE, 0), min(last + _ASIDE, len(layout.measured)))
    known = {id(one): problem for one, problem in seen.each}
    read: dict[int, Tensor] = {}
    for j in near:
        check()
        one = layout.measured[j]
        given = _grey(one, known.get(id(one)), seen)
        if given is None and first <= j < last:
            return None
        if given is not None:
            read[j] = given
    low, high = first, last  # without a break round the window's own
    while low - 1 in read:
        low -= 1
    while high in read:
        high += 1
    thick = torch.cat([read[j] for j in range(low, high)])  # (m, H, W)
    placed = frame.to_frame(thick[:, None])[:, 0]
    detail = net.detail(placed.to(net.strength), factor, thickness, check)
    whole = between(thick, factor) + frame.A(detail[:, None])[:, 0].to(thick)
    start = slices[0] - low * factor
    return agreeing(whole, thick)[start : start + len(slices)]


def _factor(measured: tuple[MeasuredSlice, ...]) -> int | None:
    """Thin slices in a thick one, where each is the plain mean of its own; else None."""
    factor = len(measured[0].holds) if measured else 0
    for j, one in enumerate(measured):
        own = list(range(j * factor, (j + 1) * factor))
        if sorted(one.holds) != own or max(abs(share * factor - 1) for share in one.holds.values()) > _EVEN:
            return None
    return factor if factor > 1 else None


def _grey(one: MeasuredSlice, problem: Problem | None, seen: StackSeen) -> Tensor | None:
    """(1, H, W) grey levels of a thick slice that was measured throughout, in pixels of the result; else None."""
    placed = seen.anchor.problem.placed
    if problem is not None:
        given = problem.placed.given
        if given.grid.fine != given.grid.plane or not given.seen.all():
            return None
        return grey_tensor(given.image, given.seen, placed.window)[0]
    if any(int(seen.layout.results[slice_]) in seen.refused for slice_ in one.holds):
        return None
    try:
        image = np.asarray(one.given.image, np.float64)
    except (InputError, TypeError, ValueError):
        return None
    if image.shape != placed.frame.shape or not np.isfinite(image).all():
        return None
    return grey_tensor(image, np.ones(image.shape, dtype=bool), placed.window)[0]
