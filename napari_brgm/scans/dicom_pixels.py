"""Pixels of DICOM files as real-world values.

    value = slope * stored + intercept          (per frame), or the modality lookup table

MONOCHROME1 is turned to bone-bright (stored -> low + high - stored over the range of the bits) unless the values have a
physical unit, where it only concerns the display. PixelPaddingValue is left as it is stored.

Source: DICOM PS3.3 C.11.1 (modality LUT), C.7.6.3.1.2 (photometric interpretation); PS3.5 Annex A (transfer syntaxes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom_claims import PLAIN, bytes_needed, frame_count
from napari_brgm.scans.dicom_coded import coded_shape, sound_jpeg
from napari_brgm.scans.dicom_elements import printable
from napari_brgm.scans.dicom_file import dataset_of, header_of, sentence_on_failure
from napari_brgm.scans.dicom_inflate import HEADER_LIMIT
from napari_brgm.scans.gather import gathered, narrowed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset

    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["PixelFile", "stored_pixels", "units_of", "values_of"]

# packages that decode, by the last parts of the transfer syntax UID 1.2.840.10008.1.2.*
_DECODERS = {
    "4.50": "pillow", "4.51": "pylibjpeg-libjpeg", "4.57": "python-gdcm", "4.70": "python-gdcm",
    "4.80": "pyjpegls", "4.81": "pyjpegls",
    "4.90": "pylibjpeg-openjpeg", "4.91": "pylibjpeg-openjpeg", "4.201": "pylibjpeg-openjpeg",
    "4.202": "pylibjpeg-openjpeg", "4.203": "pylibjpeg-openjpeg",
}  # fmt: skip
_LOSSY_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit)
_BY_GDCM = (*_LOSSY_JPEG, JPEGLossless, JPEGLosslessSV1)
_NOT_GDCM = (6, 7)  # bits of JPEG-LS that only pyjpegls reads
_UNITLESS = ("", "US", "NORMALIZED", "UNSPECIFIED")


class PixelFile:
    """Stored pixels of the file that was asked for last: an enhanced one is read once for all of its stacks."""

    __slots__ = ("_path", "_pixels")

    def __init__(self) -> None:
        self._path: Path | None = None
        self._pixels: npt.NDArray[Any] = np.empty((0, 0, 0))

    def of(self, frame: DicomFrame) -> npt.NDArray[Any]:
        """(frames, rows, columns) of a frame's file."""
        if frame.path != self._path:
            self._path, self._pixels = None, np.empty((0, 0, 0))  # before the next ones are there
            self._pixels = stored_pixels(frame.path, frame.dataset)
            self._path = frame.path
        return self._pixels


def values_of(frames: Sequence[Sequence[DicomFrame]], file: PixelFile | None = None) -> npt.NDArray[Any]:
    """Read the real-world values of ``frames[t][k]``, (columns, rows, slices) or (columns, rows, slices, times).

    Each value exactly: floats in the file's type; integers, and what slope and intercept make of any type in float64,
    as float32 where it holds them all, else as float64; integers beyond 2^53 as they are.

    Raises
    ------
    ScanError
        A file is damaged, or compressed in a way no installed package decodes.
    """
    first = frames[0][0]
    rows, columns = first.shape
    file = file or PixelFile()

    def planes() -> Iterator[tuple[tuple[int, int], npt.NDArray[Any]]]:
        for t, volume in enumerate(frames):
            for k, frame in enumerate(volume):
                row, column = frame.tile
                plane = file.of(frame)[frame.number, row : row + rows, column : column + columns]
                yield (t, k), _real(plane, frame.dataset, frame.slope, frame.intercept)

    out = gathered((len(frames), len(frames[0]), rows, columns), planes, first.path.name)
    array = out.transpose(3, 2, 1, 0)  # (columns, rows, slices, times)
    return array if len(frames) > 1 else array[..., 0]


