"""Likeness: which prior a picture is like, where nothing says what it shows.

    misfit / limit      of the exact posterior mean under each prior's line, all pixels measured

Below 1 a slice is as well explained as those of subjects that the prior never saw (misfit.py). Of a slice much finer
than the prior means over blocks are looked at, so that a large one takes no longer. Where its pixels have no size, they
are the prior's, or so small that the slice shows as much as the prior does: as it is better explained.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.engine.by_line import by_line
from napari_brgm.engine.misfit import misfit_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_brgm.priors.prior import Prior

__all__ = ["likeness"]

_FINE = 1.25  # times the prior's pixels, in what is looked at, at least
_MOST_AS_IS = 2.5  # sides of the prior, of a slice whose pixels may be the prior's


def likeness(
    image: npt.ArrayLike, prior: Prior, spacing: tuple[float, float] | None = None,
    check: Callable[[], None] | None = None,
) -> float | None:  # fmt: skip
    """Misfit of a slice over the prior's limit; about a second on two cores.

    Parameters
    ----------
    image : (H, W) array-like
        In any units.
    prior : Prior
    spacing : (float, float) or None
        Pixel size (row, column) in mm.
    check : callable, optional
        Called now and then; what it raises ends the work.

    Returns
    -------
    float or None
        None where the prior cannot be asked: it has no line of its own, or no limit.

    Raises
    ------
    InputError
        The slice cannot be used.
    """
    image, own, limit = np.asarray(image), prior.info.spacing_mm, prior.info.misfit_limit
    most = max(image.shape, default=0) / prior.resolution  # of the prior's sides
    if spacing is not None and own:
        sides = [int(own / max(spacing) / _FINE)]
    elif own:
        sides = [1] * (most <= _MOST_AS_IS) + [math.ceil(most)] * (most > _FINE)
    else:
        sides = [int(most / _FINE)]
    found = [_misfit(*_coarser(image, spacing, side), prior, check) for side in sides] if limit > 0 else []
    told = [misfit for misfit in found if misfit is not None]
    return min(told) / limit if told else None


def _misfit(
    image: npt.NDArray[Any], spacing: tuple[float, float] | None, prior: Prior, check: Callable[[], None] | None
) -> float | None:
    found = by_line(image, prior, spacing, check=check)
    if found is None:
        return None
    problem, shown = found
    return misfit_of(problem.likelihood, shown, prior.resolution, problem.pixel)


def _coarser(
    image: npt.NDArray[Any], spacing: tuple[float, float] | None, side: int
) -> tuple[npt.NDArray[Any], tuple[float, float] | None]:
    """Means over blocks of so many pixels a side, and what they measure."""
    if image.ndim != 2 or side < 2 or min(image.shape) < side:
        return image, spacing
    h, w = (n // side for n in image.shape)
    blocks = image[: h * side, : w * side].reshape(h, side, w, side).mean(axis=(1, 3), dtype=np.float32)
    return blocks, None if spacing is None else (spacing[0] * side, spacing[1] * side)
