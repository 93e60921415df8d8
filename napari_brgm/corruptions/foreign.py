"""Operators of others as corruptions: deepinv's ``LinearPhysics``, for instance, or a class with the bare protocol."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from napari_brgm.corruptions.conjugate_gradient import tikhonov_inverse
from napari_brgm.corruptions.corruption import Corruption, LinearOperator, Shape, check_ratio
from napari_brgm.errors import InputError

__all__ = ["Foreign", "as_corruption"]

_WANTED = ("A", "A_adjoint", "A_dagger")


class Foreign(LinearOperator):
    """An operator that acts, and may say more; sizes that it does not tell are found by acting on zeros.

    Parameters
    ----------
    operator : object
        With ``A`` (B, C, H, W) -> (B, C', h, w), ``A_adjoint`` back and ``A_dagger``, linear and batched; its
        regularised inverse is found from A and A' (see `tikhonov_inverse`). Or a ``Corruption``, linear or not.
    """

    __slots__ = ("operator",)

    def __init__(self, operator: Any) -> None:
        self.operator = operator

    def __repr__(self) -> str:
        return f"Foreign({type(self.operator).__name__})"

    @property
    def linear(self) -> bool:
        return bool(getattr(self.operator, "linear", True))

    @property
    def exact(self) -> bool:
        return bool(getattr(self.operator, "exact", True))

    @property
    def iterative(self) -> bool:
        return True  # where it is regularised

    def hidden(self, observed_hw: Shape) -> Tensor | None:
        """As the operator tells it; else where a linear one makes 0 of whatever it is given."""
        if callable(told := getattr(self.operator, "hidden", None)):
            found: Tensor | None = told(observed_hw)
            return found
        if not self.linear:
            return None
        rows, columns = self.image_shape(observed_hw)
        noise = torch.rand(1, 1, rows, columns, generator=torch.Generator().manual_seed(0)) + 1
        try:
            with torch.no_grad():
                empty = (self.operator.A(noise) == 0).all(dim=1)[0]  # (h, w)
        except Exception:  # one that takes other channels, or is fussy: nothing is known
            return None
        return empty if bool(empty.any()) and not bool(empty.all()) else None

    def A(self, x: Tensor) -> Tensor:
        found: Tensor = self.operator.A(x)
        return found

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        found: Tensor = self.operator.A_adjoint(y)
        return found

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        check_ratio(noise_to_signal)
        if noise_to_signal:
            return tikhonov_inverse(self.A, self.A_adjoint, y, noise_to_signal)
        found: Tensor = self.operator.A_dagger(y)
        return found

    def observed_shape(self, shape_hw: Shape) -> Shape:
        return self._shape("observed_shape", self.operator.A, shape_hw)

    def image_shape(self, observed_hw: Shape) -> Shape:
        return self._shape("image_shape", getattr(self.operator, "A_adjoint", None), observed_hw)

    def describe(self) -> dict[str, Any]:
        if callable(told := getattr(self.operator, "describe", None)):
            return dict(told())
        kind = type(self.operator)
        return {"name": kind.__name__, "module": kind.__module__}

    def _shape(self, name: str, action: Any, shape: Shape) -> Shape:
        if callable(told := getattr(self.operator, name, None)):
            rows, columns = told(shape)
            return int(rows), int(columns)
        try:
            with torch.no_grad():
                rows, columns = action(torch.zeros(1, 1, *shape)).shape[-2:]
        except Exception as error:  # whatever another library raises
            size = f"{shape[0]} x {shape[1]}"
            raise InputError(f"{type(self.operator).__name__} cannot be applied to {size} pixels: {error}") from error
        return int(rows), int(columns)


def as_corruption(operator: Any) -> LinearOperator:
    """Give a corruption of ours as it is, and another's operator as one.

    Raises
    ------
    InputError
        It is neither: it lacks A, A_adjoint or A_dagger.
    """
    if isinstance(operator, LinearOperator):
        return operator
    lacking = [name for name in _WANTED if not callable(getattr(operator, name, None))]
    if lacking and not isinstance(operator, Corruption):
        raise InputError(f"{operator!r} is not a corruption: it lacks {', '.join(lacking)}")
    return Foreign(operator)