def stored_pixels(path: Path, header: Dataset | None = None) -> npt.NDArray[Any]:
    """Read the stored values of a file, (frames, rows, columns), before rescale.

    Parameters
    ----------
    path : Path
    header : Dataset, optional
        Of the file, if it was read already.

    Raises
    ------
    ScanError
        As ``values_of``; or the compressed pixels have another size than the header says.
    """
    header = header_of(path)[0] if header is None else header
    dataset = dataset_of(path, bytes_needed(header, path.name) + HEADER_LIMIT)
    _check_decoder(dataset, path.name)
    with sentence_on_failure(path.name):
        if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            raise ScanError(f"{path.name} has no pixels: it is cut short, or its pixels were removed; export it again")
        _check_coded(dataset, path.name)
        _choose_decoder(dataset)
        try:
            pixels = np.asarray(dataset.pixel_array)
        except RuntimeError as error:  # every decoder gave up
            syntax = dataset.file_meta.TransferSyntaxUID
            raise ScanError(
                f"{path.name} is damaged, or a kind of {printable(syntax.name)} that nothing installed decodes; "
                f"{_remedy(syntax)}"
            ) from error
        return pixels.reshape(-1, int(dataset.Rows), int(dataset.Columns))


def units_of(dataset: Dataset) -> str:
    """Intensity units as the file names them: 'HU', 'BQML', ...; 'a.u.' when it names none."""
    modality = dataset.get("Modality")
    if modality == "PT":
        return printable(dataset.get("Units")) or "a.u."
    kind = printable(dataset.get("RescaleType"))
    if kind.upper() not in _UNITLESS:
        return kind
    localizer = "LOCALIZER" in (dataset.get("ImageType") or ())
    return "HU" if modality == "CT" and not localizer else "a.u."


def _real(stored: npt.NDArray[Any], dataset: Dataset, slope: float, intercept: float) -> npt.NDArray[Any]:
    inverted = dataset.get("PhotometricInterpretation") == "MONOCHROME1" and units_of(dataset) == "a.u."
    if inverted and stored.dtype.kind in "iu":
        bits = int(dataset.BitsStored)
        low_plus_high = -1 if dataset.PixelRepresentation else 2**bits - 1
        stored = low_plus_high - (stored if stored.itemsize == 8 else stored.astype(np.int64))
    if dataset.get("ModalityLUTSequence"):
        with sentence_on_failure("the modality lookup table"):
            return np.asarray(apply_modality_lut(stored, dataset))
    if slope == 1 and intercept == 0:
        return stored
    real = stored.astype(np.float64) * slope + intercept
    return real if stored.dtype == np.float64 else narrowed(real)


def _check_decoder(dataset: Dataset, name: str) -> None:
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in PLAIN:
        return
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        told = printable(syntax.name)
        raise ScanError(f"{name} is compressed as {told}, which nothing installed decodes; {_remedy(syntax)}")


def _choose_decoder(dataset: Dataset) -> None:
    """Leave out decoders that do not end well on damaged bytes, where another one reads the same."""
    syntax, bits = dataset.file_meta.TransferSyntaxUID, int(dataset.get("BitsStored") or 0)
    if syntax == RLELossless:
        plugin = "pydicom"  # pylibjpeg-rle panics
    elif syntax in JPEG2000TransferSyntaxes:
        plugin = "pylibjpeg"  # gdcm ends the whole process
    elif syntax in _LOSSY_JPEG and bits <= 8:
        plugin = "pillow"  # gdcm ends the whole process, where segments do not fit
    elif syntax in JPEGLSTransferSyntaxes and bits not in _NOT_GDCM:
        plugin = "gdcm"  # pyjpegls takes 10 s over 4 kB
    else:
        return
    if plugin == "pydicom" or plugin in get_decoder(syntax).available_plugins:
        dataset.pixel_array_options(decoding_plugin=plugin)


def _check_coded(dataset: Dataset, name: str) -> None:
    """Refuse compressed frames of another size than the header says: decoders cut them, or fold them wrongly."""
    found = coded_shape(dataset)
    said = int(dataset.Rows), int(dataset.Columns)
    if found is not None and found != said:
        sizes = [f"{rows} x {columns}" if rows else f"{columns} in all" for rows, columns in (found, said)]
        raise ScanError(f"{name} holds compressed pixels of {sizes[0]}, its header says {sizes[1]}; export it again")
    if dataset.file_meta.TransferSyntaxUID not in _BY_GDCM:
        return
    count, samples = frame_count(dataset, name), int(dataset.get("SamplesPerPixel") or 1)
    for number, frame in enumerate(generate_frames(dataset.PixelData, number_of_frames=count), 1):
        if not sound_jpeg(frame, samples):
            raise ScanError(
                f"{name} holds no JPEG of {samples} value(s) a pixel in its frame {number}; export it again"
            )


def _remedy(syntax: str) -> str:
    package = _DECODERS.get(str(syntax).removeprefix("1.2.840.10008.1.2."))
    return f"install {package} or export it uncompressed" if package else "export it uncompressed"
