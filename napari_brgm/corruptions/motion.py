"""Motion: the mean of the image along a straight path during the exposure.

y(p) = 1/L  int_{-L/2}^{L/2} x(p + t u) dt,    x interpolated bilinearly between pixel centres
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.corruptions.conjugate_gradient import tikhonov_inverse
from napari_brgm.corruptions.corruption import LinearOperator, Shape, check_batch, check_ratio
from napari_brgm.corruptions.kernels import Matrix, reflected_index
from napari_brgm.errors import InputError

__all__ = ["Motion"]


@dataclass(frozen=True, slots=True)
class Motion(LinearOperator):
    """Linear motion; the image is reflected at its edges (d c b a | a b c d).

    ``A_dagger`` is iterative (see `tikhonov_inverse`): frequencies that the motion all but erased stay out of it.

    Parameters
    ----------
    length : float
        Path in pixels, above 0.
    angle : float
        Degrees from the column axis, counter-clockwise as displayed: 0 moves along a row, 90 along a column.

    Raises
    ------
    InputError
        A length or angle that cannot be used.

    Examples
    --------
    >>> import torch
    >>> bright = torch.zeros(1, 1, 1, 7, dtype=torch.float64)
    >>> bright[..., 3] = 1
    >>> Motion(length=2, angle=0)(bright).flatten().round(decimals=3).tolist()
    [0.0, 0.0, 0.25, 0.5, 0.25, 0.0, 0.0]
    """

    length: float
    angle: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.length) and self.length > 0):
            raise InputError(f"the length of the motion must be above 0 pixels, got {self.length}")
        if not math.isfinite(self.angle):
            raise InputError(f"the angle of the motion must be a number of degrees, got {self.angle}")

    @property
    def iterative(self) -> bool:
        return True

    def A(self, x: Tensor) -> Tensor:
        b, c, h, w = *x.shape[:2], *check_batch(x)
        psf, rows, columns = _constants(self, (h, w), x.device, x.dtype)
        padded = x.reshape(b * c, 1, h, w).index_select(2, rows).index_select(3, columns)
        return F.conv2d(padded, psf).reshape(b, c, h, w)

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        b, c, h, w = *y.shape[:2], *check_batch(y, shape)
        psf, rows, columns = _constants(self, (h, w), y.device, y.dtype)
        spread = F.conv_transpose2d(y.reshape(b * c, 1, h, w), psf)  # (BC, 1, H + 2 r, W + 2 r)
        folded = spread.new_zeros(b * c, 1, h, spread.shape[3]).index_add(2, rows, spread)
        return spread.new_zeros(b * c, 1, h, w).index_add(3, columns, folded).reshape(b, c, h, w)

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        check_ratio(noise_to_signal)
        check_batch(y, shape)
        return tikhonov_inverse(self.A, self.A_adjoint, y, noise_to_signal)

    def describe(self) -> dict[str, Any]:
        return {"name": "Motion", "length": float(self.length), "angle": float(self.angle)}


@lru_cache(maxsize=32)
def _constants(
    motion: Motion, shape: Shape, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    psf = line_psf(motion.length, motion.angle)
    reach = [size // 2 for size in psf.shape]
    with torch.inference_mode(False):  # a cached inference tensor could not be used in a later gradient
        # conv2d correlates, and the path is symmetric about p, so there is nothing to flip
        kernel = torch.from_numpy(psf).to(dtype).to(device)[None, None]
        rows, columns = (torch.from_numpy(reflected_index(n, r)).to(device) for n, r in zip(shape, reach, strict=True))
    return kernel, rows, columns


def line_psf(length: float, angle: float) -> Matrix:
    """Weights (2 r + 1, 2 c + 1), sum 1, of the pixels round the centre; the integral over the path is exact."""
    dy, dx = -math.sin(math.radians(angle)), math.cos(math.radians(angle))
    dy, dx = (0.0 if abs(d) < 1e-12 else d for d in (dy, dx))
    rows, columns = (math.ceil(length / 2 * abs(d)) for d in (dy, dx))
    # between two crossings of pixel centres the bilinear weights are quadratic in t: Simpson's rule is exact
    crossings = [k / d for d, r in ((dy, rows), (dx, columns)) if d for k in range(-r, r + 1)]
    t = np.unique(np.clip([-length / 2, *crossings, length / 2], -length / 2, length / 2))
    psf = np.zeros((2 * rows + 1, 2 * columns + 1))
    row, column = np.arange(-rows, rows + 1)[:, None], np.arange(-columns, columns + 1)[:, None]
    for at, share in ((t[:-1], 1 / 6), ((t[:-1] + t[1:]) / 2, 4 / 6), (t[1:], 1 / 6)):
        near_row = np.maximum(0, 1 - np.abs(row - at * dy))  # (rows, pieces)
        near_column = np.maximum(0, 1 - np.abs(column - at * dx))
        psf += share * (near_row * np.diff(t)) @ near_column.T
    return np.asarray(psf / psf.sum())
