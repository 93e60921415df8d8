"""Scaling of stored values, one rule for all readers: which slope and intercept count, and what is told of the result.

    value = slope * stored + intercept

A slope of 0, or one that is no number, is none, and neither then is the intercept; an intercept that is no number is 0.

Source: the NIfTI-1.1 header (scl_slope); DICOM PS3.3 C.11.1.1.2 (Rescale Slope is not 0).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["not_finite_note", "usable_scale"]


def usable_scale(slope: float, intercept: float) -> tuple[float, float, tuple[str, ...]]:
    """Slope and intercept to compute with, and a note where they are not those of the file.

    Examples
    --------
    >>> usable_scale(2.0, -1.0)
    (2.0, -1.0, ())
    >>> usable_scale(0.0, -1024.0)
    (1.0, 0.0, ('the slope of the values is 0 in the file, which is none: they are read as stored',))
    >>> usable_scale(2.0, float("nan"))[:2]
    (2.0, 0.0)
    """
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0, (f"the slope of the values is {slope:g} in the file, which is none: they are read as stored",)
    if not math.isfinite(intercept):
        return slope, 0.0, (f"the intercept of the values is {intercept:g} in the file: it is taken as 0",)
    return slope, intercept, ()


def not_finite_note(array: npt.NDArray[Any]) -> tuple[str, ...]:
    """A note where values are infinite or not numbers.

    Examples
    --------
    >>> not_finite_note(np.array([1.0, np.inf]))
    ('1 of its 2 values is infinite or no number: look at the slope in the file, and at the image',)
    >>> not_finite_note(np.array([1, 2]))
    ()
    """
    if array.dtype.kind != "f":
        return ()
    bad = sum(int(np.count_nonzero(~np.isfinite(part))) for part in array)
    if not bad:
        return ()
    verb = "is" if bad == 1 else "are"
    return (
        f"{bad} of its {array.size} values {verb} infinite or no number: look at the slope in the file, "
        "and at the image",
    )
