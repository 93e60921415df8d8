"""What was measured of a slice must be numbers, and not all the same. Imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import InputError

__all__ = ["check_measured"]


def check_measured(image: npt.NDArray[Any], seen: npt.NDArray[np.bool_], *, flat: bool = False) -> None:
    """Look at the pixels ``seen`` (h, w) of an image (h, w[, 3]).

    ``flat``: they may have the same value throughout, as slices above the head do, since what is black is known.

    Raises
    ------
    InputError
        They cannot be used.
    """
    if not np.isfinite(image[seen]).all():
        raise InputError(
            "the image holds NaN or infinite pixels that are not masked; mask them or clean the scan first"
        )
    if not flat and image[seen].min() == image[seen].max():
        raise InputError("all measured pixels have the same value; there is nothing to restore from")
