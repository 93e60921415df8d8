"""DICOM files: which files are, their datasets, and third-party failures turned into one sentence."""

from __future__ import annotations

import gzip
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from napari_brgm.errors import BrgmError, ScanError
from napari_brgm.scans.dicom_claims import PixelBytes
from napari_brgm.scans.dicom_inflate import HEADER_LIMIT, RAW_DEFLATE, Inflated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["dataset_of", "header_of", "looks_like_dicom", "opening", "sentence_on_failure"]

_HEAD = 132  # preamble and magic
_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")  # a dataset without preamble starts with one of these
_GZIP = b"\x1f\x8b"
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # float, double float, integers; nothing that matters comes after
_MOST_ELEMENTS = 100_000  # of one header, those of sequences apart; large ones have some thousand


def opening(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed if it is gzipped; empty if they cannot be read."""
    try:
        with path.open("rb") as stream:
            start = stream.read(2)
            stream.seek(0)
            if start != _GZIP:
                return stream.read(4 * _HEAD)
            with gzip.open(stream) as content:
                return content.read(4 * _HEAD)
    except (OSError, EOFError, ValueError):
        return b""
    except Exception:  # zlib.error has no public base
        return b""


def looks_like_dicom(head: bytes) -> bool:
    """Tell whether these first bytes are DICOM: the magic after the preamble, or a bare dataset's first element."""
    if head[128:132] == b"DICM":
        return True
    big = head[:1] == b"\x00"
    element = int.from_bytes(head[2:4], "big" if big else "little")
    return len(head) >= 16 and head[:2] in _GROUPS and element <= 0x0018


def header_of(path: Path) -> tuple[Dataset, PixelBytes | None]:
    """Read the dataset of a file up to its pixels, gzipped or not, with or without its file header.

    Returns
    -------
    dataset : Dataset
    pixels : PixelBytes or None
        None: there are none.

    Raises
    ------
    ScanError
        It is no DICOM dataset, or damaged.
    """
    found: list[PixelBytes] = []
    with _content(path, HEADER_LIMIT) as (stream, meta):
        size, inflated = path.stat().st_size, isinstance(stream, Inflated)
        count = _counter(path)

        def stop(tag: Any, _: object, length: int) -> bool:
            count()
            if int(tag) in _PIXELS:  # the stream is where their bytes begin
                found.append(PixelBytes.of(length, stream.tell(), size, inflated=inflated))
            return bool(found)

        dataset = _dataset(stream, meta, stop)
    if "DirectoryRecordSequence" in dataset:
        raise ScanError(f"{path.name} is an index of DICOM files; open the folder instead")
    if "SOPClassUID" not in dataset and "Rows" not in dataset:  # nothing that tells an image from chance bytes
        raise ScanError(f"{path.name} holds no DICOM image; choose a file of an image series")
    return dataset, found[0] if found else None


def dataset_of(path: Path, limit: int) -> Dataset:
    """Read the dataset of a file with its pixels and nothing after them.

    Parameters
    ----------
    path : Path
    limit : int
        Bytes that a gzipped or deflated file may inflate to.

    Raises
    ------
    ScanError
        It is no DICOM dataset, or damaged.
    """
    seen = False
    with _content(path, limit) as (stream, meta):
        count = _counter(path)

        def stop(tag: Any, _: object, __: int) -> bool:
            nonlocal seen
            count()
            behind, seen = seen or int(tag) > _PIXELS[-1], int(tag) in _PIXELS
            return behind

        dataset = _dataset(stream, meta, stop)
        if isinstance(stream, Inflated):
            stream.check_rest()
    return dataset


def _counter(path: Path) -> Callable[[], None]:
    """Count elements; ScanError where they are more than a header has, as zeros in their place would be."""
    count = 0

    def one_more() -> None:
        nonlocal count
        count += 1
        if count > _MOST_ELEMENTS:
            raise ScanError(f"{path.name} holds more than {_MOST_ELEMENTS} elements, as no image does; export it again")

    return one_more


@contextmanager
def _content(path: Path, limit: int) -> Iterator[tuple[BinaryIO | Inflated, FileMetaDataset | None]]:
    """Open the plain bytes of a file; of a deflated one what follows its file header, and that header."""
    if not looks_like_dicom(opening(path)):
        raise ScanError(f"{path.name} is not a DICOM file")
    with sentence_on_failure(path.name), path.open("rb") as file:
        zipped = file.read(2) == _GZIP
        file.seek(0)
        stream: BinaryIO | Inflated = Inflated(path, file, limit) if zipped else file
        meta = _deflated(stream)
        yield (stream, None) if meta is None else (Inflated(path, stream, limit, RAW_DEFLATE), meta)


def _deflated(stream: BinaryIO | Inflated) -> FileMetaDataset | None:
    """File header of a deflated file, the stream behind it; None, and the stream at its start, for others."""
    stream.read(128)
    if stream.read(4) == b"DICM":
        header = read_dataset(cast("BinaryIO", stream), False, True, stop_when=lambda tag, _, __: tag >> 16 != 2)
        if header.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            return FileMetaDataset(header)
    stream.seek(0)
    return None


def _dataset(
    stream: BinaryIO | Inflated, meta: FileMetaDataset | None, stop: Callable[[Any, str | None, int], bool]
) -> Dataset:
    content = cast("BinaryIO", stream)
    if meta is not None:
        dataset = read_dataset(content, False, True, stop_when=stop)
        dataset.set_original_encoding(False, True, dataset._character_set)
        dataset.file_meta = meta
        return dataset
    read = read_partial(content, stop, force=True)
    read.buffer = None  # what was inflated is not kept
    _complete_meta(read)
    return read


def _complete_meta(dataset: Dataset) -> None:
    """Give a dataset without file header the transfer syntax it was evidently read with."""
    meta = getattr(dataset, "file_meta", None)
    if meta is None:
        meta = dataset.file_meta = FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        implicit, little = dataset.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain


@contextmanager
def sentence_on_failure(name: str) -> Iterator[None]:
    """Run pydicom quietly and turn whatever it raises on a damaged file into one ScanError about ``name``."""
    with warnings.catch_warnings():
        # odd values, padding and lengths that pydicom understands and mends; the messages can quote the patient
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow of values or scale factors in damaged headers
        try:
            yield
        except BrgmError:
            raise
        except MemoryError as error:
            raise ScanError(f"{name} needs more memory than there is") from error
        except PermissionError as error:
            raise ScanError(f"{name} may not be read; check its permissions") from error
        except Exception as error:  # pydicom and the decoders raise almost anything on damaged bytes
            raise ScanError(
                f"{name} cannot be read as DICOM ({type(error).__name__}); it may be damaged or cut short: "
                "copy or export it again"
            ) from error
