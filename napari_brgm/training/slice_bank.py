"""Training slices on the device, as they were stored; batches become float32 there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["SliceArray", "SliceBank"]

_SMALLEST, _LARGEST = 8, 1024  # sides


class SliceArray(Protocol):
    """What training asks of a ``SliceSet`` (datasets/slice_set.py)."""

    @property
    def images(self) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
        """(N, C, R, R)."""
        ...

    @property
    def white(self) -> int:
        """Grey level that is +1."""
        ...


class SliceBank:
    """Slices of which batches are drawn.

    Parameters
    ----------
    slices : SliceArray
    device : torch.device
    mirror : bool
        Half of the drawn slices are reflected left to right.

    Raises
    ------
    InputError
        The slices cannot be trained on.
    """

    def __init__(self, slices: SliceArray, device: torch.device, mirror: bool = False) -> None:
        images = slices.images
        shape = images.shape
        if images.dtype not in (np.uint8, np.uint16):
            raise InputError(f"slices must be 8- or 16-bit unsigned integers, got {images.dtype}; convert them first")
        if len(shape) != 4 or shape[1] not in (1, 3) or shape[2] != shape[3]:
            raise InputError(f"slices must be (N, 1 or 3, R, R), got {shape}; put them into a square frame")
        if shape[2] & (shape[2] - 1) or not _SMALLEST <= shape[2] <= _LARGEST:
            raise InputError(
                f"slices of {shape[2]} pixels cannot be trained on; choose a frame of a power of two, "
                f"{_SMALLEST} to {_LARGEST}"
            )
        if len(images) == 0 or images.min() == images.max():
            raise InputError("the slices are empty or all of one grey level; check the folder and the intensity window")
        self.half_white = slices.white / 2
        signed = images.view(np.int16) if images.dtype == np.uint16 else images  # few kernels take uint16
        self.images = torch.from_numpy(np.ascontiguousarray(signed)).to(device)
        self.mirror = mirror

    def __len__(self) -> int:
        return len(self.images)

    @property
    def resolution(self) -> int:
        return self.images.shape[-1]

    @property
    def channels(self) -> int:
        return self.images.shape[1]

    def take(self, index: Tensor) -> Tensor:
        """Slices (B, C, R, R) in [-1, 1], float32, of an index (B,)."""
        found = self.images[index].to(torch.int32) & 0xFFFF
        return found.float() / self.half_white - 1

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Random slices (n, C, R, R), with replacement."""
        device = self.images.device
        found = self.take(torch.randint(0, len(self), (n,), device=device, generator=generator))
        if not self.mirror:
            return found
        turned = torch.rand(n, 1, 1, 1, device=device, generator=generator) < 0.5
        return torch.where(turned, found.flip(-1), found)
