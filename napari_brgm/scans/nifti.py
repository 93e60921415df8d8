"""NIfTI files to scans; with the provenance of our own results from the JSON file beside.

    value = scl_slope * stored + scl_inter          affine: sform if it has a code, else qform (nifti_place.py)

No number in a file is believed before it is looked at: of what is packed no more is unpacked than the header needs, and
not a thousand times of what lies on the disk.
"""

from __future__ import annotations

import gzip
import math
import warnings
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import BrgmError, InputError, ScanError
from napari_brgm.reason import reason_of
from napari_brgm.scan import Scan
from napari_brgm.scans.gather import gathered, narrowed
from napari_brgm.scans.nifti_header import SIZES, Header, header_of, looks_like_nifti
from napari_brgm.scans.nifti_pair import halves_of
from napari_brgm.scans.nifti_place import place_of
from napari_brgm.scans.record import record_of
from napari_brgm.scans.scaling import usable_scale
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["looks_like_nifti", "read_nifti"]

_PIECE = 1 << 20  # bytes, or voxels
_ANALYZE = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")
_MOST_PACKED = 1032  # times that deflate can shrink anything
_LARGE, _USUAL_PACKED = 1 << 30, 200  # bytes in memory from which on so many times are taken for a trap
_FLOAT32 = float(np.finfo(np.float32).max)


def read_nifti(path: str | Path) -> Scan:
    """Read a NIfTI-1 or NIfTI-2 file, gzipped or not, whatever its suffix; or the .hdr or .img of a pair.

    Returns
    -------
    Scan
        (I, J, K) or (I, J, K, T) in real-world values, each voxel exactly: floats in the file's type; integers, and
        what slope and intercept make of any type in float64, as float32 where it holds them all, else as float64;
        integers beyond 2^53 as they are. Its notes say what the header left open or said oddly.

    Raises
    ------
    ScanError
        The file is missing, no NIfTI, not all there, not a grey-level image of 2 to 4 axes, or packed so that it
        unpacks to very many times its size.
    """
    path = Path(path)
    if not path.is_file():
        raise ScanError(f"there is no file {path.name}; check the path")
    with _sentence_on_failure(path.name):
        header, voxels = _header(path)
        array, notes = _values(header, voxels)
        array = _as_volume(array, path.name)
        affine, placed = place_of(header, path.name)
        record, units, doubts = record_of(path)
        try:
            return Scan(
                array, affine, units or "a.u.", name=plain_text(path.name.removesuffix(".gz").rsplit(".", 1)[0]),
                source=path, header=header.fields, notes=(*header.notes, *placed, *notes, *doubts), provenance=record,
            )  # fmt: skip
        except InputError as error:
            raise ScanError(f"{path.name} cannot be placed in space: {error}") from error


def _header(path: Path) -> tuple[Header, Path]:
    """The header, and the file that holds the voxels."""
    name = path.name.removesuffix(".gz").lower()
    head = _head(path)
    half = None if looks_like_nifti(head) else halves_of(path)[0] if name.endswith(".img") else None
    if half is not None:
        head = _head(half)
    if not looks_like_nifti(head):
        if len(head) < SIZES[1] and (not head or head[:4] in _ANALYZE):
            where = (half or path).name
            raise ScanError(
                f"{where} ends too early: {len(head)} bytes are there, and a header has {SIZES[1]}; copy it again"
            )
        if head[:4] in _ANALYZE and name.endswith(".nii"):
            raise ScanError(
                f"{path.name} has no mark of NIfTI in its header (magic): it may be in Analyze format, which has no "
                "left and right; convert it to NIfTI"
            )
        if head[:4] in _ANALYZE:
            raise ScanError(f"{path.name} is in Analyze format, which has no left and right; convert it to NIfTI")
        raise ScanError(f"{path.name} is not a NIfTI file; choose a .nii, .nii.gz or DICOM file")
    header = header_of(head, (half or path).name)
    return header, (half or path) if header.single else halves_of(path)[1]


def _head(path: Path) -> bytes:
    with _opened(path) as content:
        return content.read(SIZES[2])


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if _is_packed(path) else path.open("rb")


