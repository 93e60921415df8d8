"""DICOM files: which files are, their datasets, and third-party failures turned into one sentence."""

from __future__ import annotations

import gzip
import warnings
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from napari_brgm.errors import BrgmError, ScanError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["dataset_of", "looks_like_dicom", "opening", "sentence_on_failure"]

_HEAD = 132  # preamble and magic
_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")  # a dataset without preamble starts with one of these


def opening(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed if it is gzipped; empty if they cannot be read."""
    try:
        with path.open("rb") as stream:
            start = stream.read(2)
            stream.seek(0)
            if start != b"\x1f\x8b":
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


def dataset_of(path: Path, *, pixels: bool) -> Dataset:
    """Read the dataset of a file, gzipped or not, with or without its file header.

    Raises
    ------
    ScanError
        It is no DICOM dataset, or damaged.
    """
    head = opening(path)
    if not looks_like_dicom(head):
        raise ScanError(f"{path.name} is not a DICOM file")
    with sentence_on_failure(path.name):
        with path.open("rb") as stream:
            zipped = stream.read(2) == b"\x1f\x8b"
        source = BytesIO(gzip.decompress(path.read_bytes())) if zipped else path
        dataset = pydicom.dcmread(source, stop_before_pixels=not pixels, force=True)
        if "DirectoryRecordSequence" in dataset:
            raise ScanError(f"{path.name} is an index of DICOM files; open the folder instead")
        if "SOPClassUID" not in dataset and "Rows" not in dataset:  # nothing that tells an image from chance bytes
            raise ScanError(f"{path.name} holds no DICOM image; choose a file of an image series")
        _complete_meta(dataset)
        return dataset


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
        except Exception as error:  # pydicom and the decoders raise almost anything on damaged bytes
            raise ScanError(f"{name} is damaged or cut short as DICOM; copy or export it again") from error
