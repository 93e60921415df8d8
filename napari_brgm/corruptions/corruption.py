"""What every corruption f offers, named as in deepinv so that either library's operators can be passed.

y = A x        A' : <A x, y> = <x, A' y>        A^+ y = A' (A A' + r I)^-1 y   (r = 0: Moore-Penrose)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.corruptions.kernels import Matrix

__all__ = ["Corruption", "LinearCorruption", "LinearOperator", "Shape", "check_batch", "check_ratio"]

Shape = tuple[int, int]  # (rows, columns) of an image
_NOTHING = 1e-3


@runtime_checkable
class Corruption(Protocol):
    """f: clean images (B, C, H, W) -> observations (B, C', h, w), differentiable.

    The engine also asks the questions that ``LinearOperator`` answers; a corruption that is not linear subclasses it
    too, and says ``linear = False``.
    """

    @property
    def linear(self) -> bool:
        """Whether A is linear, so that A_adjoint and A_dagger exist."""

    def A(self, x: Tensor) -> Tensor:
        """Corrupt x (B, C, H, W)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Do the same as A."""

    def observed_shape(self, shape_hw: Shape) -> Shape:
        """Size (h, w) of the observation of an image of this size."""

    def image_shape(self, observed_hw: Shape) -> Shape:
        """Size (H, W) of the clean image that is looked for, given the size of the observation."""

    def describe(self) -> dict[str, Any]:
        """Name and parameters as plain values, for provenance."""


@runtime_checkable
class LinearCorruption(Corruption, Protocol):
    """A linear f, with its adjoint and its pseudo-inverse."""

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        """Apply A' to y; ``shape`` (H, W) of the result, where several sizes would fit."""

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        """Compute A' (A A' + r I)^-1 y with r = ``noise_to_signal``, a ratio of variances; 0 is the pseudo-inverse."""


class LinearOperator(ABC):
    """Base of the linear corruptions, with what the engine asks of each; most answers are those of a plain blur.

    Those that change the size or the channels of an image override the methods that say so.
    """

    __slots__ = ()

    @property
    def linear(self) -> bool:
        return True

    @property
    def exact(self) -> bool:
        """Whether y = A x up to small noise, so that a restored x is made to fit y; else y is to be cleaned."""
        return True

    @property
    def iterative(self) -> bool:
        """Whether A^+ is `tikhonov_inverse` of A and A', so that whoever waits for it may run that by himself."""
        return False

    @property
    def adds_noise(self) -> bool:
        """Whether f is noise more than blur (JPEG): what was measured of blurred pixels says nothing of it."""
        return False

    @property
    def averages(self) -> bool:
        """Whether observed pixels are plain means of equal numbers of image pixels, and nothing else happened."""
        return False

    def well_posed(self, observed_hw: Shape) -> bool:
        """Whether A^+ of an observation (h, w) hardly amplifies what little noise there is; else it is regularised."""
        return False

    def coarsens(self, observed_hw: Shape) -> tuple[float, float]:
        """Image pixels in an observed one of (h, w), along rows and columns; exact where sizes are rounded."""
        rows, columns = (n / m for n, m in zip(self.image_shape(observed_hw), observed_hw, strict=True))
        return rows, columns

    def hidden(self, observed_hw: Shape) -> Tensor | None:
        """Pixels of an observation (h, w) that hold nothing, bool on the CPU; None: there are none.

        Raises
        ------
        InputError
            Observations of this size cannot be.
        """
        return None

    def blinded(self, hidden: Tensor) -> Tensor:
        """Where f leads nothing of an image whose pixels ``hidden`` ([C,] H, W) hold nothing: bool ([C',] h, w).

        Nothing: less than a thousandth of what a pixel holds elsewhere.
        """
        seen = (~hidden).reshape(1, -1, *hidden.shape[-2:])
        some = torch.rand(seen.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1
        found = self.A(some * seen).abs() <= _NOTHING * self.A(some).abs().max()
        return found[0, 0] if hidden.ndim == 2 else found[0]

    def on_axes(self, image_hw: Shape) -> tuple[Matrix | None, Matrix | None] | None:
        """Row and column matrices (h, H), (w, W) of f of images (H, W), hidden pixels apart; None in place of the
        identity, and None alone where f does not act on rows and columns apart.
        """
        return None

    def kept(self, image_hw: Shape) -> Tensor | None:
        """Pixels of an image (H, W) that the observation holds as they are, bool on the CPU; None: there are none."""
        return None

    def observed_channels(self, channels: int) -> int:
        """Channels of the observation of an image with so many."""
        return channels

    def noise_in(self, observation: npt.NDArray[Any]) -> float | None:
        """Noise that f itself put into an observation (h, w) of grey levels 0..255, there; None: none that it knows.

        Asked of an f that ``adds_noise``.
        """
        return None

    @abstractmethod
    def A(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor: ...

    @abstractmethod
    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor: ...

    @abstractmethod
    def describe(self) -> dict[str, Any]: ...

    def __call__(self, x: Tensor) -> Tensor:
        return self.A(x)

    def observed_shape(self, shape_hw: Shape) -> Shape:
        return shape_hw

    def image_shape(self, observed_hw: Shape) -> Shape:
        return observed_hw


def check_batch(x: Tensor, shape: Shape | None = None) -> Shape:
    """Rows and columns of x.

    Raises
    ------
    InputError
        x is not a floating (B, C, H, W) tensor, or its (H, W) is not ``shape``.
    """
    if x.ndim != 4 or not x.is_floating_point():
        raise InputError(f"a corruption takes a float tensor (B, C, H, W), got {tuple(x.shape)} of {x.dtype}")
    rows, columns = x.shape[-2:]
    if shape is not None and (rows, columns) != tuple(shape):
        raise InputError(f"this corruption expects images of {shape[0]} x {shape[1]} pixels, got {rows} x {columns}")
    return rows, columns


def check_ratio(noise_to_signal: float) -> None:
    """Refuse a ratio of variances that is negative or not finite."""
    if not (math.isfinite(noise_to_signal) and noise_to_signal >= 0):
        raise InputError(f"noise_to_signal must be 0 or above, got {noise_to_signal}")
