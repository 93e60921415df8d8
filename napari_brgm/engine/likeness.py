"""Likeness: which prior a picture is like, where nothing says what it shows.

    misfit / limit      of the exact posterior mean under each prior's line, all pixels measured

Below 1 a slice is as well explained as those of subjects that the prior never saw (misfit.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.engine.by_line import by_line
from napari_brgm.engine.misfit import misfit_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_brgm.priors.prior import Prior

__all__ = ["likeness"]


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
    found = by_line(image, prior, spacing, check=check) if prior.info.misfit_limit > 0 else None
    if found is None:
        return None
    problem, shown = found
    return misfit_of(problem.likelihood, shown, prior.resolution, problem.pixel) / prior.info.misfit_limit
