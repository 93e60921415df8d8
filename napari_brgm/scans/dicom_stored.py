"""Real values -> the integers a DICOM file stores. The first of three ways that holds all values of a series is taken:

    as the source     its slope, intercept and bits: measured pixels get back their very integers
    16 bits           its slope and intercept in 16 bits, for synthetic values beyond its range
    own scale         slope = (max - min) / (2^16 - 1), intercept = min, for uncertainties and everything else

Synthetic values are rounded to the quantum, |slope|.

Source: DICOM PS3.3 C.11.1 (modality LUT), C.7.6.3.1.2 (photometric interpretation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydicom.valuerep import format_number_as_ds

from napari_brgm.errors import OutputError
from napari_brgm.scans.dicom_pixels import units_of
from napari_brgm.scans.dicom_planes import OTHERWISE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydicom.dataset import Dataset

    from napari_brgm.scans.dicom_planes import Plane

__all__ = ["Encoding", "decimals", "encoding_of", "set_pixels"]

_MOST = 2**16 - 1


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
    slope, intercept : str or None
        Of the series, as decimal strings; None: those of each plane's template.
    """

    allocated: int
    bits: int
    signed: bool
    photometric: str = "MONOCHROME2"
    as_source: bool = False
    inverted: bool = False
    slope: str | None = None
    intercept: str | None = None

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest stored value."""
        return (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.signed else (0, 2**self.bits - 1)

    def stored(self, plane: Plane) -> npt.NDArray[Any]:
        """(rows, columns) integers of a plane, not yet checked against the limits."""
        slope, intercept = _scale(plane) if self.slope is None else (float(self.slope), float(self.intercept or 0))
        integers = np.rint((plane.values.astype(np.float64) - intercept) / slope)
        return sum(self.limits) - integers if self.inverted else integers

    def bytes(self, plane: Plane) -> bytes:
        """Pixels as they go into the file, little endian."""
        return self.stored(plane).astype(f"<{'i' if self.signed else 'u'}{self.allocated // 8}").tobytes()

    def holds(self, planes: Sequence[Plane]) -> bool:
        """Whether every value of every plane is within the limits."""
        low, high = self.limits
        for plane in planes:
            stored = self.stored(plane)
            if stored.min() < low or stored.max() > high:
                return False
        return True


def encoding_of(planes: Sequence[Plane], *, own_scale: bool) -> Encoding:
    """Choose how to store a series; ``own_scale``: its values are not those of the source's scale.

    Raises
    ------
    OutputError
        A value is not finite.
    """
    low, high = (float(f([f(plane.values) for plane in planes])) for f in (np.min, np.max))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise OutputError(f"the image holds values that are not finite, which DICOM cannot store; {OTHERWISE}")
    if not own_scale:
        source = _of_source(planes)
        wide = (Encoding(16, 16, signed) for signed in (False, True))
        for encoding in (*([source] if source else []), *wide):
            if encoding.holds(planes):
                return encoding
    slope = format_number_as_ds(float(np.float64((high - low) / _MOST or 1.0) * (1 + 1e-9)))  # rounding must not clip
    return Encoding(16, 16, False, slope=slope, intercept=format_number_as_ds(low))


def set_pixels(dataset: Dataset, planes: Sequence[Plane], encoding: Encoding) -> None:
    """Put the pixels of ``planes`` and what describes them into a dataset; its scale only where it is not a frame's."""
    dataset.Rows, dataset.Columns = planes[0].values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, encoding.photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = encoding.allocated, encoding.bits, encoding.bits - 1
    dataset.PixelRepresentation = int(encoding.signed)
    if not encoding.as_source:
        for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit", "RealWorldValueMappingSequence"):
            if keyword in dataset:
                delattr(dataset, keyword)
        if "PresentationLUTShape" in dataset:
            dataset.PresentationLUTShape = "IDENTITY"
    pixels = b"".join(encoding.bytes(plane) for plane in planes)
    dataset.add_new("PixelData", "OB" if encoding.allocated == 8 else "OW", pixels + b"\0" * (len(pixels) % 2))


def decimals(numbers: Iterable[float]) -> list[str]:
    """Numbers as DICOM's decimal strings: 16 characters, about 14 digits."""
    return [format_number_as_ds(float(number)) for number in numbers]


def _scale(plane: Plane) -> tuple[float, float]:
    """Slope and intercept of the template; a lookup table has none."""
    frame = plane.template
    return (1.0, 0.0) if frame.dataset.get("ModalityLUTSequence") or not frame.slope else (frame.slope, frame.intercept)


def _of_source(planes: Sequence[Plane]) -> Encoding | None:
    """The source's own encoding, if all of its files have the same and it is one of whole bytes."""
    kinds = {_pixel_type(plane.template.dataset) for plane in planes}
    if len(kinds) != 1:
        return None
    allocated, bits, signed, photometric = kinds.pop()
    first: Dataset = planes[0].template.dataset
    if allocated not in (8, 16, 32) or not 1 < bits <= allocated or first.get("ModalityLUTSequence"):
        return None
    inverted = photometric == "MONOCHROME1" and units_of(first) == "a.u."
    return Encoding(allocated, bits, signed, photometric, True, inverted)


def _pixel_type(dataset: Dataset) -> tuple[int, int, bool, str]:
    allocated = int(dataset.get("BitsAllocated") or 16)
    bits = int(dataset.get("BitsStored") or allocated)
    photometric = str(dataset.get("PhotometricInterpretation") or "MONOCHROME2")
    return allocated, bits, bool(dataset.get("PixelRepresentation")), photometric
