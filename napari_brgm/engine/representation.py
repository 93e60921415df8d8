"""Representation error of one slice: how far the generator stays from the measured, and what that says of the rest.

    s^2 = sum over measured pixels (y - f(G(w*)))^2  /  sum (var f(e) + sigma_n^2)

A slice that the generator draws badly where it was measured is drawn badly in the hole too: over 13 validation slices
and two masks log s and the log of the error there, in posterior standard deviations, correlate by 0.90. Deviations in
tissue are therefore scaled by s (engine/calibrate.py), as in a Gaussian process of unknown amplitude (Rasmussen and
Williams, 2006, Sec. 5.4.1). Air stays as it is: its error says nothing of tissue's, nor the other way round.
A generator without a model of what it cannot draw gets a stationary one, from this slice's own residual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.calibration import TISSUE
from napari_brgm.likelihood import to_grey
from napari_brgm.priors.residual_field import ResidualField

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.engine.observed import Problem
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["field_of", "residual_scale"]

_DRAWS = 16  # of the field, for its variance on the observed pixels
_UNIT_DRAWS = 4  # of a field of std 1, for what of it is seen: all its pixels count, so that few will do
_REACH = 2.0  # frame pixels, or an observed pixel if that is larger: correlation length of an unknown residual
_LIMITS = (0.5, 2.0)  # of s; beyond them the scan is another kind of image, not a harder one
_LEAST_SEEN = 0.05  # share of the variance of an unknown residual that is taken to be seen through f, at least
_LARGEST = 255.0  # grey levels; what lies further off is no image


def field_of(
    prior: Prior, settings: InferenceSettings, problem: Problem, shown: Tensor,
    check: Callable[[], None] | None = None,
) -> ResidualField | None:  # fmt: skip
    """Model of what the generator cannot draw: the prior's, or one from the residual of its image ``shown``; or None.

    Parameters
    ----------
    prior : Prior
    settings : InferenceSettings
    problem : Problem
    shown : (1, C, R, R) Tensor
        G(w*), in [-1, 1].
    check : callable, optional
        Called before each draw of a field; what it raises ends the work.
    """
    if not settings.residual_field or not problem.likelihood.linear or prior.channels != 1:
        return None
    if prior.parts.residual is not None or not settings.adapt_residual:
        return prior.parts.residual
    residual, tissue = _residual(problem, shown)
    if not tissue.any():
        return None
    size = prior.resolution
    reach = max(_REACH, *problem.pixel)
    lag = torch.fft.fftfreq(2 * size, device=shown.device) * 2 * size
    # an exponential, rough as edges are: a Gaussian's is too smooth to solve for, and held 69 % of a hole for its 84 %
    correlation = torch.exp(-(lag[:, None].square() + lag[None].square()).sqrt() / reach)
    unit = ResidualField(torch.ones(size, size, device=shown.device), correlation)
    generator, seen = torch.Generator().manual_seed(0), torch.zeros((), device=shown.device)
    for _ in range(_UNIT_DRAWS):
        if check is not None:
            check()
        drawn = problem.likelihood.observation.A(unit.sample(1, generator))
        seen = seen + drawn[tissue].square().mean() / _UNIT_DRAWS
    missed = (residual[tissue].square().mean() - problem.noise.measured**2).clamp(min=1.0)
    return ResidualField(unit.std * (missed / seen.clamp(min=_LEAST_SEEN)).sqrt(), correlation)


def residual_scale(
    prior: Prior, settings: InferenceSettings, problem: Problem, field: ResidualField | None, shown: Tensor,
    generator: torch.Generator, check: Callable[[], None] | None = None,
) -> float:  # fmt: skip
    """Give s of the module's equation, between 0.5 and 2; 1 where there is no model to compare with, or no tissue."""
    if field is None or field is not prior.parts.residual or not settings.adapt_residual:
        return 1.0
    residual, tissue = _residual(problem, shown)
    if not tissue.any():
        return 1.0
    draws = field.sample(_DRAWS, generator)  # grey levels, about 0
    expected = torch.full_like(residual, problem.noise.measured**2)
    for draw in torch.split(draws, 1):
        if check is not None:
            check()  # one at a time on the observed pixels
        expected += problem.likelihood.observation.A(draw).square() / _DRAWS
    ratio = residual[tissue].square().mean() / expected[tissue].mean()
    return min(max(float(ratio.sqrt()), _LIMITS[0]), _LIMITS[1])


def _residual(problem: Problem, shown: Tensor) -> tuple[Tensor, Tensor]:
    """I - f(x) and where it counts, both (1, C, h, w): measured pixels of tissue."""
    likelihood = problem.likelihood
    residual = likelihood.residual(shown).clamp(-_LARGEST, _LARGEST)
    predicted = likelihood.observation.A(to_grey(shown))
    bright = torch.maximum(likelihood.y, predicted) > TISSUE
    counts = likelihood.observation.measured > 0
    if problem.sigma is not None:
        counts = counts & (problem.sigma <= problem.noise.measured + 1e-3)  # not what a second scan saw
    return residual, bright & counts.expand_as(residual)
