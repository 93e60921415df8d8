"""Grayscale: colour seen as one channel, y = sum_c w_c x_c."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.corruptions.corruption import LinearOperator, Shape, check_batch, check_ratio
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Grayscale"]

_REC601 = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601-7, Sec. 2.5.1


@dataclass(frozen=True, slots=True)
class Grayscale(LinearOperator):
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

    weights: tuple[float, float, float] = _REC601

    def __post_init__(self) -> None:
        if len(self.weights) != 3 or not all(map(math.isfinite, self.weights)) or not any(self.weights):
            raise InputError(f"weights must be three finite numbers (red, green, blue), got {self.weights!r}")

    def A(self, x: Tensor) -> Tensor:
        check_batch(x)
        _check_channels(x, 3)
        red, green, blue = self.weights
        return red * x[:, 0:1] + green * x[:, 1:2] + blue * x[:, 2:3]  # (B, 1, H, W)

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        check_batch(y, shape)
        _check_channels(y, 1)
        return y.new_tensor(self.weights)[:, None, None] * y  # (B, 3, H, W)

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        check_ratio(noise_to_signal)
        return self.A_adjoint(y, shape) / (sum(w * w for w in self.weights) + noise_to_signal)

    def describe(self) -> dict[str, Any]:
        return {"name": "Grayscale", "weights": list(self.weights)}


def _check_channels(x: Tensor, channels: int) -> None:
    if x.shape[1] != channels:
        raise InputError(f"Grayscale expects {channels} channel(s) here, got {x.shape[1]}")
