"""Picture: one slice in a PNG, JPEG or TIFF file. It has pixels, and neither a place in a patient nor a size.

Resolution tags (dots an inch) are not read: they say how large a picture is printed, 72 or 96 for want of anything
better, and hardly ever how large a pixel is in the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import ScanError
from napari_brgm.scans.picture_file import MOST_BYTES, opened_picture, orientation_of, picture_kind, upright

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Picture", "read_picture"]

_GREY = ("L", "1")
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
_OTHER = ("CMYK", "YCbCr", "LAB", "HSV")
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # TIFF tags
_WHITE_IS_ZERO = 0
_UNSIGNED = 1
_ADVICE = "save it with 8 or 16 bits, or as TIFF of 32-bit floats"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture as it is meant to be seen.

    Attributes
    ----------
    pixels : (H, W) or (H, W, 3) ndarray
        As stored: uint8 (colours always), uint16, int32 or float32. Three channels that agree are grey.
    name : str
        Of the file, without its suffix.
    kind : {'PNG', 'JPEG', 'TIFF'}
    notes : tuple of str
        Sentences about what was done to it, for the person at the screen.
    transparent : int
        How many pixels are not opaque; ``pixels`` has what is stored there.
    file : str
        Name of the file.
    """

    pixels: npt.NDArray[Any]
    name: str
    kind: str
    notes: tuple[str, ...] = ()
    transparent: int = 0
    file: str = ""

    @property
    def units(self) -> str:
        return "grey levels" if self.pixels.ndim == 2 else "colour levels"


def read_picture(path: str | Path) -> Picture:
    """Read a PNG, JPEG or TIFF file of one page; the content decides, not the suffix.

    An orientation in its EXIF data is applied, and the notes say so. Palettes become the levels that they stand for.

    Raises
    ------
    ScanError
        It cannot be read, is larger than 256 MB or 2^26 pixels, holds several pages, or what cannot be kept bit for
        bit: more than 8 bits a colour, CMYK and other inks, white as 0 in more than 8 bits, integers beyond 2^31.
    """
    path = Path(path)
    if not path.is_file():
        raise ScanError(f"there is no file {path.name}; check the path")
    if path.stat().st_size > MOST_BYTES:
        raise ScanError(f"{path.name} is larger than {MOST_BYTES >> 20} MB; cut out the part to restore")
    data = path.read_bytes()
    kind = picture_kind(data)
    if kind is None:
        raise ScanError(f"{path.name} does not begin as a PNG, JPEG or TIFF file does; save the picture again")
    with opened_picture(data, path.name, (kind,), _ADVICE) as image:
        orientation = orientation_of(image)
        _check_depth(image, data, path.name)
        transparent = _transparent(image)
        pixels = _pixels(image, path.name)
        if kind != "TIFF":  # which Pillow turns by itself
            pixels = upright(pixels, orientation)
    if pixels.ndim == 3 and not (pixels != pixels[..., :1]).any():
        pixels = np.ascontiguousarray(pixels[..., 0])
    notes = []
    if orientation != 1:
        notes.append(f"{path.name} was turned upright, as its EXIF orientation ({orientation}) says; so is the result")
    if transparent:
        notes.append(
            f"{transparent} pixels of {path.name} are transparent: the levels stored there are taken as they are, and "
            "the result is opaque"
        )
    return Picture(pixels, path.name.rsplit(".", 1)[0], kind, tuple(notes), transparent, path.name)


def _check_depth(image: Image.Image, data: bytes, name: str) -> None:
    """Refuse what Pillow would silently read with 8 of its bits, or turned round."""
    tags: Any = image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]
    bits = max(np.ravel(tags.get(_BITS, 1))) if tags else data[24] if image.format == "PNG" else 8
    signed = tags and tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] != _UNSIGNED
    plain = image.mode in (*_GREY, *_DEEP, "I", "F")
    grey_png = image.format != "PNG" or data[25] == 0  # with alpha (4) Pillow keeps 8 bits
    if bits > 8 and not (plain and grey_png):
        raise ScanError(
            f"{name} has {bits} bits a channel, which is read for grey without transparency alone; save it as grey of "
            "16 bits, or with 8 bits a colour"
        )
    if bits == 8 and signed:
        raise ScanError(f"{name} holds signed values of 8 bits; save it with 16 bits, or as 32-bit floats")
    if bits > 8 and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise ScanError(f"{name} stores white as 0; save it with black as 0")  # Pillow turns only 8 bits round
    if image.mode in _OTHER:
        raise ScanError(f"{name} is a picture in {image.mode}; save it as grey or RGB")


def _transparent(image: Image.Image) -> int:
    """Number of pixels that are not opaque."""
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return 0
    return int((np.array(image.convert("RGBA"))[..., 3] != 255).sum())


def _pixels(image: Image.Image, name: str) -> npt.NDArray[Any]:
    if image.mode in _GREY or image.mode in ("LA", "La"):
        return np.array(image.convert("LA" if image.mode == "La" else image.mode).convert("L"))
    if image.mode in _DEEP:
        return np.array(image).astype(np.uint16)
    if image.mode == "I":
        values: npt.NDArray[Any] = np.array(image)
        if image.format != "TIFF":
            return values.astype(np.uint16)  # 16-bit PNG, in older versions of Pillow
        tags: Any = image.tag_v2  # type: ignore[attr-defined]
        if tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0] == _UNSIGNED and values.min() < 0:
            raise ScanError(f"{name} holds integers beyond 2^31; save it with 16 bits, or as 32-bit floats")
        return values.astype(np.int32)
    if image.mode == "F":
        return np.array(image).astype(np.float32)
    return np.array(image.convert("RGBA" if image.mode in ("PA", "P", "RGBa") else image.mode).convert("RGB"))
