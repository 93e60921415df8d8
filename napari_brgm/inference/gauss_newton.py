"""The Gaussian round a MAP point, in the diagonal Gauss-Newton approximation.

    precision_i = 1 + E[ (J' R^-1/2 e)_i^2 ],   e ~ N(0, I),   J = d f(G(v)) / d v

The diagonal of J' R^-1 J by random probes (Hutchinson; Martens, "Deep learning via Hessian-free optimization", 2010,
Sec. 4.7). It gives MAP results their samples and variance; in preconditioned coordinates it is near 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.inference.variational import Gaussian

if TYPE_CHECKING:
    from napari_brgm.posterior import Posterior

__all__ = ["gaussian_at"]

PROBES = 24


def gaussian_at(posterior: Posterior, v: Tensor, generator: torch.Generator) -> Gaussian:
    """N(v, diag) at the MAP coordinates v (1, L, D).

    Where the linear part preconditions the problem, its exact posterior covariance (std 1 in v) is taken as it is: it
    knows the correlations that a diagonal estimate would lose.
    """
    if posterior.linear is not None:
        return Gaussian(v[0].detach(), posterior.start_std())
    v = v.detach().clone().requires_grad_(True)
    images = posterior.images(v)
    residual = posterior.likelihood.residual(images)  # (1, C, h, w)
    weight = posterior.likelihood.weight
    scale = posterior.lambda_pixel**0.5 * (1.0 if weight is None else weight.sqrt())  # R^-1/2
    total = torch.zeros_like(v)
    for _ in range(PROBES):
        probe = torch.randn(residual.shape, generator=generator).to(residual)
        (product,) = torch.autograd.grad(residual, v, probe * scale, retain_graph=True)
        total += product.square()
    prior_precision = posterior.start_std().square().reciprocal()
    return Gaussian(v[0].detach(), (prior_precision + total[0] / PROBES).rsqrt())
