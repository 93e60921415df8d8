"""Truncated Gauss-Newton in the coordinates of the posterior, where the loss is a sum of squares.

    loss(v) = |r(v)|^2,   r = [ R^-1/2 (I - f(G(v))),  lambda_w^1/2 u(v) ],   J = d r / d v
    (J'J + m) d = -J'r   by a few conjugate gradients,   v <- v + d   if the loss falls enough, else m grows

Where a linear part preconditions v, J'J is near the identity and two or three products do. Products with J are forward
differences, those with J' are gradients, so that one of each costs what a step of Adam does. m follows the ratio of the
decrease to that of the quadratic model.

Source: Nocedal and Wright, "Numerical Optimization", 2nd ed., Sec. 10.3 and Algorithm 7.1; the rule for m: Nielsen,
"Damping parameter in Marquardt's method" (IMM-REP-1999-05), Sec. 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.errors import InputError
from napari_brgm.inference.visit import Visit

if TYPE_CHECKING:
    from napari_brgm.inference.visit import Descent
    from napari_brgm.posterior import Posterior

__all__ = ["gauss_newton", "residuals"]

_PRODUCTS = 6  # conjugate gradients of one iteration, at most
_FORCING = 0.1  # they stop where the residual of the system has fallen to this share of the gradient
_STEP = 0.1  # length of the differences, in standard deviations of the prior
_DAMPING = 1e-3  # of the first iteration, against the prior's own curvature, which is 1


@dataclass(frozen=True, slots=True)
class _Point:
    v: Tensor  # (B, L, D), a leaf
    parts: dict[str, Tensor]  # (B, M_i) residuals with their graph
    images: Tensor

    @property
    def flat(self) -> Tensor:
        return torch.cat(list(self.parts.values()), dim=1)  # (B, M)

    def visit(self, new: bool) -> Visit:
        terms = {name: part.detach().square().sum(dim=1) for name, part in self.parts.items()}
        return Visit(self.v.detach(), terms, self.images.detach(), torch.full((len(self.v),), new))


def residuals(posterior: Posterior, v: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Residuals (B, M_i) by the name of their term, which is the sum of their squares; and the images (B, C, R, R).

    Raises
    ------
    InputError
        The loss has a term that is no such sum.
    """
    s, likelihood = posterior.settings, posterior.likelihood
    if s.lambda_colinear or (s.lambda_perceptual and likelihood.features is not None):
        raise InputError("Gauss-Newton takes the pixels and the density of w alone; choose optimiser 'adam' or 'lbfgs'")
    images = posterior.images(v)
    pixel = likelihood.residual(images)
    if likelihood.observation.weight is not None:
        pixel = pixel * likelihood.observation.weight.sqrt()
    found = {"pixel": pixel.flatten(1) * posterior.lambda_pixel**0.5}
    if s.prior_density != "flat":
        found["w"] = posterior.whitened(v).flatten(1) * s.lambda_w**0.5
    return found, images


def gauss_newton(posterior: Posterior, v: Tensor) -> Descent:
    """Candidates v (B, L, D), each by itself; a visit for each evaluation of G and its gradient. Goes on for ever."""
    here = _at(posterior, v)
    damping = torch.full((len(v),), _DAMPING).to(v)
    growth = torch.full_like(damping, 2.0)
    while True:
        seen = here.flat.detach()
        loss = seen.square().sum(dim=1)  # (B,)
        gradient = _transposed(here, seen)  # (B, L, D), half of the loss's
        yield here.visit(new=True)
        # conjugate gradients
        d = torch.zeros_like(gradient)
        left = -gradient
        p, power = left.clone(), _dot(left, left)
        enough = _FORCING**2 * power
        for _ in range(_PRODUCTS):
            product = _transposed(here, _product(posterior, here, seen, p)) + damping[:, None, None] * p
            length = power / _dot(p, product).clamp(min=1e-30)
            d = d + length[:, None, None] * p
            left = left - length[:, None, None] * product
            before, power = power, _dot(left, left)
            yield here.visit(new=False)
            if bool((power <= enough).all()):
                break
            p = left + (power / before.clamp(min=1e-30))[:, None, None] * p
        # try it
        there = _at(posterior, here.v.detach() + d)
        model = -_dot(gradient, d) + damping * _dot(d, d) - _dot(d, left)  # decrease: -2 g'd - d'J'J d
        gain = (loss - there.flat.detach().square().sum(dim=1)) / model.clamp(min=1e-30)
        taken = gain > 1e-4
        damping = torch.where(taken, damping * (1 - (2 * gain - 1).pow(3)).clamp(min=1 / 3, max=2), damping * growth)
        damping = damping.clamp(min=1e-6, max=1e9)
        growth = torch.where(taken, torch.full_like(growth, 2.0), growth * 2)
        if bool(taken.all()):
            here = there
        elif bool(taken.any()):
            here = _at(posterior, torch.where(taken[:, None, None], there.v.detach(), here.v.detach()))


def _at(posterior: Posterior, v: Tensor) -> _Point:
    leaf = v.detach().clone().requires_grad_(True)
    return _Point(leaf, *residuals(posterior, leaf))


@torch.no_grad()
def _product(posterior: Posterior, here: _Point, seen: Tensor, p: Tensor) -> Tensor:
    """J p (B, M) of directions p (B, L, D)."""
    scale = _STEP / _dot(p, p).sqrt().clamp(min=1e-20)  # (B,)
    parts, _ = residuals(posterior, here.v + scale[:, None, None] * p)
    return (torch.cat(list(parts.values()), dim=1) - seen) / scale[:, None]


def _transposed(here: _Point, y: Tensor) -> Tensor:
    """J' y (B, L, D) of y (B, M)."""
    (found,) = torch.autograd.grad(here.flat, here.v, y, retain_graph=True)
    return found


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2))
