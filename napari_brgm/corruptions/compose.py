"""Compose: one corruption after the other, and Identity, the one that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from napari_brgm.corruptions.conjugate_gradient import tikhonov_inverse
from napari_brgm.corruptions.corruption import (
    Corruption,
    LinearCorruption,
    LinearOperator,
    Shape,
    check_batch,
    check_ratio,
)
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

__all__ = ["Compose", "Identity"]


@dataclass(frozen=True, slots=True)
class Identity(LinearOperator):
    """y = x: the observation differs from the image by noise only (denoising), so it is not exact.

    Examples
    --------
    >>> import torch
    >>> Identity()(torch.ones(1, 1, 1, 2)).tolist()
    [[[[1.0, 1.0]]]]
    """

    @property
    def exact(self) -> bool:
        return False

    def A(self, x: Tensor) -> Tensor:
        check_batch(x)
        return x

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        check_batch(y, shape)
        return y

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        check_ratio(noise_to_signal)
        return self.A_adjoint(y, shape) / (1 + noise_to_signal)

    def describe(self) -> dict[str, Any]:
        return {"name": "Identity"}


@dataclass(frozen=True, slots=True, init=False)
class Compose(LinearOperator):
    """Apply the parts from left to right: ``Compose(f, g)(x) = g(f(x))``, as they happened to the image.

    The adjoint runs through the parts in reverse; ``A_dagger`` is iterative (see `tikhonov_inverse`). Both need every
    part to be linear.

    Parameters
    ----------
    *parts : Corruption
        At least one.

    Raises
    ------
    InputError
        There is no part, or one is not a corruption; from A_adjoint and A_dagger, one is not linear.

    Examples
    --------
    >>> import torch
    >>> from napari_brgm.corruptions import Blur, Downsample
    >>> f = Compose(Blur(1.5), Downsample(2))
    >>> f(torch.ones(1, 1, 8, 8, dtype=torch.float64)).sum().round(decimals=6).item()
    16.0
    """

    parts: tuple[Corruption, ...]

    def __init__(self, *parts: Corruption) -> None:
        if not parts:
            raise InputError("Compose needs at least one corruption")
        for part in parts:
            if not isinstance(part, Corruption):
                raise InputError(f"{part!r} is not a corruption: it lacks A, observed_shape or describe")
        object.__setattr__(self, "parts", parts)

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.parts))})"

    @property
    def linear(self) -> bool:
        return all(part.linear for part in self.parts)

    @property
    def exact(self) -> bool:
        return all(getattr(part, "exact", True) for part in self.parts)

    def noise_in(self, observation: npt.NDArray[Any]) -> float | None:
        """That of the last part that knows one: what comes after it is taken not to change it."""
        for part in reversed(self.parts):
            noise = part.noise_in(observation) if isinstance(part, LinearOperator) else None
            if noise is not None:
                return noise
        return None

    def A(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part.A(x)
        return x

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        parts = self._linear_parts("A_adjoint")
        shape = self.image_shape(check_batch(y)) if shape is None else shape
        shapes = list(accumulate(parts, lambda size, part: part.observed_shape(size), initial=shape))
        check_batch(y, shapes[-1])
        for part, size in zip(reversed(parts), reversed(shapes[:-1]), strict=True):
            y = part.A_adjoint(y, size)
        return y

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        self._linear_parts("A_dagger")
        check_ratio(noise_to_signal)
        return tikhonov_inverse(self.A, lambda r: self.A_adjoint(r, shape), y, noise_to_signal)

    def observed_shape(self, shape_hw: Shape) -> Shape:
        for part in self.parts:
            shape_hw = part.observed_shape(shape_hw)
        return shape_hw

    def image_shape(self, observed_hw: Shape) -> Shape:
        for part in reversed(self.parts):
            observed_hw = part.image_shape(observed_hw)
        return observed_hw

    def describe(self) -> dict[str, Any]:
        return {"name": "Compose", "parts": [part.describe() for part in self.parts]}

    def _linear_parts(self, wanted: str) -> tuple[LinearCorruption, ...]:
        for part in self.parts:
            if not part.linear:
                raise InputError(f"{part!r} is not linear, so this Compose has no {wanted}")
        return cast("tuple[LinearCorruption, ...]", self.parts)
