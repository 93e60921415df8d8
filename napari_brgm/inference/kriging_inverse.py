"""About the inverse of a kriging system, which lets conjugate gradients end after a dozen steps in place of hundreds.

    A C A' + s^2 I,   C = S R S

Of one slice (``pixel_inverse``): seen through A, a stationary field is nearly stationary on the observation's own grid,
whatever the pose, the size of a pixel, or a blur. Its covariance there is measured at a few pixels, and their mean is
inverted by two fast Fourier transforms:

    (A C A' + s^2 I)^-1 ~ M D^-1 (K + c I)^-1 D^-1 M,   K(d) = mean over pixels p of (A R A')(p, p + d) / v,  v = K(0)

M is what was measured, D^2 = (v (A S 1)^2 + s^2) / (1 + c), c = s^2 / t^2 with t^2 the median of v (A S 1)^2. Between
measured pixels this is nearly the inverse; what it misses are the rims of holes. 12 steps leave as little as 60 plain
ones where a pose is fitted, and 26 less than a tenth of it.

Of a stack (``kriging_inverse``), whose slices have one small matrix a frequency, on the frame's grid:

    (A C A' + s^2 I)^-1 ~ A D^-1 (R + c I)^-1 D^-1 A' / g^2

g is what A A' does to what A lets through, c = s^2 / (g t^2) with t the median of S; D^2 = (S^2 + s^2 / g) / (1 + c)
keeps the diagonal. It wants A A' near a multiple of I: of one slice under a fitted pose it gained nothing.

Source: Chan and Ng, "Conjugate gradient methods for Toeplitz systems", SIAM Review 38 (1996), Sec. 3 (circulant
preconditioners; T. Chan's, the mean along diagonals); Stroud, Stein and Lysen, "Bayesian and maximum likelihood
estimation for Gaussian processes on an incomplete lattice", JCGS 26 (2017) (holes in a lattice).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from scipy import fft

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.observation import Observation, StackObservation
    from napari_brgm.priors.residual_field import ResidualField
    from napari_brgm.priors.stack_field import StackField

__all__ = ["kriging_inverse", "pixel_inverse"]

_SPARE = 8  # pixels of the torus beyond what was observed
_ASKED = 9  # pixels whose covariance with others is measured
_ALIKE = 0.5  # their squared differences over the squared mean: beyond it there is no stationary field to speak of
_LEAST = 1e-5  # eigenvalue of a correlation


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


def pixel_inverse(
    field: ResidualField, observation: Observation, noise: float, check: Callable[[], None] = lambda: None
) -> Callable[[Tensor], Tensor] | None:
    """The same of one slice, of what was observed (B, 1, h, w); None where that is no field on a grid.

    Parameters
    ----------
    field : ResidualField
    observation : Observation
    noise : float
        Grey levels, above 0.
    check : callable
        Called now and then; what it raises ends the work.
    """
    height, width = (int(n) for n in observation.measured.shape[-2:])
    measured = observation.measured > 0
    scale, unit = torch.split(observation.A(torch.stack([field.std, torch.ones_like(field.std)])[:, None]), 1)
    if scale.shape != measured.shape or not measured.any() or not float(unit[measured].median()) > 0:
        return None
    scale = scale / unit[measured].median()  # (1, 1, h, w), grey levels
    usual = float(scale[measured].median())
    torus = (int(fft.next_fast_len(height + _SPARE, real=True)), int(fft.next_fast_len(width + _SPARE, real=True)))
    check()
    covariance = _covariance(field, observation, torus, (measured & (scale >= usual))[0, 0], check)
    if covariance is None:
        return None
    variance = float(covariance[0, 0])
    seen, share = variance * scale.square(), noise**2 / max(variance * usual**2, 1e-12)
    inverse = 1 / ((torch.fft.rfft2(covariance).real / variance).clamp(min=_LEAST) + share)
    weight = ((1 + share) / (seen + noise**2)).sqrt() * observation.measured

    def near(z: Tensor) -> Tensor:
        found: Tensor = torch.fft.irfft2(inverse * torch.fft.rfft2(weight * z, s=torus), s=torus)
        eased: Tensor = weight * found[..., :height, :width]
        return eased

    return near


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


def _covariance(
    field: ResidualField, observation: Observation, torus: tuple[int, int], among: Tensor, check: Callable[[], None]
) -> Tensor | None:
    """Mean covariance (P, Q) of a pixel with others, by lag, of the field of std 1 as it is observed; None: it differs.

    ``among`` (h, w) bool: pixels that are asked.
    """
    at = among.nonzero()
    at = at[torch.linspace(0, len(at) - 1, min(_ASKED, len(at)), device=at.device).round().long()]  # (n, 2)
    each = torch.arange(len(at), device=at.device)
    points = torch.zeros(len(at), *observation.measured.shape[1:]).to(field.std)
    points[each, 0, at[:, 0], at[:, 1]] = 1.0
    filtered = field.filtered(observation.A_adjoint(points), field.spectrum)
    check()
    found = observation.A(filtered)[:, 0]  # (n, h, w)
    check()
    known = (observation.measured[0, 0] > 0).to(found).expand_as(found)
    lags = [torch.arange(n, device=at.device) - at[:, i, None] for i, n in enumerate(found.shape[1:])]
    rows, columns = (lag % n for lag, n in zip(lags, torus, strict=True))
    where = each[:, None, None], rows[:, :, None], columns[:, None]
    sums, counts = (found.new_zeros(len(at), *torus).index_put(where, one) for one in (found * known, known))
    sums, counts = (one + one.flip(1, 2).roll((1, 1), (1, 2)) for one in (sums, counts))  # a covariance is even
    mean = sums.sum(dim=0) / counts.sum(dim=0).clamp(min=1.0)
    differ = ((sums - mean * counts).square().sum(), (mean * counts).square().sum())
    return mean if float(mean[0, 0]) > 0 and float(differ[0]) < _ALIKE * float(differ[1]) else None
