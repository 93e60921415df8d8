"""Compose: one corruption after the other, and Identity, the one that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_brgm.corruptions.conjugate_gradient import tikhonov_inverse
from napari_brgm.corruptions.corruption import LinearOperator, Shape, check_batch, check_ratio
from napari_brgm.corruptions.foreign import as_corruption
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

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

    def on_axes(self, image_hw: Shape) -> tuple[None, None]:
        return None, None

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


class Compose(LinearOperator):
    """Apply the parts from left to right: ``Compose(f, g)(x) = g(f(x))``, as they happened to the image.

    A single part composed is that part, and parts that are compositions are taken apart: ``Compose(f, Compose(g, h))``
    is ``Compose(f, g, h)``. `Identity` beside others is left out. Compositions of the same parts are equal.

    The adjoint runs through the parts in reverse; ``A_dagger`` is iterative (see `tikhonov_inverse`). Both need every
    part to be linear. Several parts may amplify noise together, so that their inverse is regularised in inference
    (``well_posed`` is false), and they are never said to be plain means (``averages`` is false), even where they are.

    Parameters
    ----------
    *parts : Corruption
        At least one; operators of other libraries too (see `as_corruption`).

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
    >>> Compose(Downsample(2))
    Downsample(factor=2, kernel='area')
    """

    __slots__ = ("parts",)
    parts: tuple[LinearOperator, ...]

    def __new__(cls, *parts: Any) -> LinearOperator:  # type: ignore[misc]
        if not parts:
            raise InputError("Compose needs at least one corruption")
        flat: list[LinearOperator] = []
        for part in map(as_corruption, parts):
            flat += part.parts if isinstance(part, Compose) else (part,)
        flat = [part for part in flat if type(part) is not Identity] or flat[:1]
        if len(flat) == 1:
            return flat[0]
        made = super().__new__(cls)
        made.parts = tuple(flat)
        return made

    def __getnewargs__(self) -> tuple[LinearOperator, ...]:
        return self.parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Compose) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash((Compose, self.parts))

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.parts))})"

    @property
    def linear(self) -> bool:
        return all(part.linear for part in self.parts)

    @property
    def exact(self) -> bool:
        return all(part.exact for part in self.parts)

    @property
    def iterative(self) -> bool:
        return True

    @property
    def adds_noise(self) -> bool:
        return any(part.adds_noise for part in self.parts)

    def coarsens(self, observed_hw: Shape) -> tuple[float, float]:
        sizes = accumulate(reversed(self.parts), lambda size, part: part.image_shape(size), initial=observed_hw)
        each = [part.coarsens(size) for part, size in zip(reversed(self.parts), sizes, strict=False)]
        rows, columns = zip(*each, strict=True)
        return prod(rows), prod(columns)

    def hidden(self, observed_hw: Shape) -> Tensor | None:
        """Where nothing arrives: what a part hides, but for what later parts fill from around it."""
        sizes = list(accumulate(reversed(self.parts), lambda size, part: part.image_shape(size), initial=observed_hw))
        found: Tensor | None = None
        for part, size in zip(self.parts, reversed(sizes[:-1]), strict=True):
            each = [part.hidden(size), None if found is None else part.blinded(found)]  # refuses a mask of another size
            found = reduce(torch.logical_or, known) if (known := [one for one in each if one is not None]) else None
        return found if found is not None and bool(found.any()) else None

    def kept(self, image_hw: Shape) -> Tensor | None:
        """Where every part keeps the pixel; nowhere if one changes the size."""
        found = None
        for part in self.parts:
            own = part.kept(image_hw) if part.observed_shape(image_hw) == image_hw else None
            if own is None:
                return None
            found = own if found is None else found & own
        return found

    def observed_channels(self, channels: int) -> int:
        return reduce(lambda count, part: part.observed_channels(count), self.parts, channels)

    def noise_in(self, observation: npt.NDArray[Any]) -> float | None:
        """That of the last part that knows one: what comes after it is taken not to change it."""
        known = (part.noise_in(observation) for part in reversed(self.parts))
        return next((noise for noise in known if noise is not None), None)

    def A(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part.A(x)
        return x

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        self._check_linear("A_adjoint")
        shape = self.image_shape(check_batch(y)) if shape is None else shape
        shapes = list(accumulate(self.parts, lambda size, part: part.observed_shape(size), initial=shape))
        check_batch(y, shapes[-1])
        for part, size in zip(reversed(self.parts), reversed(shapes[:-1]), strict=True):
            y = part.A_adjoint(y, size)
        return y

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        self._check_linear("A_dagger")
        check_ratio(noise_to_signal)
        return tikhonov_inverse(self.A, lambda r: self.A_adjoint(r, shape), y, noise_to_signal)

    def observed_shape(self, shape_hw: Shape) -> Shape:
        return reduce(lambda size, part: part.observed_shape(size), self.parts, shape_hw)

    def image_shape(self, observed_hw: Shape) -> Shape:
        return reduce(lambda size, part: part.image_shape(size), reversed(self.parts), observed_hw)

    def describe(self) -> dict[str, Any]:
        return {"name": "Compose", "parts": [part.describe() for part in self.parts]}

    def _check_linear(self, wanted: str) -> None:
        for part in self.parts:
            if not part.linear:
                raise InputError(f"{part!r} is not linear, so this Compose has no {wanted}")
