"""One image file, png, jpg or tif, to grey levels or colours; nothing in it is trusted."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from napari_brgm.errors import ScanError

__all__ = ["SUFFIXES", "Pixels", "decode_image"]

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF", "tiff": "TIFF"}
SUFFIXES = tuple(_FORMATS)

_MOST_PIXELS = 1 << 26  # 8192 x 8192: four times a chest X-ray detector
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0  # TIFF tag
_GREY = ("L", "LA", "1")
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # more than 8 bits of grey


def decode_image(data: bytes, name: str) -> Pixels:
    """Decode an image.

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
    kind = _FORMATS[name.rsplit(".", 1)[-1].lower()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata that Pillow mends, and its own milder warning about size
        try:
            with Image.open(io.BytesIO(data), formats=(kind,)) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise ScanError(f"{name} has {image.width} x {image.height} pixels; shrink it below 8192 x 8192")
                if kind == "TIFF" and _has_pages(image):
                    raise ScanError(f"{name} holds several pages; save each as an image of its own")
                return _pixels(image, name)
        except ScanError:
            raise
        except Image.DecompressionBombError as error:
            raise ScanError(f"{name} has too many pixels; shrink it below 8192 x 8192") from error
        except Exception as error:  # Pillow raises almost anything on damaged bytes
            raise ScanError(f"{name} is not a readable {kind} file; replace it or leave it out") from error


def _has_pages(image: Image.Image) -> bool:
    try:
        image.seek(1)
    except EOFError:
        image.seek(0)
        return False
    return True


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
