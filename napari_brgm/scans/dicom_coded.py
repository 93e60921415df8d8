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
    from collections.abc import Iterator

    from pydicom.dataset import Dataset

__all__ = ["coded_shape", "sound_jpeg"]

_JPEG, _J2K, _JP2_BOX = b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # headers of frames; the others are tables
_HUFFMAN, _SCAN = 0xC4, 0xDA


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


def sound_jpeg(frame: bytes, samples: int) -> bool:
    """Whether whole segments lead to the scan of a JPEG frame, and describe it with so many values a pixel."""
    if frame[:2] != _JPEG:
        return False
    segments = dict(_segments(frame))
    header = next((place for marker, place in segments.items() if marker in _FRAMES), None)
    if header is None or not {_SCAN, _HUFFMAN} <= segments.keys():
        return False
    return frame[header + 9] == samples and unpack_from(">H", frame, header + 2)[0] == 8 + 3 * samples


def _jpeg(frame: bytes) -> tuple[int, int] | None:
    header = next((place for marker, place in _segments(frame) if marker in _FRAMES), None)
    rows, columns = unpack_from(">2H", frame, header + 5) if header is not None else (0, 0)
    return (rows, columns) if rows else None  # 0: told at the end


def _segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Marker and offset of each segment up to that of the scan, as far as one follows the other."""
    place = 2
    while place + 10 <= len(frame) and frame[place] == 0xFF:
        marker = frame[place + 1]
        if marker == 0xFF:  # fill
            place += 1
            continue
        yield marker, place
        if marker == _SCAN:
            return
        place += 2 + unpack_from(">H", frame, place + 2)[0]


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
