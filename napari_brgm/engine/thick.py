"""Thick slices: thin ones that agree with them.

    y_j = f( sum_i M_ji x_i ),   x <- x + M^+ f^+ (y - f M x)

A thick slice is a weighted sum of thin ones: a box of its thickness, or whatever its profile is. f is what happened
in the plane.
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

_ROUNDS = 4  # of back-projection, alternating with the lower bound of the window; the last word is the data's


def consistent(
    x: Tensor, seen: Sequence[tuple[MeasuredSlice, Problem]], at: Mapping[int, int], known: int,
    check: Callable[[], None] | None = None,
) -> Tensor:  # fmt: skip
    """Make a stack agree with its thick slices.

    Parameters
    ----------
    x : (1, n, H, W) Tensor
        Grey levels.
    seen : sequence of (MeasuredSlice, Problem)
    at : mapping
        Place in x of each slice of the stack.
    known : int
        The first so many slices of x stay as they are.
    check : callable, optional
        Called now and then; what it raises ends the work.
    """
    profile = torch.zeros(len(seen), x.shape[1], dtype=torch.float64)
    for j, (one, _) in enumerate(seen):
        for slice_, share in one.holds.items():
            profile[j, at[slice_]] = share
    inverse = torch.linalg.pinv(profile[:, known:], rtol=1e-3).to(x)  # (n - known, m)
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
