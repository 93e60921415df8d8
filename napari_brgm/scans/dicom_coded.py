"""Size of compressed frames as their own code streams say it, to hold against Rows and Columns of the header.

Source: ITU-T T.81 B.2.2 (JPEG frame header), T.87 C.2.2 (JPEG-LS), T.800 A.5.1 (JPEG 2000 SIZ); DICOM PS3.5 G.3 (RLE).
"""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING

from pydicom.encaps import get_frame
from pydicom.uid import RLELossless

from napari_brgm.scans.dicom_claims import PLAIN

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["coded_shape"]

_JPEG, _J2K, _JP2_BOX = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # headers of frames; the others are tables


def coded_shape(dataset: Dataset) -> tuple[int, int] | None:
    """(rows, columns) of the first compressed frame; None where nothing says it.

    Of RLE, which knows only how many pixels there are, (0, pixels) where these are too many.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in PLAIN or not dataset.get("PixelData"):
        return None
    frame = get_frame(dataset.PixelData, 0, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    if syntax == RLELossless:
        count = _rle_pixels(frame)
        return (0, count) if count > int(dataset.Rows) * int(dataset.Columns) + 1 else None
    if frame[:2] == _JPEG:
        return _jpeg(frame)
    start = frame.find(_J2K) if frame[:8] == _JP2_BOX else 0
    if start >= 0 and frame[start : start + 4] == _J2K and len(frame) >= start + 24:
        right, bottom, left, top = unpack_from(">4I", frame, start + 8)
        return bottom - top, right - left
    return None


def _jpeg(frame: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker in _FRAMES:
            rows, columns = unpack_from(">2H", frame, place + 5)
            return (rows, columns) if rows else None  # 0: told at the end
        place += 1 if marker == 0xFF else 2 + unpack_from(">H", frame, place + 2)[0]
    return None


def _rle_pixels(frame: bytes) -> int:
    """Bytes that the first segment stands for: one of each pixel."""
    count, first, second = unpack_from("<3I", frame)
    place, end, pixels = first, second if count > 1 else len(frame), 0
    while place < min(end, len(frame)) - 1:
        control = frame[place]
        if control < 128:
            pixels, place = pixels + control + 1, place + control + 2
        else:
            pixels, place = pixels + (257 - control if control > 128 else 0), place + (2 if control > 128 else 1)
    return pixels
