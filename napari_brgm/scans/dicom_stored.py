"""Real values -> what a DICOM file stores. The first of these ways that holds all values of a series is taken:

    floats            as they are, where the source has float pixels
    as the source     its slope, intercept and bits: measured pixels get back their very integers
    16 bits           its slope and intercept in 16 bits, for synthetic values beyond its range
    own scale         slope = (max - min) / (2^16 - 1), intercept = min, for uncertainties and everything else

Synthetic values are rounded to the quantum, |slope|. Where even 16 bits, or a wider source's, do not reach, they are
cut off, and whoever writes them says so: the measured ones stay.

Source: DICOM PS3.3 C.11.1 (modality LUT), C.7.6.3.1.2 (photometric interpretation), C.7.6.24 and C.7.6.25 (float and
double float pixels).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.valuerep import format_number_as_ds

from napari_brgm.errors import OutputError
from napari_brgm.lossless import as_type
from napari_brgm.scans.dicom_pixels import units_of
from napari_brgm.scans.dicom_planes import OTHERWISE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydicom.dataset import Dataset

    from napari_brgm.scans.dicom_frame import DicomFrame
    from napari_brgm.scans.dicom_planes import DicomPlane

__all__ = ["Encoding", "decimals", "encoding_of", "scale_of", "set_pixels"]

_MOST = 2**16 - 1
_OLD_VALUES = (  # what single stored values meant
    "PixelPaddingValue", "PixelPaddingRangeLimit", "FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit",
    "DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit", "RealWorldValueMappingSequence",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the values of a series are stored.

    Attributes
    ----------
    allocated, bits : int
    signed : bool
    photometric : str
    as_source : bool
        Whether pixel type and scale are the source's.
    inverted : bool
        Whether high stored values are low real ones.
    floats : bool
        The values themselves, in 32 or 64 bits; ``bits``, ``signed`` and ``inverted`` say nothing then.
    slope, intercept : str or None
        Of the series, as decimal strings; None: those of each plane's template.
    """

    allocated: int
    bits: int
    signed: bool
    photometric: str = "MONOCHROME2"
    as_source: bool = False
    inverted: bool = False
    floats: bool = False
    slope: str | None = None
    intercept: str | None = None

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest stored value."""
        return (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.signed else (0, 2**self.bits - 1)

    def stored(self, plane: DicomPlane) -> npt.NDArray[Any]:
        """(rows, columns) whole numbers of a plane, not yet checked against the limits."""
        slope, intercept = _scale(plane) if self.slope is None else (float(self.slope), float(self.intercept or 0))
        values = plane.values
        if values.dtype.kind in "iu" and (slope, intercept) == (1, 0):  # those of 64 bits do not fit float64
            integers = values if values.itemsize == 8 else values.astype(np.int64)
        else:
            integers = np.rint((values.astype(np.float64) - intercept) / slope)
        return sum(self.limits) - integers if self.inverted else integers

    def bytes(self, plane: DicomPlane) -> bytes:
        """Pixels as they go into the file, little endian."""
        if self.floats:
            return plane.values.astype(f"<f{self.allocated // 8}").tobytes()
        kind = np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")
        return as_type(self.stored(plane), kind, self.limits).astype(kind.newbyteorder("<")).tobytes()

    def beyond(self, planes: Iterable[DicomPlane]) -> int:
        """How many values of these planes are not within the limits, and would be cut off."""
        low, high = self.limits
        every = () if self.floats else map(self.stored, planes)
        return sum(int(np.count_nonzero((stored < low) | (stored > high))) for stored in every)


def encoding_of(planes: Sequence[DicomPlane], *, own_scale: bool) -> Encoding:
    """Choose how to store a series; ``own_scale``: its values are not those of the source's scale.

    Raises
    ------
    OutputError
        A value is not finite, and the source has no float pixels.
    """
    if all(_has_floats(plane.template.dataset) for plane in planes):
        return _of_floats(planes, own_scale)
    low, high = (float(f([f(plane.values) for plane in planes])) for f in (np.min, np.max))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise OutputError(f"the image holds values that are not finite, which DICOM cannot store; {OTHERWISE}")
    if not own_scale:
        source = _of_source(planes)
        wide = [Encoding(16, 16, signed) for signed in (False, True)]
        for encoding in ([source] if source else []) + wide:
            if not encoding.beyond(planes):
                return encoding
        if source:
            return next((encoding for encoding in reversed(wide) if _within(source, encoding)), source)
    slope = format_number_as_ds(float(np.float64((high - low) / _MOST or 1.0) * (1 + 1e-9)))  # rounding must not clip
    return Encoding(16, 16, False, slope=slope, intercept=format_number_as_ds(low))


def set_pixels(dataset: Dataset, planes: Sequence[DicomPlane], encoding: Encoding) -> None:
    """Put the pixels of ``planes`` and what describes them into a dataset; its scale only where it is not a frame's."""
    dataset.Rows, dataset.Columns = planes[0].values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, encoding.photometric
    dataset.BitsAllocated = encoding.allocated
    if not encoding.floats:
        dataset.BitsStored, dataset.HighBit = encoding.bits, encoding.bits - 1
        dataset.PixelRepresentation = int(encoding.signed)
    if not encoding.as_source:
        for keyword in _OLD_VALUES:
            if keyword in dataset:
                delattr(dataset, keyword)
        if "PresentationLUTShape" in dataset:
            dataset.PresentationLUTShape = "IDENTITY"
    pixels = b"".join(encoding.bytes(plane) for plane in planes)
    keyword, kind = "PixelData", "OB" if encoding.allocated == 8 else "OW"
    if encoding.floats:
        keyword, kind = ("FloatPixelData", "OF") if encoding.allocated == 32 else ("DoubleFloatPixelData", "OD")
    dataset.add_new(keyword, kind, pixels + b"\0" * (len(pixels) % 2))


