"""Geometry of a derived classic file whose image has another grid than its source's: finer, a tile, another plane.

It is written where the source has it. What the source does not say, position or orientation of a cross-section, is not
said of the result either, although it was guessed to show the scan.

Source: DICOM PS3.3 C.7.6.2 (image plane), C.8.4.11 (NM detector), C.7.6.3.1.7 (pixel aspect ratio).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydicom.valuerep import format_number_as_ds

from napari_brgm.scans.dicom_stored import decimals

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from napari_brgm.scans.dicom_planes import DicomPlane

__all__ = ["place"]

_PIXEL_SIZES = ("PixelSpacing", "ImagerPixelSpacing", "ImagePlanePixelSpacing", "NominalScannedPixelSpacing")
_PARTS = 1000  # of an aspect ratio


def place(dataset: Dataset, plane: DicomPlane) -> None:
    """Set geometry. A projection has no place: only its pixel size changes."""
    before = plane.template
    _size_pixels(dataset, plane)
    if before.kind.alone:
        return
    target = dataset
    detectors = dataset.get("DetectorInformationSequence")
    if "ImagePositionPatient" not in dataset and detectors and "ImagePositionPatient" in detectors[0]:
        target = detectors[0]
    if "position" not in before.lacks:
        target.ImagePositionPatient = decimals(plane.position)
    if "orientation" not in before.lacks:
        target.ImageOrientationPatient = decimals(plane.axes.ravel())
    dataset.PixelSpacing = decimals(plane.spacing)
    if "PixelAspectRatio" in dataset:  # may not be there beside a pixel size
        del dataset.PixelAspectRatio
    dataset.SpacingBetweenSlices = format_number_as_ds(plane.step)
    if plane.thickness is not None:
        dataset.SliceThickness = format_number_as_ds(plane.thickness)
    if dataset.get("SliceLocation") not in (None, ""):
        shift = float((plane.position - before.position) @ np.cross(*before.axes))
        dataset.SliceLocation = format_number_as_ds(float(dataset.SliceLocation) + shift)


def _size_pixels(dataset: Dataset, plane: DicomPlane) -> None:
    """Scale the pixel sizes that are there, and the shape of pixels; regions of ultrasound lie on the old grid."""
    sides = list(zip(plane.spacing, plane.template.spacing, strict=True))
    known = [keyword for keyword in _PIXEL_SIZES if dataset.get(keyword)]
    for keyword in known:
        own = dataset[keyword].value
        setattr(
            dataset, keyword, decimals([float(size) * new / old for size, (new, old) in zip(own, sides, strict=True)])
        )
    if "SequenceOfUltrasoundRegions" in dataset:
        del dataset.SequenceOfUltrasoundRegions
        if not known:
            dataset.PixelSpacing = decimals(plane.spacing)
    if dataset.get("PixelAspectRatio"):
        dataset.PixelAspectRatio = [round(_PARTS * plane.spacing[0] / plane.spacing[1]) or 1, _PARTS]
