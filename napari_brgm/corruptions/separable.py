"""Separable corruptions: one matrix for each axis, Y = Ky X Kx'.

With K = U S V' the regularised inverse of the pair is exact, as the singular values of a Kronecker product multiply:

    A' (A A' + r I)^-1 Y = Vy [ s / (s^2 + r) * (Uy' Y Ux) ] Vx',    s_ij = Sy_i Sx_j
"""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_brgm.corruptions.corruption import LinearOperator, Shape, check_batch, check_ratio

if TYPE_CHECKING:
    from napari_brgm.corruptions.kernels import Matrix

__all__ = ["Separable"]


class Separable(LinearOperator):
    """Base of the corruptions that act on rows and columns one after the other; not to be changed once made.

    Two with the same ``key`` are equal: matrices are kept by it.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def key(self) -> tuple[Any, ...]:
        """The class and all parameters."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Separable) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @abstractmethod
    def axis_matrix(self, axis: int, size: int) -> Matrix:
        """K (n, N), float64, of axis 0 (rows) or 1 (columns) for an image with N = ``size`` pixels along it."""

    def matrices(
        self, shape_hw: Shape, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, Tensor]:
        """Ky (h, H) and Kx (w, W) for images of this size, cached; not to be changed in place."""
        return _matrices(self, (int(shape_hw[0]), int(shape_hw[1])), torch.device(device), dtype)

    def on_axes(self, image_hw: Shape) -> tuple[Matrix, Matrix]:
        return self.axis_matrix(0, image_hw[0]), self.axis_matrix(1, image_hw[1])

    def A(self, x: Tensor) -> Tensor:
        ky, kx = self.matrices(check_batch(x), x.device, x.dtype)
        return ky @ x @ kx.T  # (B, C, h, w)

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        ky, kx = self.matrices(self._checked_shape(y, shape), y.device, y.dtype)
        return ky.T @ y @ kx  # (B, C, H, W)

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        """Tikhonov inverse, exact; a singular value below N eps(dtype) of an axis' largest one counts as zero."""
        check_ratio(noise_to_signal)
        shape = self._checked_shape(y, shape)
        ay, ax = _decomposition(self, shape, y.device, y.dtype)
        s = torch.outer(ay.s, ax.s)
        gain = torch.where(s > 0, s / (s.square() + noise_to_signal), 0.0)  # (ky, kx)
        return ay.v @ (gain * (ay.u.T @ y @ ax.u)) @ ax.v.T  # (B, C, H, W)

    def _checked_shape(self, y: Tensor, shape: Shape | None) -> Shape:
        shape = self.image_shape(check_batch(y)) if shape is None else (int(shape[0]), int(shape[1]))
        check_batch(y, self.observed_shape(shape))
        return shape


class _Axis(NamedTuple):
    u: Tensor  # (n, k)
    s: Tensor  # (k,), 0 where it is too small to be inverted
    v: Tensor  # (N, k)


def _constant(array: Matrix, device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # a cached inference tensor could not be used in a later gradient
        return torch.from_numpy(np.ascontiguousarray(array)).to(dtype).to(device)


@lru_cache(maxsize=32)
def _matrices(operator: Separable, shape: Shape, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    ky, kx = (_constant(operator.axis_matrix(axis, shape[axis]), device, dtype) for axis in (0, 1))
    return ky, kx


@lru_cache(maxsize=8)
def _decomposition(operator: Separable, shape: Shape, device: torch.device, dtype: torch.dtype) -> tuple[_Axis, _Axis]:
    axes = []
    for axis in (0, 1):
        matrix = operator.axis_matrix(axis, shape[axis])
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        s[s < max(matrix.shape) * torch.finfo(dtype).eps * s[0]] = 0.0
        axes.append(_Axis(*(_constant(part, device, dtype) for part in (u, s, vt.T))))
    return axes[0], axes[1]