def decimals(numbers: Iterable[float]) -> list[str]:
    """Numbers as DICOM's decimal strings: 16 characters, about 14 digits."""
    return [format_number_as_ds(float(number)) for number in numbers]


def scale_of(frame: DicomFrame, said: Dataset) -> dict[str, str]:
    """Rescale elements of a frame that a header says otherwise than they were read, as decimal strings."""
    own = {"RescaleSlope": frame.slope, "RescaleIntercept": frame.intercept}
    odd = any(float(said.get(keyword) or 0) != value for keyword, value in own.items())
    return {keyword: format_number_as_ds(value) for keyword, value in own.items()} if odd else {}


def _scale(plane: DicomPlane) -> tuple[float, float]:
    """Slope and intercept of the template; a lookup table has none."""
    frame = plane.template
    return (1.0, 0.0) if frame.dataset.get("ModalityLUTSequence") or not frame.slope else (frame.slope, frame.intercept)


def _has_floats(dataset: Dataset) -> bool:
    """Whether a file, read without its pixels, has float ones: those of integers say how many bits and which sign."""
    return "PixelRepresentation" not in dataset and "BitsStored" not in dataset


def _of_floats(planes: Sequence[DicomPlane], own_scale: bool) -> Encoding:
    """The values as they are; a scale of the source is done with."""
    bits = 64 if planes[0].values.dtype != np.float32 else 32
    same = all(_scale(plane) == (1, 0) for plane in planes)
    slope, intercept = (None, None) if same else ("1", "0")
    return Encoding(bits, bits, True, as_source=same and not own_scale, floats=True, slope=slope, intercept=intercept)


def _within(source: Encoding, encoding: Encoding) -> bool:
    low, high = encoding.limits
    return low <= source.limits[0] and source.limits[1] <= high


def _of_source(planes: Sequence[DicomPlane]) -> Encoding | None:
    """The source's own encoding, if all of its files have the same and it is one of whole bytes."""
    kinds = {_pixel_type(plane.template.dataset) for plane in planes}
    if len(kinds) != 1:
        return None
    allocated, bits, signed, photometric = kinds.pop()
    first: Dataset = planes[0].template.dataset
    if allocated not in (8, 16, 32, 64) or not 1 < bits <= allocated or first.get("ModalityLUTSequence"):
        return None
    inverted = photometric == "MONOCHROME1" and units_of(first) == "a.u."
    return Encoding(allocated, bits, signed, photometric, True, inverted)


def _pixel_type(dataset: Dataset) -> tuple[int, int, bool, str]:
    allocated = int(dataset.get("BitsAllocated") or 16)
    bits = int(dataset.get("BitsStored") or allocated)
    photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    return allocated, bits, bool(dataset.get("PixelRepresentation")), photometric
