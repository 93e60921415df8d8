"""Opening a picture file, PNG, JPEG or TIFF; nothing in it is trusted."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from napari_brgm.errors import ScanError
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["FORMATS", "MOST_BYTES", "opened_picture", "orientation_of", "picture_kind", "upright"]

FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF", "tiff": "TIFF"}
MOST_BYTES = 1 << 28  # of one file
_MOST_PIXELS = 1 << 26  # 8192 x 8192: four times a chest X-ray detector
_OPENINGS = {
    "PNG": (b"\x89PNG\r\n\x1a\n",), "JPEG": (b"\xff\xd8\xff",), "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}  # fmt: skip
_ORIENTATION = 274  # tag of EXIF and TIFF
_COMPRESSION, _PLAIN = 259, 1  # tag of TIFF


def picture_kind(head: bytes) -> str | None:
    """'PNG', 'JPEG', 'TIFF' or None, by these first bytes. A DICOM file may start like a TIFF: ask for it first."""
    return next((kind for kind, openings in _OPENINGS.items() if head.startswith(openings)), None)


@contextmanager
def opened_picture(data: bytes, name: str, formats: Sequence[str], advice: str) -> Iterator[Image.Image]:
    """Open a file of one page; what Pillow raises in the ``with`` block, where it decodes, becomes a sentence.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        What to call it in a sentence.
    formats : sequence of str
        Pillow's names of those that it may be of.
    advice : str
        The end of the sentence about a file that cannot be decoded.

    Raises
    ------
    ScanError
        It cannot be decoded, is larger than 2^26 pixels, holds several pages, or is a TIFF that Pillow misreads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata that Pillow mends, and its own milder warning about size
        try:
            with Image.open(io.BytesIO(data), formats=tuple(formats)) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise ScanError(f"{name} has {image.width} x {image.height} pixels; shrink it below 8192 x 8192")
                if image.format in ("TIFF", "PNG") and _has_pages(image):
                    raise ScanError(f"{name} holds several pages; save each as an image of its own")
                if image.format == "TIFF" and _covered(image) < image.width * image.height:
                    raise ScanError(
                        f"{name} holds fewer pixels than the {image.width} x {image.height} that it speaks of; {advice}"
                    )
                if image.format == "TIFF" and _misread(image, data):
                    raise ScanError(f"{name} is a compressed TIFF with its bytes in reverse; save it uncompressed")
                yield image
        except (ScanError, MemoryError):
            raise
        except Image.DecompressionBombError as error:
            raise ScanError(f"{name} has too many pixels; shrink it below 8192 x 8192") from error
        except Exception as error:  # Pillow raises almost anything on damaged bytes
            other = isinstance(error, UnidentifiedImageError)  # whose words are those of the program's memory
            reason = "its content is of another kind" if other else reason_of(error)
            raise ScanError(f"{name} is not a readable {' or '.join(formats)} file ({reason}); {advice}") from error


def orientation_of(image: Image.Image) -> int:
    """Which way up an opened picture is stored, 1 .. 8 as EXIF counts; of a TIFF, to be asked before it is decoded.

    Source: Exif 2.32, tag 274. Phones and scanners write it; 1 is upright.
    """
    tags: Any = image.tag_v2 if image.format == "TIFF" else image.getexif()  # type: ignore[attr-defined]
    found = tags.get(_ORIENTATION, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Pixels (H, W[, C]) as they are meant to be seen; none is changed.

    Examples
    --------
    >>> upright(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _misread(image: Any, data: bytes) -> bool:
    """Whether libtiff turns the bytes of numbers round and Pillow does it again: signed ones and floats, big-endian."""
    return data[:2] == b"MM" and image.mode in ("I", "F") and image.tag_v2.get(_COMPRESSION, _PLAIN) != _PLAIN


def _covered(image: Any) -> int:
    """Pixels that the strips or tiles of a TIFF lie over; Pillow leaves the others 0 and says nothing."""
    boxes = [tile[1] for tile in image.tile]  # sides swapped where it is stored lying down
    return sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)


def _has_pages(image: Image.Image) -> bool:
    try:
        image.seek(1)
    except EOFError:
        image.seek(0)
        return False
    return True
