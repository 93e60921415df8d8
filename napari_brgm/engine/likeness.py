"""Likeness: which prior a picture is like, where nothing says what it shows.

    misfit / limit      of the exact posterior mean under each prior's line, all pixels measured

Below 1 a slice is as well explained as those of subjects that the prior never saw (misfit.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.corruptions import Identity
from napari_brgm.engine.misfit import misfit_of
from napari_brgm.engine.observed import observe
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

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
    line = prior.parts.line
    if line is None or not line.exact or prior.info.misfit_limit <= 0:
        return None
    problem = observe(image, Identity(), prior, spacing=spacing, check=check)
    posterior = Posterior(prior, problem.likelihood, preset(prior.info.preset), check=check).linear
    if posterior is None:
        return None
    shown = line.whitened.synthesize(posterior.mean[None, None])
    return misfit_of(problem.likelihood, shown, prior.resolution, problem.pixel) / prior.info.misfit_limit
