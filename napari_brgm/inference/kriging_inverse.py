"""About the inverse of a kriging system, which lets conjugate gradients end after a dozen steps in place of hundreds.

    A C A' + s^2 I,   C = S R S:      (A C A' + s^2 I)^-1 ~ A D^-1 (R + c I)^-1 D^-1 A' / g^2

R is stationary, so that (R + c I)^-1 takes two fast Fourier transforms, with one small matrix a frequency for the
slices of a stack. Between pixels that were measured this is nearly the inverse; what it misses are the rims of holes.
g is what A A' does to what A lets through, c = s^2 / (g t^2) with t the median of S; D^2 = (S^2 + s^2 / g) / (1 + c)
keeps the diagonal. Of one slice on the generator's own pixels (A A' = I where it was measured) 26 steps leave less than
60 plain ones; where pixels are shifted, coarser or finer it gains nothing.

Source: Chan and Ng, "Conjugate gradient methods for Toeplitz systems", SIAM Review 38 (1996), Sec. 3 (circulant
preconditioners); Stroud, Stein and Lysen, "Bayesian and maximum likelihood estimation for Gaussian processes on an
incomplete lattice", JCGS 26 (2017) (holes in a lattice).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.observation import Observation, StackObservation
    from napari_brgm.priors.residual_field import ResidualField
    from napari_brgm.priors.stack_field import StackField

__all__ = ["kriging_inverse", "pixel_inverse"]

_EXACT = 1e-3  # of what A A' does to measured pixels of the frame, relative


def kriging_inverse(field: StackField, observation: StackObservation, noise: float) -> Callable[[Tensor], Tensor]:
    """Symmetric and positive, of what was observed (B, m, h, w).

    Parameters
    ----------
    field : StackField
        Of n slices.
    observation : StackObservation
        Of m, each a weighted sum of the n.
    noise : float
        Grey levels, above 0.
    """
    flat = replace(observation, profile=None)  # how slices mix stands in the small matrices
    gain = _gain(flat, len(flat.each), field.std)
    share, weight = _scaled(field.std, noise, gain)
    inverse = field.mixed(observation.profile, share)

    def eased(z: Tensor) -> Tensor:
        return flat.A(weight * field.filtered(weight * flat.A_adjoint(z), inverse))

    return eased


def pixel_inverse(field: ResidualField, observation: Observation, noise: float) -> Callable[[Tensor], Tensor] | None:
    """The same of one slice; None where what was observed is no selection of the frame's own pixels.

    Parameters
    ----------
    field : ResidualField
    observation : Observation
    noise : float
        Grey levels, above 0.
    """
    if abs(_gain(observation, 1, field.std) - 1) > _EXACT:
        return None
    share, weight = _scaled(field.std, noise, 1.0)
    inverse = 1 / (field.spectrum + share)

    def eased(z: Tensor) -> Tensor:
        return observation.A(weight * field.filtered(weight * observation.A_adjoint(z), inverse))

    return eased


def _gain(observation: Observation | StackObservation, slices: int, std: Tensor) -> float:
    """Give g of the module's equations."""
    size = std.shape[-1]
    probe = torch.randn(1, slices, size, size, generator=torch.Generator().manual_seed(0)).to(std)
    seen = observation.A(probe)
    return float(observation.A_adjoint(seen).square().sum() / seen.square().sum().clamp(min=1e-12))


def _scaled(std: Tensor, noise: float, gain: float) -> tuple[float, Tensor]:
    """c, and 1 / (D g)."""
    nugget = noise**2 / max(gain, 1e-12)
    share = nugget / float(std.median()) ** 2
    return share, (1 + share) ** 0.5 / (std.square() + nugget).sqrt() / max(gain, 1e-12)
