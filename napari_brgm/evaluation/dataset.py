"""The brain slices of the measuring stick: a zip of JPEG files -> the 128 frame.

Archives hold ``subject-NNN/slice-ZZ.jpg``, axial T1, 208 rows x 176 columns, 1 mm. The frame is 8 zero columns on each
side, rows 8..199, then bilinear with antialias to 128 x 128 (1.5 mm), grey levels 0..255.
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from napari_brgm.errors import InputError, ScanError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

__all__ = ["FRAME", "PROTOCOL_STRIDE", "Slices", "read_slices", "to_frame", "validation_slices"]

FRAME = 128  # pixels
PROTOCOL_STRIDE = 13  # slices 0, 13, 26, ... of the 640 in name order: 50
_QUICK_STRIDE = 7  # of those 50: 8
_NATIVE = (208, 176)  # rows, columns
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


def to_frame(native: npt.NDArray[np.floating] | npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Bring slices (..., 208, 176) into the frame (..., 128, 128); same units."""
    array = np.asarray(native, dtype=np.float32)
    if array.shape[-2:] != _NATIVE:
        raise InputError(f"slices must have {_NATIVE[0]} rows and {_NATIVE[1]} columns, got {array.shape[-2:]}")
    square = F.pad(torch.from_numpy(array), (8, 8))[..., 8:200, :]  # (..., 192, 192)
    flat = square.reshape(-1, 1, 192, 192)
    small = F.interpolate(flat, size=(FRAME, FRAME), mode="bilinear", align_corners=False, antialias=True)
    return small.reshape(*array.shape[:-2], FRAME, FRAME).numpy()


def read_slices(path: Path, stride: int = 1) -> Slices:
    """Read every ``stride``-th slice of an archive, in name order.

    Parameters
    ----------
    path : Path
        ``brain_train.zip`` or ``brain_validation.zip``.
    stride : int
        1 for all slices.

    Raises
    ------
    ScanError
        The archive is missing, is not a zip, holds no slices, or holds one that is not a 208 x 176 grey image.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if _NAME.search(name))
            chosen = names[::stride]
            pixels = [_decode(archive.read(name), name) for name in chosen]
    except FileNotFoundError as error:
        raise ScanError(f"{path} does not exist; give the folder that holds the brain archives") from error
    except zipfile.BadZipFile as error:
        raise ScanError(f"{path} is not a readable zip archive; copy it again") from error
    if not chosen:
        raise ScanError(f"{path} holds no subject-NNN/slice-ZZ.jpg; give one of the brain archives")
    keys = tuple(_key(name) for name in chosen)
    batches = [to_frame(np.stack(pixels[i : i + 256])) for i in range(0, len(pixels), 256)]
    return Slices(np.concatenate(batches), keys)


def validation_slices(path: Path, *, quick: bool = False) -> Slices:
    """Read the protocol's 50 slices of ``brain_validation.zip``, or 8 of them when ``quick``."""
    slices = read_slices(path, PROTOCOL_STRIDE)
    return slices[::_QUICK_STRIDE] if quick else slices


def _key(name: str) -> tuple[int, int]:
    match = _NAME.search(name)
    assert match is not None  # filtered by the caller
    return int(match[1]), int(match[2])


def _decode(data: bytes, name: str) -> npt.NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image.convert("L"))
    except (UnidentifiedImageError, OSError) as error:
        raise ScanError(f"{name} is not a readable JPEG; copy the archive again") from error
    if pixels.shape != _NATIVE:
        raise ScanError(f"{name} has shape {pixels.shape}, expected {_NATIVE}; give one of the brain archives")
    return pixels
