"""One image file, png, jpg or tif, to grey levels or colours of training; nothing in it is trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import TiffImageFile

from napari_brgm.errors import ScanError
from napari_brgm.scans.picture_file import FORMATS, opened_picture, orientation_of, upright

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["SUFFIXES", "Pixels", "decode_image"]

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

SUFFIXES = tuple(FORMATS)

_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF tag
_GREY = ("L", "LA", "1")
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # more than 8 bits of grey


def decode_image(data: bytes, name: str) -> Pixels:
    """Decode an image, upright as its EXIF orientation says.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        What to call it in a sentence; its suffix says the format.

    Returns
    -------
    (H, W) or (H, W, 3) ndarray
        uint8; grey levels of more than 8 bits are uint16 as stored. Transparency is left out; colours are 8 bits.

    Raises
    ------
    ScanError
        It cannot be decoded, is larger than 2^26 pixels, holds several pages, or values that are no grey levels.
    """
    kind = FORMATS[name.rsplit(".", 1)[-1].lower()]
    with opened_picture(data, name, (kind,), "replace it or leave it out") as image:
        orientation = 1 if kind == "TIFF" else orientation_of(image)  # Pillow turns a TIFF by itself
        return upright(_pixels(image, name), orientation)


def _pixels(image: Image.Image, name: str) -> Pixels:
    if image.mode in _GREY:
        return np.array(image.convert("L"))
    if image.mode in _DEEP:
        if isinstance(image, TiffImageFile) and image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            raise ScanError(f"{name} stores white as 0; save it with black as 0")  # Pillow turns only 8 bits round
        values: npt.NDArray[Any] = np.array(image)
        if values.min() < 0 or values.max() > 65535:
            raise ScanError(f"{name} holds values outside 0 .. 65535; save it with 8 or 16 bits")
        return values.astype(np.uint16)
    if image.mode == "F":
        raise ScanError(f"{name} holds fractions, not grey levels; save it with 8 or 16 bits")
    return np.array(image.convert("RGBA" if image.mode == "PA" else image.mode).convert("RGB"))
