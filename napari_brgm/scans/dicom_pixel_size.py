"""Pixel size of a DICOM frame: every place where the standard lets it stand, the patient's own before the detector's.

Source: DICOM PS3.3 C.7.6.16.2.1 and 10.7.1 (pixel spacing), C.8.19.6.9 (object pixel spacing in the centre of the
beam), C.8.11.7 and C.8.19.4 (imager pixel spacing), C.8.8.2 (RT image plane), C.8.6.2 (scanned film), C.8.5.5
(ultrasound regions), C.7.6.3.1.7 (pixel aspect ratio: vertical to horizontal size).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.scans.dicom_elements import number_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from napari_brgm.scans.dicom_elements import Elements

__all__ = ["PIXEL_SIZE_NOTE", "pixel_size"]

PIXEL_SIZE_NOTE = "no pixel size is known: 1 mm is assumed"
_PLACES = (  # functional group, element; magnification is not known of those at the detector
    ("PixelMeasuresSequence", "PixelSpacing"),
    ("ProjectionPixelCalibrationSequence", "ObjectPixelSpacingInCenterOfBeam"),
    ("FramePixelDataPropertiesSequence", "ImagerPixelSpacing"),
    ("", "ImagePlanePixelSpacing"),
    ("", "NominalScannedPixelSpacing"),
)
_CENTIMETRES = 3  # unit of an ultrasound region
_ALIKE = 1e-3  # of two regions' pixel sizes


def pixel_size(elements: Elements) -> tuple[tuple[float, float], tuple[str, ...]]:
    """Distance between rows and between columns, mm, and what is assumed.

    Raises
    ------
    ScanError
        Something else than two numbers stands there.
    """
    for sequence, keyword in _PLACES:
        found = elements.numbers(sequence, keyword, 2)
        if found is not None:
            return (float(found[0]), float(found[1])), ()
    regions = elements.file.once(_regions, lambda: _regions(elements.dataset))
    if regions and np.ptp(np.log(regions), axis=0).max() < _ALIKE:
        return regions[0], ()
    notes = ("its ultrasound regions differ in their pixel size",) if regions else ()
    ratio = elements.numbers("", "PixelAspectRatio", 2)
    if ratio is not None and min(ratio) > 0 and ratio[0] != ratio[1]:
        tall = float(ratio[0] / ratio[1])
        told = f"the file tells the shape of its pixels alone: {tall:.4g} times as high as wide"
        return (tall, 1.0), (*notes, PIXEL_SIZE_NOTE, told)
    return (1.0, 1.0), (*notes, PIXEL_SIZE_NOTE)


def _regions(dataset: Dataset) -> list[tuple[float, float]]:
    """Pixel sizes of ultrasound regions that show space in both directions, mm."""
    found = []
    for region in dataset.get("SequenceOfUltrasoundRegions") or ():
        units = [number_of(region.get(f"PhysicalUnits{axis}Direction")) for axis in "XY"]
        x, y = (abs(number_of(region.get(f"PhysicalDelta{axis}")) or 0) * 10 for axis in "XY")
        if units == [_CENTIMETRES, _CENTIMETRES] and x and y:
            found.append((y, x))
    return found
