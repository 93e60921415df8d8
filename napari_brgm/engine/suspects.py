"""Suspects: pixels that a prior cannot explain, as a first sketch of what is to be painted over.

    z^2 = (y - A G(w))^2 / (var A e + s_n^2),   q = sqrt(K z^2),   suspect where q > limit

and, of what hangs together, q > 1.15 limit somewhere: a quarter of what is clean goes by that; with 1.3 whole drop-outs
did too.

G(w) is the exact posterior mean under the prior's line, e its residual field, K a Gaussian of one frame pixel. What is
suspect is hidden and the rest fitted again, a few times, so that an artefact does not explain itself. The limit is the
99.5th percentile of q in tissue of subjects that the prior never saw (evaluation/suspects.py).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_brgm.calibration import TISSUE
from napari_brgm.engine.by_line import by_line
from napari_brgm.errors import InputError
from napari_brgm.likelihood import to_grey

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_brgm.priors.prior import Prior

__all__ = ["suspects", "unexplained"]

_ROUNDS = 3
_CERTAIN = 1.15  # times the limit, that pixels which hang together reach somewhere
_FLOOR, _NOISIEST = 2.0, 15.0  # grey levels: rounding and resampling; more noise would explain anything
_SMALL = 6  # pixels: smaller suspects are left
_MOST = 0.3  # of the tissue: where more is suspect, the prior does not know the scan


def suspects(
    image: npt.NDArray[np.number], prior: Prior, spacing: tuple[float, float] | None = None,
    check: Callable[[], None] | None = None,
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Pixels (H, W) of a slice that are suspect, a pixel all round with them.

    Parameters
    ----------
    image : (H, W) ndarray
        In any units.
    prior : Prior
    spacing : (float, float) or None
        Pixel size (row, column) in mm.
    check : callable, optional
        Called now and then; what it raises ends the work.

    Raises
    ------
    InputError
        The slice cannot be used, the prior has no limit, or it does not know such scans.
    """
    limit = prior.info.suspect_limit
    if not limit:
        raise InputError(f"{prior.info.name} has no limit for what it cannot explain; choose another prior")
    found = np.zeros(image.shape[:2], dtype=bool)
    for _ in range(_ROUNDS):
        q, tissue = unexplained(image, prior, spacing, found, check=check)
        found = _reaching(q, limit, _CERTAIN * limit)
        if found.sum() > _MOST * max(tissue.sum(), 1):
            raise InputError(
                f"{prior.info.name} explains little of this slice, which is no sign of artefacts: choose a prior that "
                "knows such scans"
            )
        if not found.any():
            break
    found = ndimage.binary_dilation(found)
    parts, count = ndimage.label(found)
    large = np.bincount(parts.ravel(), minlength=count + 1) >= _SMALL
    large[0] = False
    return np.asarray(large[parts])


def _reaching(q: npt.NDArray[np.float64], limit: float, certain: float) -> npt.NDArray[np.bool_]:
    """Pixels above ``limit`` that hang together with one above ``certain``."""
    parts, count = ndimage.label(q > limit)
    top = np.zeros(count + 1)
    if count:
        top[1:] = ndimage.maximum(q, parts, np.arange(1, count + 1))
    return np.asarray((top > certain)[parts])


def unexplained(
    image: npt.NDArray[np.number], prior: Prior, spacing: tuple[float, float] | None,
    hidden: npt.NDArray[np.bool_] | None = None, check: Callable[[], None] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:  # fmt: skip
    """Q (H, W) of the module, and where there is tissue; ``hidden`` pixels have no say in the fit.

    Raises
    ------
    InputError
        The slice cannot be used, or the prior has no line of its own.
    """
    field, found = prior.parts.residual, by_line(image, prior, spacing, hidden, check)
    if field is None or found is None:
        raise InputError(f"{prior.info.name} cannot say what it explains; choose another prior")
    problem, shown = found
    frame, window = problem.placed.frame, problem.window
    drawn = frame.A(to_grey(shown))[0, 0].double().numpy()
    own = frame.A(field.std.square()[None, None])[0, 0].double().numpy()
    y = np.asarray(window.to_grey(image.astype(np.float64)))
    noise = min(problem.placed.noise.measured, _NOISIEST)
    finer = [math.sqrt(max((0.5 / side) ** 2 - 0.25, 0.0)) for side in problem.placed.pixel]
    left = ndimage.gaussian_filter(y - drawn, finer)  # what is finer than the frame no prior explains
    square = left**2 / (own + noise**2 + _FLOOR**2)
    q = np.sqrt(ndimage.gaussian_filter(square, [1 / side for side in problem.placed.pixel]))
    return q, np.maximum(y, drawn) > TISSUE
