"""The brain slices of the measuring stick: a zip of JPEG files -> the 128 frame.

Archives hold ``subject-NNN/slice-ZZ.jpg``, axial T1, 208 rows x 176 columns, 1 mm. The frame is 8 zero columns on each
side, rows 8..199, then bilinear with antialias to 128 x 128 (1.5 mm), grey levels 0..255.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.datasets.framing import Framing
from napari_brgm.datasets.image_archive import ImageArchive
from napari_brgm.errors import InputError, ScanError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["FRAME", "PROTOCOL_STRIDE", "Slices", "read_brain_slices", "to_frame", "validation_slices"]

FRAME = 128  # pixels
PROTOCOL_STRIDE = 13  # slices 0, 13, 26, ... of the 640 in name order: 50
_QUICK_STRIDE = 7  # of those 50: 8
_NATIVE = (208, 176)  # rows, columns
_NATIVE_MM = (1.0, 1.0)
_FRAMING = Framing(FRAME, 1.5)
_NAME = re.compile(r"subject-(\d+)/slice-(\d+)\.jpe?g$")


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """Slices in the 128 frame.

    Attributes
    ----------
    images : (N, 128, 128) ndarray, float32
        Grey levels 0..255.
    keys : tuple of (subject, slice)
        Numbers in the file names, in the order of ``images``.
    """

    images: npt.NDArray[np.float32]
    keys: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, pick: slice) -> Slices:
        return Slices(self.images[pick], self.keys[pick])


def to_frame(native: npt.NDArray[np.number[Any]]) -> npt.NDArray[np.float32]:
    """Bring slices (..., 208, 176) into the frame (..., 128, 128); same units."""
    array = np.asarray(native, dtype=np.float32)
    if array.shape[-2:] != _NATIVE:
        raise InputError(f"slices must have {_NATIVE[0]} rows and {_NATIVE[1]} columns, got {array.shape[-2:]}")
    return _FRAMING.apply(array, _NATIVE_MM)


def read_brain_slices(path: Path, stride: int = 1) -> Slices:
    """Read every ``stride``-th slice of an archive, in name order.

    Parameters
    ----------
    path : Path
        ``brain_train.zip`` or ``brain_validation.zip``, or a folder with its content.
    stride : int
        1 for all slices.

    Raises
    ------
    ScanError
        The archive is missing, is no zip or folder, holds no slices, or holds one that is not a 208 x 176 grey image.
    """
    with ImageArchive(path) as archive:
        chosen = [name for name in archive.names if _NAME.search(name)][::stride]
        if not chosen:
            raise ScanError(f"{path} holds no subject-NNN/slice-ZZ.jpg; give one of the brain archives")
        images = np.empty((len(chosen), FRAME, FRAME), np.float32)
        for i, name in enumerate(chosen):
            pixels = archive.pixels(name)
            if pixels.shape != _NATIVE:
                raise ScanError(f"{name} has shape {pixels.shape}, expected {_NATIVE}; give one of the brain archives")
            images[i] = to_frame(pixels)
    return Slices(images, tuple(_key(name) for name in chosen))


def validation_slices(path: Path, *, quick: bool = False) -> Slices:
    """Read the protocol's 50 slices of ``brain_validation.zip``, or 8 of them when ``quick``."""
    slices = read_brain_slices(path, PROTOCOL_STRIDE)
    return slices[::_QUICK_STRIDE] if quick else slices


def _key(name: str) -> tuple[int, int]:
    match = _NAME.search(name)
    assert match is not None  # filtered by the caller
    return int(match[1]), int(match[2])
