"""Mixtures of channels: colour seen as gray, and thick slices as weighted sums of thin ones.

y_i = sum_c M_ic x_c        of each pixel; the slices of a stack are the channels of one image (B, K, H, W)
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_brgm.corruptions.corruption import LinearOperator, Shape, check_batch, check_ratio
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Grayscale", "Mixture"]

_REC601 = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601-7, Sec. 2.5.1


class Mixture(LinearOperator):
    """Weighted sums of channels: (B, K, H, W) -> (B, n, H, W).

    Parameters
    ----------
    matrix : (n, K) array-like
        M, dimensionless: a row for each observed channel, or thick slice.

    Raises
    ------
    InputError
        The matrix holds something else than finite numbers, or a row of zeros.

    Examples
    --------
    >>> import torch
    >>> thick = Mixture([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])  # two slices of 2 mm from four of 1 mm
    >>> thick(torch.arange(4.0).reshape(1, 4, 1, 1)).flatten().tolist()
    [0.5, 2.5]
    """

    __slots__ = ("matrix",)

    def __init__(self, matrix: Sequence[Sequence[float]] | Tensor) -> None:
        self.matrix = torch.as_tensor(matrix, dtype=torch.float64)
        usable = self.matrix.ndim == 2 and torch.isfinite(self.matrix).all()
        if not (usable and self.matrix.numel() and (self.matrix != 0).any(dim=1).all()):
            raise InputError("a mixture needs a matrix (n, K) of finite numbers with no row of zeros")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.matrix.tolist()})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and torch.equal(self.matrix, other.matrix)  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.matrix.flatten().tolist())))

    def blinded(self, hidden: Tensor) -> Tensor:
        found = super().blinded(hidden.expand(self.matrix.shape[1], -1, -1))
        return found[0] if hidden.ndim == 2 else found

    def observed_channels(self, channels: int) -> int:
        if channels != self.matrix.shape[1]:
            raise InputError(f"{type(self).__name__} expects {self.matrix.shape[1]} channel(s) here, got {channels}")
        return int(self.matrix.shape[0])

    def A(self, x: Tensor) -> Tensor:
        check_batch(x)
        self.observed_channels(x.shape[1])
        return torch.einsum("nk,bkhw->bnhw", self.matrix.to(x), x)

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        self._check_observed(y, shape)
        return torch.einsum("nk,bnhw->bkhw", self.matrix.to(y), y)

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        check_ratio(noise_to_signal)
        self._check_observed(y, shape)
        normal = self.matrix @ self.matrix.T + noise_to_signal * torch.eye(len(self.matrix), dtype=torch.float64)
        inverse = self.matrix.T @ torch.linalg.pinv(normal, hermitian=True)  # (K, n)
        return torch.einsum("kn,bnhw->bkhw", inverse.to(y), y)

    def describe(self) -> dict[str, Any]:
        return {"name": "Mixture", "matrix": self.matrix.tolist()}

    def _check_observed(self, y: Tensor, shape: Shape | None) -> None:
        check_batch(y, shape)
        if y.shape[1] != len(self.matrix):
            raise InputError(f"{type(self).__name__} expects {len(self.matrix)} channel(s) here, got {y.shape[1]}")


class Grayscale(Mixture):
    """Weighted sum of red, green and blue: (B, 3, H, W) -> (B, 1, H, W).

    Parameters
    ----------
    weights : (red, green, blue)
        Dimensionless; by default the luma of Rec. 601.

    Raises
    ------
    InputError
        ``weights`` are not three finite numbers, or all are 0.

    Examples
    --------
    >>> import torch
    >>> Grayscale()(torch.ones(2, 3, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """

    __slots__ = ()

    def __init__(self, weights: tuple[float, float, float] = _REC601) -> None:
        if len(weights) != 3 or not all(map(math.isfinite, weights)) or not any(weights):
            raise InputError(f"weights must be three finite numbers (red, green, blue), got {weights!r}")
        super().__init__([list(weights)])

    @property
    def weights(self) -> tuple[float, float, float]:
        red, green, blue = self.matrix[0].tolist()
        return red, green, blue

    def __repr__(self) -> str:
        return f"Grayscale(weights={self.weights})"

    def describe(self) -> dict[str, Any]:
        return {"name": "Grayscale", "weights": list(self.weights)}
