"""Thick slices: thin ones that agree with them.

    y_j = f( sum_i M_ji x_i ),   x <- x + C M' (M C M')^+ f^+ (y - f M x)

A thick slice is a weighted sum of thin ones: a box of its thickness, or whatever its profile is. f is what happened
in the plane. C is how thin slices belong together, so that what they lack goes on from one to the next: with M^+ alone
each thick slice is one step up or down of all its thin ones, and a stack of them a staircase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.engine.placed import grey_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from napari_brgm.engine.layout import MeasuredSlice
    from napari_brgm.engine.observed import Problem

__all__ = ["consistent"]

_NUGGET = 0.01  # of C's diagonal: slices that are near are nearly the same
_ROUNDS = 4  # of back-projection, alternating with the lower bound of the window; the last word is the data's


def consistent(
    x: Tensor, seen: Sequence[tuple[MeasuredSlice, Problem]], at: Mapping[int, int], correlation: Tensor,
    before: Tensor | None = None, check: Callable[[], None] | None = None,
) -> Tensor:  # fmt: skip
    """Make a stack agree with its thick slices.

    Parameters
    ----------
    x : (1, n, H, W) Tensor
        Grey levels.
    seen : sequence of (MeasuredSlice, Problem)
    at : mapping
        Place in x of each slice of the stack.
    correlation : (n, n) Tensor
        C, float64.
    before : (1, k, H, W) Tensor or None
        What the first slices of x have become already: they stay like that, and the others follow.
    check : callable, optional
        Called now and then; what it raises ends the work.
    """
    known = 0 if before is None else before.shape[1]
    profile = torch.zeros(len(seen), x.shape[1], dtype=torch.float64)
    for j, (one, _) in enumerate(seen):
        for slice_, share in one.holds.items():
            profile[j, at[slice_]] = share
    own = profile[:, known:]
    between = correlation.cpu() + _NUGGET * torch.eye(x.shape[1], dtype=torch.float64)
    across = between[known:, :known]
    gain = torch.linalg.solve(between[:known, :known], across.T).T
    left = between[known:, known:] - gain @ across.T
    if before is not None:
        moved = torch.einsum("ij,bjhw->bihw", gain.to(x), before - x[:, :known])
        x = torch.cat([before, x[:, known:] + moved], dim=1)
    gram = own @ left @ own.T
    inverse = (left @ own.T @ torch.linalg.pinv(gram, rtol=1e-4, hermitian=True)).to(x)  # (n - known, m)
    profile = profile.to(x)
    size = int(x.shape[-2]), int(x.shape[-1])
    for last in [False] * (_ROUNDS - 1) + [True]:
        mixed = torch.einsum("ji,bihw->bjhw", profile, x)
        back = []
        for j, (_, problem) in enumerate(seen):
            if check is not None:
                check()
            given = problem.placed.given
            y = grey_tensor(given.image, given.seen, problem.window).to(x)
            measured = torch.from_numpy(given.seen).to(x)[None, None]
            missed = (y - given.corruption.A(mixed[:, j : j + 1])) * measured
            back.append(given.corruption.A_dagger(missed, size))
        x = torch.cat(
            [x[:, :known], x[:, known:] + torch.einsum("ij,bjhw->bihw", inverse, torch.cat(back, dim=1))], dim=1
        )
        if not last:
            x = torch.cat([x[:, :known], x[:, known:].clamp(min=0)], dim=1)
    return x
