"""Blur: Gaussian point spread, Y = Ky X Kx'."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from napari_brgm.corruptions.kernels import reflected_gaussian
from napari_brgm.corruptions.separable import Separable
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.corruptions.kernels import Matrix

__all__ = ["Blur"]


class Blur(Separable):
    """Gaussian blur; the image is reflected at its edges (d c b a | a b c d), so its mean is kept.

    Parameters
    ----------
    fwhm : float or (row, column) pair
        Full width at half maximum in pixels; 0 leaves an axis as it is.

    Raises
    ------
    InputError
        ``fwhm`` is negative, not finite, or 0 on both axes.

    Examples
    --------
    >>> import torch
    >>> bright = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    >>> bright[..., 4, 4] = 1
    >>> y = Blur(2)(bright)
    >>> round(float(y.sum()), 9), round(float(y.max()), 3)
    (1.0, 0.197)
    """

    __slots__ = ("fwhm",)

    def __init__(self, fwhm: float | tuple[float, float]) -> None:
        try:
            row, column = map(float, fwhm if isinstance(fwhm, tuple | list) else (fwhm, fwhm))
        except (TypeError, ValueError) as error:
            raise InputError(f"fwhm must be a number of pixels or a (row, column) pair, got {fwhm!r}") from error
        if not (math.isfinite(row) and math.isfinite(column) and min(row, column) >= 0 and max(row, column) > 0):
            raise InputError(f"fwhm must be above 0 pixels on at least one axis and below 0 on none, got {fwhm!r}")
        self.fwhm = (row, column)

    def __repr__(self) -> str:
        return f"Blur(fwhm={self.fwhm})"

    @property
    def key(self) -> tuple[Any, ...]:
        return Blur, self.fwhm

    def describe(self) -> dict[str, Any]:
        return {"name": "Blur", "fwhm": list(self.fwhm)}

    def axis_matrix(self, axis: int, size: int) -> Matrix:
        """K (N, N), float64 and symmetric, of axis 0 (rows) or 1 (columns)."""
        return reflected_gaussian(size, self.fwhm[axis])
