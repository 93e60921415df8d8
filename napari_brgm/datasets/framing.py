"""Framing: a slice of any size -> the square frame that a generator draws.

    field = resolution * spacing            mm, round the centre of the image; zero where the image does not reach

then a triangle filter: bilinear interpolation where the frame is finer than the image, its antialiased form where it is
coarser. One (R, n) matrix per axis holds crop, padding and filter.

Source: the filter is that of ``torch.nn.functional.interpolate(mode="bilinear", antialias=True)`` on the cropped image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import InputError

__all__ = ["Framing"]

_LARGEST = 4096  # pixels a side
_WHOLE = 1e-6  # pixels; a field this near to a whole number of pixels is one


@dataclass(frozen=True, slots=True)
class Framing:
    """Centre crop or zero pad to a square, then bilinear with antialias to the frame.

    A field of a whole number of image pixels is cut between pixels: nothing is resampled at equal pixel sizes.

    Attributes
    ----------
    resolution : int
        Side of the frame R, pixels.
    spacing_mm : float
        Pixel size of the frame. 0: the image's own (its finer one), or as much larger as the image needs to fit.

    Raises
    ------
    InputError
        The resolution is not in 8 .. 4096, or the spacing is negative or not finite.

    Examples
    --------
    >>> Framing(128, 1.5).apply(np.ones((208, 176)), (1.0, 1.0)).shape
    (128, 128)
    """

    resolution: int
    spacing_mm: float = 0.0

    def __post_init__(self) -> None:
        if not 8 <= self.resolution <= _LARGEST:
            raise InputError(f"the resolution of a frame must be in 8 .. {_LARGEST} pixels, got {self.resolution}")
        if not 0 <= self.spacing_mm < np.inf:
            raise InputError(f"the pixel size of a frame must be 0 (as it is) or mm above 0, got {self.spacing_mm}")

    def apply(
        self, image: npt.NDArray[np.number[Any]], pixel_mm: tuple[float, float] = (1.0, 1.0)
    ) -> npt.NDArray[np.float32]:
        """Bring images into the frame.

        Parameters
        ----------
        image : (..., H, W) array
            Any units.
        pixel_mm : (float, float)
            Pixel size (row, column), mm; only its ratio counts where ``spacing_mm`` is 0.

        Returns
        -------
        (..., R, R) ndarray, float32
            Same units.

        Raises
        ------
        InputError
            The pixel size is not two finite numbers above 0, the image has no pixels, or the frame is smaller than one.
        """
        array = np.asarray(image, dtype=np.float32)
        if array.ndim < 2 or 0 in array.shape[-2:]:
            raise InputError(f"an image needs rows and columns, got the shape {array.shape}")
        if len(pixel_mm) != 2 or not all(0 < p < np.inf for p in pixel_mm):
            raise InputError(f"the pixel size must be two numbers of mm above 0 (row, column), got {pixel_mm}")
        field = self._field_mm(array.shape[-2:], pixel_mm)
        if field < max(pixel_mm):
            raise InputError(f"a frame of {field:g} mm is smaller than one pixel of {max(pixel_mm):g} mm; check both")
        rows, columns = (
            _axis_matrix(n, self.resolution, field / p) for n, p in zip(array.shape[-2:], pixel_mm, strict=True)
        )
        framed: npt.NDArray[np.float32] = np.matmul(np.matmul(rows, array), columns.T)  # (R, H) (..., H, W) (W, R)
        return framed

    def _field_mm(self, shape: tuple[int, ...], pixel_mm: tuple[float, float]) -> float:
        if self.spacing_mm > 0:
            return self.resolution * self.spacing_mm
        extent = max(n * p for n, p in zip(shape, pixel_mm, strict=True))
        return max(self.resolution * min(pixel_mm), extent)


@lru_cache(maxsize=32)  # sets have few image sizes
def _axis_matrix(n: int, size: int, field: float) -> npt.NDArray[np.float32]:
    """(size, n) weights of an image axis of n pixels in a frame axis whose field is so many image pixels."""
    whole = round(field)
    if abs(field - whole) < _WHOLE:
        field, start = float(whole), float((n - whole) // 2)  # edge of the field, in pixels from the image's edge
    else:
        start = (n - field) / 2
    scale = field / size  # image pixels in one of the frame
    support = max(scale, 1.0)
    centres = start + (np.arange(size)[:, None] + 0.5) * scale  # (size, 1)
    lattice = np.arange(np.ceil(start - 0.5), np.floor(start + field - 0.5) + 1)  # pixels whose centre is in the field
    lattice = lattice[lattice + 0.5 < start + field]  # the far edge belongs to the next pixel
    weights = np.clip(1 - np.abs(lattice + 0.5 - centres) / support, 0, None)  # (size, pixels in the field)
    weights /= weights.sum(axis=1, keepdims=True)  # padding counts: it is black, not missing
    matrix: npt.NDArray[np.float32] = np.zeros((size, n), np.float32)
    inside = (lattice >= 0) & (lattice < n)
    matrix[:, lattice[inside].astype(int)] = weights[:, inside]
    matrix.flags.writeable = False
    return matrix
