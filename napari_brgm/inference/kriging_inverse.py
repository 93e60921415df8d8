"""About the inverse of a kriging system, which lets conjugate gradients end after a dozen steps in place of hundreds.

    A C A' + s^2 I,   C = S R S:      (A C A' + s^2 I)^-1 ~ A D^-1 (R + c I)^-1 D^-1 A' / g^2

R is stationary, so that (R + c I)^-1 takes two fast Fourier transforms, with one small matrix a frequency for the
slices of a stack. Between pixels that were measured this is nearly the inverse; what it misses are the rims of holes.
g is what A A' does to what A lets through, c = s^2 / (g t^2) with t the median of S; D^2 = (S^2 + s^2 / g) / (1 + c)
keeps the diagonal.

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

    from napari_brgm.observation import StackObservation
    from napari_brgm.priors.stack_field import StackField

__all__ = ["kriging_inverse"]


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
    size = field.std.shape[-1]
    probe = torch.randn(1, len(flat.each), size, size, generator=torch.Generator().manual_seed(0)).to(field.std)
    seen = flat.A(probe)
    gain = float(flat.A_adjoint(seen).square().sum() / seen.square().sum().clamp(min=1e-12))
    nugget = noise**2 / max(gain, 1e-12)
    share = nugget / float(field.std.median()) ** 2
    weight = (1 + share) ** 0.5 / (field.std.square() + nugget).sqrt() / max(gain, 1e-12)
    inverse = field.mixed(observation.profile, share)

    def eased(z: Tensor) -> Tensor:
        return flat.A(weight * field.filtered(weight * flat.A_adjoint(z), inverse))

    return eased
