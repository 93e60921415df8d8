"""NIfTI files to scans, through nibabel; with the provenance of our own results from the JSON file beside.

    value = scl_slope * stored + scl_inter          affine: sform if it has a code, else qform (nibabel's best affine)

Source: the NIfTI-1.1 and NIfTI-2 headers (https://nifti.nimh.nih.gov).
"""

from __future__ import annotations

import gzip
import math
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel import imageglobals
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError

from napari_brgm.errors import BrgmError, InputError, ScanError
from napari_brgm.scan import Scan
from napari_brgm.scans.gather import gathered, narrowed
from napari_brgm.scans.record import record_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["looks_like_nifti", "read_nifti"]

_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
_PIECE = 1 << 20  # bytes, or voxels
_QUAD = 1536  # type code of 128-bit floats, which nibabel reads only where longdouble is such a one


def looks_like_nifti(head: bytes) -> bool:
    """Tell whether these first bytes (348 or more) are a NIfTI-1 or -2 header, in one file or of a pair."""
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")


def read_nifti(path: str | Path) -> Scan:
    """Read a NIfTI-1 or NIfTI-2 file, gzipped or not, whatever its suffix; or the .hdr or .img of a pair.

    Returns
    -------
    Scan
        (I, J, K) or (I, J, K, T) in real-world values, each voxel exactly: floats in the file's type; integers, and
        what slope and intercept make of any type in float64, as float32 where it holds them all, else as float64;
        integers beyond 2^53 as they are.

    Raises
    ------
    ScanError
        The file is missing, damaged, cut short, no NIfTI, or not a grey-level image of 2 to 4 axes.
    """
    path = Path(path)
    if not path.is_file():
        raise ScanError(f"there is no file {path.name}; check the path")
    with _sentence_on_failure(path.name):
        image, array = _load(path)
        array = _as_volume(array, path.name)
        unit = str(image.header.get_xyzt_units()[0])
        affine = np.diag([_MM[unit]] * 3 + [1.0]) @ np.asarray(image.affine, dtype=np.float64)
        placed = int(image.header["sform_code"]) > 0 or int(image.header["qform_code"]) > 0
        notes = () if placed else ("the file does not say how the patient lies: radiological axes are assumed",)
        name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
        record, units, doubts = record_of(path)
        try:
            return Scan(
                array, affine, units or "a.u.", name=name, source=path, header=image.header, notes=notes + doubts,
                provenance=record,
            )  # fmt: skip
        except InputError as error:
            raise ScanError(f"{path.name} cannot be placed in space: {error}") from error


def _load(path: Path) -> tuple[Any, npt.NDArray[Any]]:
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as content:
        head = content.read(352)
        if not looks_like_nifti(head):
            if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):
                raise ScanError(f"{path.name} is in Analyze format, which has no left and right; convert it to NIfTI")
            if not path.name.removesuffix(".gz").endswith(".img"):
                raise ScanError(f"{path.name} is not a NIfTI file; choose a .nii, .nii.gz or DICOM file")
        elif b"n+" in (head[344:346], head[4:6]):
            content.seek(0)
            kind = nib.Nifti1Image if head[344:346] == b"n+" else nib.Nifti2Image
            image = kind.from_stream(content)
            array = _values(image.dataobj, path.name)
            while content.read(_PIECE):  # to the end, where gzip compares its checksum
                pass
            return image, array
    pair = cast("Any", nib.load(path))
    if not isinstance(pair, nib.Nifti1Pair):
        raise ScanError(f"{path.name} is not a NIfTI file; choose a .nii, .nii.gz or DICOM file")
    return pair, _values(pair.dataobj, path.name)


def _values(proxy: Any, name: str) -> npt.NDArray[Any]:
    """Real-world values of a nibabel array proxy."""
    kind = np.dtype(proxy.dtype)
    if kind.names or kind.kind not in "fiub":
        what = "colours" if kind.names else "complex numbers"
        raise ScanError(f"{name} holds {what}; only real grey-level images can be restored")
    count = math.prod(proxy.shape)

    def blocks() -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        with ImageOpener(proxy.file_like) as stream:
            stream.seek(proxy.offset)
            for first in range(0, count, _PIECE):
                number = min(_PIECE, count - first)
                content = stream.read(number * kind.itemsize)
                stored = np.frombuffer(content, kind)
                if len(stored) < number:
                    raise EOFError
                yield slice(first, first + number), _scaled(stored, float(proxy.slope), float(proxy.inter))

    return gathered((count,), blocks, name).reshape(proxy.shape, order="F")


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
    """Run nibabel quietly and turn whatever it raises on a damaged file into one ScanError."""
    quiet = imageglobals.logger.disabled
    imageglobals.logger.disabled = True  # it prints each odd header field
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # odd header fields that nibabel understands and mends
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow of values or scale factors in damaged headers
        try:
            yield
        except BrgmError:
            raise
        except MemoryError as error:
            raise ScanError(f"{name} needs more memory than there is, or is damaged") from error
        except Exception as error:  # nibabel, gzip and zlib raise almost anything on damaged bytes
            if isinstance(error, HeaderDataError) and f"data code {_QUAD}" in str(error):
                raise ScanError(f"{name} holds 128-bit floats, unknown to this machine; save it as float64") from error
            raise ScanError(f"{name} is damaged or cut short; copy or export it again") from error
        finally:
            imageglobals.logger.disabled = quiet
