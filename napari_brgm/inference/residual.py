"""The residual field given the data: kriging of what the generator left unexplained.

    y = f(G(w) + e) + n,   e ~ N(0, C),   n ~ N(0, sigma_n^2)
    E[e | y, w]   = C A' (A C A' + sigma_n^2 I)^-1 (y - f(G(w)))
    a draw        = e0 + C A' (A C A' + sigma_n^2 I)^-1 (y - f(G(w) + e0) - n0)                  (Matheron's rule)

A is the linear part of f. The system is solved by conjugate gradients, batched over samples.
Source: Journel and Huijbregts, "Mining Geostatistics" (1978), Ch. VII; Rasmussen and Williams (2006), Eq. 2.23-2.24.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.likelihood import Likelihood, from_grey, to_grey

if TYPE_CHECKING:
    from napari_brgm.priors.residual_field import ResidualField

__all__ = ["complete"]

_ITERATIONS = 60
_LARGEST = 1e4  # grey levels; a pixel further off is a fault, and its square would overflow
_TOLERANCE = 1e-3  # of the right-hand side's norm


def complete(
    images: Tensor, field: ResidualField, likelihood: Likelihood, noise: float,
    generator: torch.Generator | None = None, batch: int | None = None,
) -> Tensor:  # fmt: skip
    """Add the residual field given the data to generator images.

    Parameters
    ----------
    images : (B, 1, R, R) Tensor
        G(w), in [-1, 1].
    field : ResidualField
    likelihood : Likelihood
        With a linear forward map.
    noise : float
        Measurement noise of an observed pixel, grey levels, above 0.
    generator : torch.Generator or None
        None adds the mean of e given y; else each image gets a draw of its own, centred over the batch so that the mean
        of the draws is not noise.
    batch : int or None
        Images solved for at a time, where memory is short; None: all.
    """
    drawn = torch.zeros_like(images)
    misfit = likelihood.residual(images)
    if generator is not None:
        drawn = _centred(field.sample(len(images), generator))
        white = _centred(torch.randn(misfit.shape, generator=generator)).to(misfit)
        misfit = likelihood.residual(images + drawn / 127.5) - noise * white * likelihood.observed

    n = batch or len(images)
    misfit = misfit.clamp(-_LARGEST, _LARGEST)
    found = [_kriged(part, images.shape[1:], field, likelihood, noise) for part in torch.split(misfit, n)]
    return from_grey(to_grey(images) + drawn + torch.cat(found))


def _kriged(misfit: Tensor, shape: torch.Size, field: ResidualField, likelihood: Likelihood, noise: float) -> Tensor:
    """C A' (A C A' + sigma_n^2 I)^-1 of misfits (B, C, h, w)."""

    def forward(x: Tensor) -> Tensor:
        return likelihood.forward_map(x) * likelihood.observed

    def adjoint(y: Tensor) -> Tensor:
        with torch.enable_grad():
            x = torch.zeros((len(y), *shape), device=y.device, requires_grad=True)
            (back,) = torch.autograd.grad(forward(x), x, y)
        return back

    solution = _conjugate_gradients(lambda z: forward(field.covariance(adjoint(z))) + noise**2 * z, misfit)
    return field.covariance(adjoint(solution))


def _centred(draws: Tensor) -> Tensor:
    """Draws (B, ...) with mean 0 over the batch and their variance kept."""
    n = len(draws)
    return draws if n < 2 else (draws - draws.mean(dim=0)) * (n / (n - 1)) ** 0.5


def _conjugate_gradients(operator, right: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
    """Solve for each entry of the batch; symmetric positive definite ``operator``."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=(1, 2, 3), keepdim=True)

    x = torch.zeros_like(right)
    residual, direction = right.clone(), right.clone()
    size = first = dot(right, right)
    for _ in range(_ITERATIONS):
        if bool((size <= _TOLERANCE**2 * first).all()):
            break
        image = operator(direction)
        step = size / dot(direction, image).clamp(min=1e-20)
        x = x + step * direction
        residual = residual - step * image
        new = dot(residual, residual)
        direction = residual + new / size.clamp(min=1e-20) * direction
        size = new
    return x
