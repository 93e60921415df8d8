"""Noise level: measurement noise of a slice that nobody has given, from its corruption or from the slice itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.corruptions import LinearOperator
from napari_brgm.noise import estimate_noise_sigma

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.frame import Window

__all__ = ["noise_of"]

_LARGEST_GUESS = 3.0  # grey levels; noise of a low-resolution image that is not given


def noise_of(
    image: npt.NDArray[Any], seen: npt.NDArray[np.bool_], corruption: Corruption, window: Window, *, coarse: bool
) -> float:
    """Standard deviation of the noise of one observed pixel, in the scan's units.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) ndarray
    seen : (H, W) bool ndarray
        True where measured.
    corruption : Corruption
        One that adds noise of its own knows how much (JPEG).
    window : Window
    coarse : bool
        Whether the pixels are larger than those to be restored: they hold texture that an estimate counts as noise.
    """
    plane = np.asarray(image if image.ndim == 2 else image.mean(axis=2), dtype=np.float64)
    if isinstance(corruption, LinearOperator):
        known = corruption.noise_in(window.to_grey(np.where(seen, plane, window.low)))
        if known is not None:
            return known / window.gain
    sigma = estimate_noise_sigma(np.where(seen, plane, 0.0), ~seen)
    return min(sigma, _LARGEST_GUESS / window.gain) if coarse else sigma
