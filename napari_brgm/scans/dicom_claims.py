"""Claims: how much image a DICOM header speaks of, held against the bytes that are there, before anything is built.

    bytes of pixels = rows * columns * frames * bits allocated / 8          (not compressed; PS3.5 8.1.1 and A.4)

Source: DICOM PS3.3 C.7.6.3 (image pixel module), C.7.6.6 (number of frames); PS3.5 Annex A, G.3 (RLE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from napari_brgm.errors import ScanError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["PLAIN", "PixelBytes", "bytes_needed", "check_claims", "frame_count"]

PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
_UNDEFINED = 0xFFFFFFFF
_ITEM = 8  # bytes of the header of a fragment; each frame has one at least
_RLE = 64  # two bytes become 128 at most
_MOST = 1000  # times; JPEG 2000 of an even image comes near it
_RATIO = 200  # of gzip and deflate
_HARMLESS = 256 << 20  # bytes of an image, whatever it is compressed to


@dataclass(frozen=True, slots=True)
class PixelBytes:
    """Pixel data of a file, not read.

    Attributes
    ----------
    length : int or None
        As the file says it; None where it says none (fragments).
    place : int
        Offset of its bytes, in what a gzipped or deflated file inflates to.
    held : int
        Bytes that the file holds from there on; of a gzipped or deflated one what it may inflate to.
    inflated : bool
    """

    length: int | None
    place: int
    held: int
    inflated: bool = False

    @classmethod
    def of(cls, length: int, place: int, size: int, *, inflated: bool) -> PixelBytes:
        """Of an element's length field, the offset of its bytes and the size of the file."""
        held = max(_HARMLESS, _RATIO * size) if inflated else size - place
        return cls(None if length == _UNDEFINED else length, place, held, inflated)

    @property
    def known(self) -> int:
        return self.held if self.length is None else min(self.length, self.held)


def check_claims(dataset: Dataset, pixels: PixelBytes | None, name: str) -> tuple[str, ...]:
    """Hold rows, columns, bits and frames of a header against its pixel data.

    Parameters
    ----------
    dataset : Dataset
        Without pixels.
    pixels : PixelBytes or None
        None: the file ends before they begin.
    name : str
        Of the file.

    Returns
    -------
    tuple of str
        A note where the pixel data hold more than the header speaks of.

    Raises
    ------
    ScanError
        They hold less, or could not inflate to so much.
    """
    if pixels is None:
        raise ScanError(f"{name} has no pixels: it is cut short, or its pixels were removed; export it again")
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    frames, bits = frame_count(dataset, name), _bits(dataset)
    need = bytes_needed(dataset, name)
    size = f"{frames} frames of {rows} x {columns}" if frames > 1 else f"{rows} x {columns}"
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in PLAIN:
        most = max(_HARMLESS, pixels.held * (_RLE if syntax == RLELossless else _MOST))
        if frames > pixels.held // _ITEM or need > most:
            raise ScanError(
                f"{name} speaks of {size} pixels and holds {pixels.held} bytes, too few for them; export it again"
            )
        return ()
    if pixels.inflated and need > pixels.held:
        raise ScanError(
            f"{name} is compressed as a whole and speaks of {need} bytes of pixels, more than the {pixels.held} that a "
            "file of its length is unpacked to; export it uncompressed"
        )
    if pixels.known < need:
        raise ScanError(
            f"{name} is damaged or cut short: {size} pixels take {need} bytes and it holds {pixels.known}; "
            "copy or export it again"
        )
    if pixels.length is not None and pixels.length > need + need % 2:
        return (
            f"the pixel data hold {pixels.length} bytes, more than the {need} that {size} pixels of {bits} bits take: "
            "rows, columns or frames may be said wrongly in the file",
        )
    return ()


def bytes_needed(dataset: Dataset, name: str) -> int:
    """Bytes that the pixels of a header take, not compressed."""
    return -(-int(dataset.Rows) * int(dataset.Columns) * frame_count(dataset, name) * _bits(dataset) // 8)


def _bits(dataset: Dataset) -> int:
    return int(dataset.get("BitsAllocated") or 16)


def frame_count(dataset: Dataset, name: str) -> int:
    """Frames of a file, 1 where it does not say.

    Raises
    ------
    ScanError
        It is no number above 0.
    """
    try:
        count = int(dataset.get("NumberOfFrames") or 1)
    except (TypeError, ValueError, OverflowError):
        count = 0
    if count < 1:
        raise ScanError(f"{name} does not say how many frames it has; export it again")
    return count
