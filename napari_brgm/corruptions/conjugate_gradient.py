"""Conjugate gradients: linear systems known by their action only. The one solver of the package.

    solved            x = N^-1 b,                            N symmetric, positive definite (or b in its range)
    tikhonov_inverse  x = argmin |A x - y|^2 + r |x|^2,      N = A' A + r,  b = A' y

From x = 0, so that for r -> 0 the second gives the solution of least norm.

References
----------
M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 49(6), 1952,
doi:10.6028/jres.049.044 (Sec. 3 and, for the normal equations, Sec. 10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["solved", "tikhonov_inverse"]

_ITERATIONS = 300  # cap
_TOLERANCE = {torch.float64: 1e-10}  # of |A' (y - A x) - r x| relative to |A' y|
_TOLERANCE_ELSE = 1e-5


def solved(
    normal: Callable[[Tensor], Tensor], right: Tensor, *, iterations: int, tolerance: float, rest: bool = True,
    check: Callable[[], None] | None = None, eased: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Solve ``normal(x) = right`` for each entry of a batch (B, ...) by itself.

    Parameters
    ----------
    normal : callable
        Symmetric and positive definite on each entry, batched.
    right : (B, ...) Tensor
    iterations : int
        At most.
    tolerance : float
        Of the residual's norm, relative to that of ``right``; with ``eased`` of the norm that this gives.
    rest : bool
        Whether an entry that has reached it rests while others go on, so that it comes out as it would alone.
    check : callable, optional
        Called before each iteration; what it raises ends the search.
    eased : callable, optional
        A preconditioner: about the inverse of ``normal``, symmetric, positive definite and batched likewise.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:  # (B, 1, ...)
        return (a * b).sum(dim=tuple(range(1, a.ndim)), keepdim=True)

    x = torch.zeros_like(right)
    residual, direction = right, right if eased is None else eased(right)
    power = dot(right, direction)  # of the residual
    goal = power.detach() * tolerance**2
    for _ in range(iterations):
        active = power > goal
        if not active.any():
            break
        active = active | (not rest)
        if check is not None:
            check()
        image = normal(direction)
        curvature = dot(direction, image)
        step = torch.where(active & (curvature > 0), power / curvature.clamp(min=1e-30), 0.0)
        x = torch.addcmul(x, step, direction)
        residual = torch.addcmul(residual, step, image, value=-1)
        near = residual if eased is None else eased(residual)
        new = dot(residual, near)
        direction = torch.addcmul(near, torch.where(active, new / power.clamp(min=1e-30), 0.0), direction)
        power = torch.where(active, new, power)
    return x


def tikhonov_inverse(
    forward: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], y: Tensor, ratio: float,
    *, iterations: int = _ITERATIONS, tolerance: float | None = None, check: Callable[[], None] | None = None,
) -> Tensor:  # fmt: skip
    """Compute A' (A A' + r I)^-1 y, each image of the batch as it would come out alone; ``check`` as in ``solved``.

    Stops at a relative gradient of 1e-10 in float64 and 1e-5 otherwise; directions whose singular values the steps
    cannot resolve stay at 0.
    """

    def normal(x: Tensor) -> Tensor:
        return adjoint(forward(x)) + ratio * x

    tolerance = _TOLERANCE.get(y.dtype, _TOLERANCE_ELSE) if tolerance is None else tolerance
    return solved(normal, adjoint(y), iterations=iterations, tolerance=tolerance, check=check)