def _is_packed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _values(header: Header, path: Path) -> tuple[npt.NDArray[Any], list[str]]:
    """Real-world values, and what slope and intercept did to them."""
    count, kind = math.prod(header.shape), header.kind
    _check_claim(header, path, count)
    slope, inter = float(header.fields["scl_slope"]), float(header.fields["scl_inter"])
    notes: tuple[str, ...] = ()
    if slope == 0 or math.isnan(slope):  # as most files say that there is none
        slope, inter = 1.0, 0.0
    else:
        slope, inter, notes = usable_scale(slope, inter)
    spoilt, beyond, unread = 0, 0.0, False

    def blocks() -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        nonlocal spoilt, beyond, unread
        spoilt, beyond = 0, 0.0
        with _opened(path) as stream:
            _skip(stream, header.offset)
            for first in range(0, count, _PIECE):
                number = min(_PIECE, count - first)
                content = stream.read(number * kind.itemsize)
                if len(content) < number * kind.itemsize:
                    there = first * kind.itemsize + len(content)
                    raise _too_short(path, f"{there} of {count * kind.itemsize} bytes of its voxels are there")
                stored = np.frombuffer(content, kind)
                values = _scaled(stored, slope, inter)
                if values is not stored:
                    finite = np.isfinite(values)
                    spoilt += int((~finite).sum()) - int(
                        (~np.isfinite(stored)).sum() if stored.dtype.kind == "f" else 0
                    )
                    beyond = max(beyond, float(np.abs(values[finite]).max(initial=0)))
                yield slice(first, first + number), values
            unread = len(stream.read(_PIECE)) == _PIECE  # to the end, where gzip compares its checksum

    array = gathered((count,), blocks, path.name).reshape(header.shape, order="F")
    told = list(notes)
    if spoilt > 0:
        told.append(
            f"slope and intercept in the header ({slope:g} and {inter:g}) make {spoilt} values infinite or no number"
        )
    if beyond > _FLOAT32:
        told.append(f"slope and intercept in the header ({slope:g} and {inter:g}) make values as large as {beyond:.3g}")
    if unread:
        told.append("the file goes on behind its voxels; what follows was not read, nor was a checksum compared")
    return array, told


def _check_claim(header: Header, path: Path, count: int) -> None:
    """Refuse a header that claims what its file cannot hold, or that would unpack without measure."""
    needed = header.offset + count * header.kind.itemsize
    there = path.stat().st_size
    if not _is_packed(path):
        if there < needed:
            raise _too_short(path, f"{there} bytes are there, and the header asks for {needed}")
        return
    if needed > _MOST_PACKED * there:
        raise _too_short(path, f"its {there} bytes cannot hold the {needed} that the header asks for")
    if count * max(header.kind.itemsize, 4) > _LARGE and needed > _USUAL_PACKED * there:
        raise ScanError(
            f"{path.name} unpacks to {needed / 1e9:.1f} GB, {needed // there} times its size, as no usual image does; "
            "unpack it with gunzip first if that is meant"
        )


def _too_short(path: Path, found: str) -> ScanError:
    return ScanError(f"{path.name} ends too early: {found}; copy it again")


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0 and (read := len(stream.read(min(count, _PIECE)))):
        count -= read


def _scaled(stored: npt.NDArray[Any], slope: float, inter: float) -> npt.NDArray[Any]:
    """As nibabel computes it, in float64 at least."""
    if (slope, inter) == (1, 0):
        return stored
    real = stored if slope == 1 else stored * np.float64(slope)
    real = real if inter == 0 else real + np.float64(inter)
    return real if stored.dtype.kind == "f" and stored.dtype.itemsize > 4 else narrowed(real)


def _as_volume(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    while array.ndim > 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if not 2 <= array.ndim <= 4:
        raise ScanError(f"{name} has {array.ndim} axes; only images of 2 to 4 axes (3 of space, 1 of time) can be read")
    return array[..., None] if array.ndim == 2 else array


@contextmanager
def _sentence_on_failure(name: str) -> Iterator[None]:
    """Turn whatever reading raises into one ScanError, which says what is known and no more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # odd header fields that nibabel understands and mends
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow of values or scale factors in odd headers
        try:
            yield
        except BrgmError:
            raise
        except MemoryError as error:
            raise ScanError(
                f"{name} needs more memory than there is; cut out a part of it, or use another machine"
            ) from error
        except EOFError as error:
            raise ScanError(f"{name} ends before its gzip stream does; copy it again") from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise ScanError(
                f"{name} cannot be unpacked, its bytes are no longer those that gzip wrote ({reason_of(error)}); "
                "copy it again"
            ) from error
        except OSError as error:
            raise ScanError(f"{name} cannot be read: {reason_of(error)}; check the file and its permissions") from error
        except Exception as error:  # nibabel and numpy raise almost anything on odd bytes
            raise ScanError(f"{name} cannot be read as NIfTI: {reason_of(error)}; convert it again") from error
