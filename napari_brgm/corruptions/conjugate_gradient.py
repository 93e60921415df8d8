"""Pseudo-inverse of a linear operator that is known by its action only.

    x = argmin |A x - y|^2 + r |x|^2,  from x = 0, so that r -> 0 gives the solution of least norm

References
----------
M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 49(6), 1952,
doi:10.6028/jres.049.044 (Sec. 10: on the normal equations without forming A' A, known as CGLS).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["tikhonov_inverse"]

_ITERATIONS = 300  # cap
_TOLERANCE = {torch.float64: 1e-10}  # of |A' (y - A x) - r x| relative to |A' y|
_TOLERANCE_ELSE = 1e-5


def tikhonov_inverse(
    forward: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], y: Tensor, ratio: float
) -> Tensor:
    """Compute A' (A A' + r I)^-1 y in at most 300 conjugate-gradient steps.

    Each image of the batch has its own step length, so it comes out as it would alone. Stops at a relative gradient of
    1e-10 in float64 and 1e-5 otherwise; directions whose singular values the steps cannot resolve stay at 0.
    """

    def power(v: Tensor) -> Tensor:  # (B, 1, 1, 1)
        return v.square().sum(dim=(1, 2, 3), keepdim=True)

    residual = y
    gradient = direction = adjoint(y)  # (B, C, H, W)
    x = torch.zeros_like(gradient)
    gamma = power(gradient)
    goal = gamma.detach() * _TOLERANCE.get(y.dtype, _TOLERANCE_ELSE) ** 2
    for _ in range(_ITERATIONS):
        active = gamma > goal  # a finished image rests while the others go on
        if not active.any():
            break
        image = forward(direction)
        curvature = power(image) + ratio * power(direction)
        step = torch.where(active, gamma / torch.where(active, curvature, 1.0), 0.0)
        x = x + step * direction
        residual = residual - step * image
        gradient = adjoint(residual) - ratio * x
        power_now = power(gradient)
        direction = gradient + torch.where(active, power_now / torch.where(active, gamma, 1.0), 0.0) * direction
        gamma = torch.where(active, power_now, gamma)
    return x
