"""About the inverse of a kriging system, which lets conjugate gradients end after a dozen steps in place of hundreds.

    A C A' + s^2 I,   C = S R S

Seen through A, a stationary field is nearly stationary on the observation's own grid, whatever the pose, the size of a
pixel, a blur, or how slices mix. Its covariance there is measured at a few pixels of each slice, and their mean is
inverted by fast Fourier transforms, with one small matrix a frequency for the slices of a stack:

    (A C A' + s^2 I)^-1 ~ M D^-1 (K + c I)^-1 D^-1 M,   K_ij(d) = mean over pixels p of (A R A')_ij(p, p + d)

over the root of v_i v_j, v_i = K_ii(0). M is what was measured, D^2 = (v (A S 1)^2 + s^2) / (1 + c), c = s^2 / t^2 with
t^2 the median of v (A S 1)^2. Between measured pixels this is nearly the inverse; what it misses are the rims of holes.
12 steps leave as little as 60 plain ones where a pose is fitted, and 26 less than a tenth of it; stacks,
whose slices are alike, take some 50 for a tenth of a grey level.

Source: Chan and Ng, "Conjugate gradient methods for Toeplitz systems", SIAM Review 38 (1996), Sec. 3 (circulant
preconditioners; T. Chan's, the mean along diagonals); Stroud, Stein and Lysen, "Bayesian and maximum likelihood
estimation for Gaussian processes on an incomplete lattice", JCGS 26 (2017) (holes in a lattice).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from scipy import fft

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.observation import Observation, StackObservation
    from napari_brgm.priors.residual_field import ResidualField
    from napari_brgm.priors.stack_field import StackField

__all__ = ["kriging_inverse"]

_SPARE = 8  # pixels of the torus beyond what was observed
_ASKED = 9  # pixels of a slice whose covariance with others is measured
_ALIKE = 0.5  # their squared differences over the squared mean: beyond it there is no stationary field to speak of
_LEAST = 1e-5  # eigenvalue of a correlation


def kriging_inverse(
    field: ResidualField | StackField, observation: Observation | StackObservation, noise: float | Tensor,
    check: Callable[[], None] = lambda: None,
) -> Callable[[Tensor], Tensor] | None:  # fmt: skip
    """Symmetric and positive, of what was observed (B, m, h, w); None where that is no field on a grid.

    Parameters
    ----------
    field : ResidualField or StackField
        Of one slice, or of n.
    observation : Observation or StackObservation
        Of one, or of m, each a weighted sum of the n.
    noise : float or (1, 1 or m, h, w) Tensor
        Grey levels, above 0.
    check : callable
        Called now and then; what it raises ends the work.
    """
    count, height, width = (int(n) for n in observation.measured.shape[-3:])
    measured = observation.measured > 0
    ones = torch.ones_like(field.std).expand(1, field.slices, -1, -1)
    scale, unit = observation.A(ones * field.std), observation.A(ones)
    if scale.shape != measured.shape or not measured.any() or not float(unit[measured].median()) > 0:
        return None
    scale = scale / unit[measured].median()  # (1, m, h, w), grey levels
    usual = float(scale[measured].median())
    torus = (int(fft.next_fast_len(height + _SPARE, real=True)), int(fft.next_fast_len(width + _SPARE, real=True)))
    check()
    covariance = _covariance(field, observation, torus, (measured & (scale >= usual))[0], check)
    if covariance is None:
        return None
    variance = torch.diagonal(covariance[:, :, 0, 0])
    power = torch.fft.rfft2(covariance / torch.outer(variance, variance).sqrt()[..., None, None]).real
    seen = variance[:, None, None] * scale.square()
    power_of_noise = torch.as_tensor(noise, device=seen.device).square().expand_as(seen)
    share = float(power_of_noise[measured].median()) / max(float(seen[measured].median()), 1e-12)
    weight = ((1 + share) / (seen + power_of_noise)).sqrt() * observation.measured
    inverse = _inverse(power, share)

    def near(z: Tensor) -> Tensor:
        parts = torch.fft.rfft2(weight * z, s=torus)
        if count == 1:
            mixed = inverse[..., 0, 0] * parts
        else:
            pairs = torch.view_as_real(parts.permute(2, 3, 1, 0)).flatten(-2)  # (P, Q, m, 2 B)
            found = (inverse @ pairs).reshape(*inverse.shape[:3], -1, 2)
            mixed = torch.view_as_complex(found).permute(3, 2, 0, 1)
        eased: Tensor = weight * torch.fft.irfft2(mixed, s=torus)[..., :height, :width]
        return eased

    return near


def _inverse(power: Tensor, share: float) -> Tensor:
    """(P, Q, m, m): that of the matrices of ``power`` (m, m, P, Q), as positive as correlations are, with the noise."""
    values, vectors = torch.linalg.eigh(power.permute(2, 3, 0, 1).double())
    found: Tensor = (vectors / (values.clamp(min=_LEAST) + share)[..., None, :]) @ vectors.mT
    return found.float()


def _covariance(
    field: ResidualField | StackField, observation: Observation | StackObservation, torus: tuple[int, int],
    among: Tensor, check: Callable[[], None],
) -> Tensor | None:  # fmt: skip
    """Mean covariance (m, m, P, Q) of a slice's pixel with all, by lag, of the field of std 1 as it is observed.

    None: it differs from pixel to pixel. ``among`` (m, h, w) bool: pixels that are asked; of a slice that has none of
    them (all of it is hidden, or dark) those of the others.
    """
    count = len(among)
    found = field.std.new_zeros(count, count, *torus)
    differ = torch.zeros(2)
    for j, own in enumerate(among):
        at = (own if own.any() else among.any(dim=0)).nonzero()
        at = at[torch.linspace(0, len(at) - 1, min(_ASKED, len(at)), device=at.device).round().long()]  # (n, 2)
        found[j], apart = _of_pixels(field, observation, torus, j, at)
        differ += torch.tensor(apart)
        check()
    found = (found + found.transpose(0, 1)) / 2
    positive = bool((torch.diagonal(found[:, :, 0, 0]) > 0).all())
    return found if positive and float(differ[0]) < _ALIKE * float(differ[1]) else None


def _of_pixels(
    field: ResidualField | StackField, observation: Observation | StackObservation, torus: tuple[int, int], j: int,
    at: Tensor,
) -> tuple[Tensor, tuple[float, float]]:  # fmt: skip
    """Of pixels ``at`` (n, 2) of slice j (m, P, Q); and squared sums, of how they differ and of the mean."""
    each = torch.arange(len(at), device=at.device)
    points = torch.zeros(len(at), *observation.measured.shape[1:]).to(field.std)
    points[each, j, at[:, 0], at[:, 1]] = 1.0
    seen = observation.A(field.correlated(observation.A_adjoint(points)))  # (n, m, h, w)
    known = (observation.measured[0] > 0).to(seen).expand_as(seen)
    lags = [torch.arange(n, device=at.device) - at[:, i, None] for i, n in enumerate(seen.shape[2:])]
    rows, columns = (lag % n for lag, n in zip(lags, torus, strict=True))
    where = each[:, None, None], slice(None), rows[:, :, None], columns[:, None]
    sums, counts = (seen.new_zeros(len(at), seen.shape[1], *torus) for _ in range(2))
    for into, one in ((sums, seen * known), (counts, known)):
        into[where] = one.permute(0, 2, 3, 1)
    sums, counts = (one + one.flip(2, 3).roll((1, 1), (2, 3)) for one in (sums, counts))  # a covariance is even
    mean = sums.sum(dim=0) / counts.sum(dim=0).clamp(min=1.0)
    return mean, (float((sums - mean * counts).square().sum()), float((mean * counts).square().sum()))
