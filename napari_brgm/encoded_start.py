"""Where MAP may start: what the prior's encoder makes of the observation.

The encoder looks at an image without holes: the observation is put into the mean image of the prior,
x + A^+ (I - f(x)), A^+ by conjugate gradients on the normal equations. That asks for no linear part, keeps what was
measured, and leaves the prior's mean where nothing was. It gives the leading latents; the others stay at their mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.likelihood import from_grey, to_grey

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.likelihood import Likelihood
    from napari_brgm.posterior import Posterior

__all__ = ["encoded", "filled_in"]

_ROUNDS = 8  # conjugate gradients


@torch.no_grad()
def encoded(posterior: Posterior) -> Tensor | None:
    """V (1, L, D) of what the prior's encoder makes of the filled-in observation; None without a fitting encoder."""
    prior = posterior.prior
    encoder = prior.encoder
    if encoder is None or encoder.size != prior.resolution or encoder.latents > prior.w_dim:
        return None
    mean = posterior.images(posterior.coordinates.start(1))
    image = from_grey(filled_in(posterior.likelihood, to_grey(mean)).clamp(0, 255))
    w = prior.latents.mean[None].clone()  # (1, D)
    w[:, : encoder.latents] = encoder.encode(image)
    return posterior.coordinates.at(w)


def filled_in(likelihood: Likelihood, image: Tensor) -> Tensor:
    """Grey image x + A^+ (I - f(x)) (1, C, R, R) on measured pixels; x itself where f is not linear."""
    if not likelihood.linear:
        return image
    missed = (likelihood.observation - likelihood.forward_map(image)) * likelihood.observed

    def applied(x: Tensor) -> Tensor:
        return likelihood.forward_map(x) * likelihood.observed

    with torch.enable_grad():
        leaf = torch.zeros_like(image).requires_grad_(True)
        seen = applied(leaf)

    def adjoint(y: Tensor) -> Tensor:
        (found,) = torch.autograd.grad(seen, leaf, y, retain_graph=True)
        return found

    x = torch.zeros_like(image)  # CGLS (Bjoerck, "Numerical Methods for Least Squares Problems", Sec. 7.4)
    left = missed - (seen.detach() - applied(torch.zeros_like(image)))
    s = adjoint(left)
    p, power = s.clone(), float(s.square().sum())
    first = power
    for _ in range(_ROUNDS):
        if power <= 1e-8 * first or first == 0:
            break
        q = applied(p)
        length = power / max(float(q.square().sum()), 1e-30)
        x, left = x + length * p, left - length * q
        s = adjoint(left)
        before, power = power, float(s.square().sum())
        p = s + power / before * p
    return image + x
