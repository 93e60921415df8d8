"""Pictures to files: every measured level as it was, in a format that loses none. Never JPEG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_brgm.errors import OutputError
from napari_brgm.lossless import as_type
from napari_brgm.reason import reason_of
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["write_encoded", "write_levels", "write_picture"]

_DESCRIPTION = 270  # TIFF tag


def write_picture(path: Path, values: npt.NDArray[Any], kind: npt.DTypeLike, notice: str) -> None:
    """Write values in the number type of the picture that they restore; to a PNG or TIFF file, as the suffix says.

    Parameters
    ----------
    path : Path
        Ends in .png or .tif.
    values : (H, W) or (H, W, 3) ndarray
        In levels. For a type of integers they are rounded, and brought within its range.
    kind : dtype
        uint8, which colours have; for grey uint16 too, and in TIFF int32 and float32.
    notice : str
        Written into the file, as its description.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    _save(path, [Image.fromarray(as_type(values, kind))], notice)


def write_levels(path: Path, values: npt.NDArray[Any], notice: str) -> None:
    """Write real numbers (H, W) as a TIFF file of 32-bit floats; (H, W, 3) as one of three pages, red, green and blue.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    planes = [values] if values.ndim == 2 else list(np.moveaxis(values, -1, 0))
    _save(path, [Image.fromarray(np.ascontiguousarray(plane, np.float32)) for plane in planes], notice)


def write_encoded(path: Path, content: bytes | memoryview) -> None:
    """Write the bytes of a picture.

    Raises
    ------
    OutputError
        With the system's reason.
    """
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OutputError(f"cannot write {plain_text(path.name)}: {reason_of(error)}") from error


def _save(path: Path, pages: list[Image.Image], notice: str) -> None:
    first, *others = pages
    encoded = io.BytesIO()  # Pillow, writing to a full disk, says 'encoder error'
    if path.suffix == ".png":
        text = PngInfo()
        text.add_text("Description", plain_text(notice))
        first.save(encoded, "PNG", pnginfo=text)
    else:
        tags = {_DESCRIPTION: plain_text(notice)}
        first.save(encoded, "TIFF", save_all=bool(others), append_images=others, tiffinfo=tags)
    write_encoded(path, encoded.getbuffer())
