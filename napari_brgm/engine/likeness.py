"""Likeness: which prior a picture is like, where nothing says what it shows.

    misfit / limit      of the exact posterior mean under each prior's line, all pixels measured

Below 1 a slice is as well explained as those of subjects that the prior never saw (misfit.py). Of a slice much finer
than the prior means over blocks are looked at, so that a large one takes no longer. Where its pixels have no size, a
slice of more pixels than the prior has is taken to show as much as the prior does.
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
    if not prior.info.misfit_limit > 0:
        return None
    found = by_line(*_coarser(np.asarray(image), prior, spacing), check=check)
    if found is None:
        return None
    problem, shown = found
    return misfit_of(problem.likelihood, shown, prior.resolution, problem.pixel) / prior.info.misfit_limit


def _coarser(
    image: npt.NDArray[Any], prior: Prior, spacing: tuple[float, float] | None
) -> tuple[npt.NDArray[Any], Prior, tuple[float, float] | None]:
    """What ``by_line`` is to look at: means over blocks of whole pixels, where a slice is that much finer."""
    own, most = prior.info.spacing_mm, max(image.shape, default=0)
    if own and spacing is None:
        side = math.ceil(most / prior.resolution)
    else:
        side = int((own / max(spacing) if own and spacing is not None else most / prior.resolution) / _FINE)
    if image.ndim != 2 or side < 2 or min(image.shape) < side:
        return image, prior, spacing
    h, w = (n // side for n in image.shape)
    blocks = image[: h * side, : w * side].reshape(h, side, w, side).mean(axis=(1, 3), dtype=np.float32)
    return blocks, prior, None if spacing is None else (spacing[0] * side, spacing[1] * side)
