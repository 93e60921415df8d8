"""Place of a DICOM frame: its position and orientation, from every place where the standard lets them stand.

    enhanced                    plane position and orientation of the frame, or shared by all
    nuclear medicine            those of its detector, for the first slice; the slice vector tells the others
    several frames in a row     those of the file for the first, an offset along the normal for each
    3-D ultrasound              position and orientation in the volume, not in the patient

Source: DICOM PS3.3 C.7.6.2.1.1 (plane), C.7.6.16.2.3 and .4 (functional groups), C.8.4.11 (NM detector), C.8.4.15 (NM
reconstruction: a positive distance stacks along the normal), C.8.8.3.2 (grid frame offsets), C.8.24.3 (volumes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_brgm.scans.dicom_elements import Elements, FileElements

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

__all__ = ["offset_along", "place_of"]

Vector = npt.NDArray[np.float64]
VOLUME_NOTE = "its slices are placed in the ultrasound volume, not in the patient: left and right are not known"
_OFFSETS = ("GridFrameOffsetVector", "SliceLocationVector")  # mm


def place_of(elements: Elements) -> tuple[Vector | None, Vector | None, tuple[str, ...]]:
    """Find the place of a frame.

    Returns
    -------
    position : (3,) ndarray or None
        LPS mm of the centre of the first pixel.
    axes : (2, 3) ndarray or None
        LPS directions along a row and along a column.
    notes : tuple of str

    Raises
    ------
    ScanError
        Something else than numbers stands there.
    """
    position = elements.numbers("PlanePositionSequence", "ImagePositionPatient", 3)
    axes = elements.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
    notes: tuple[str, ...] = ()
    detector = _detector(elements)
    if detector is not None:
        inner = Elements(FileElements(detector, elements.name))
        position = inner.numbers("", "ImagePositionPatient", 3) if position is None else position
        axes = inner.numbers("", "ImageOrientationPatient", 6) if axes is None else axes
    if position is None and axes is None:
        position = elements.numbers("PlanePositionVolumeSequence", "ImagePositionVolume", 3)
        axes = elements.numbers("PlaneOrientationVolumeSequence", "ImageOrientationVolume", 6)
        notes = () if axes is None else (VOLUME_NOTE,)
    if axes is not None:
        axes = axes.reshape(2, 3)
    offset = None if elements.groups else offset_along(elements)
    if position is not None and axes is not None and offset:
        position = position + np.cross(*axes) * offset
    return position, axes, notes


def offset_along(elements: Elements) -> float | None:
    """Distance of a frame from the first one along the normal, mm, in a file that places its first frame only."""
    for keyword in _OFFSETS:
        value, first = elements.vector_at(keyword), Elements(elements.file).vector_at(keyword)
        if value is not None and first is not None:
            return value - first
    index = elements.vector_at("SliceVector")
    if index is None and "RECON TOMO" in elements.word("", "ImageType"):
        index = elements.number + 1
    step = elements.number_at("", "SpacingBetweenSlices") or elements.number_at("", "SliceThickness")
    return None if index is None or not step else (index - 1) * step


def _detector(elements: Elements) -> Dataset | None:
    """Item of the detector that a nuclear medicine frame was taken by."""
    items = elements.file.top("DetectorInformationSequence") or []
    index = int(elements.vector_at("DetectorVector") or 1) - 1
    detector: Dataset | None = items[index] if 0 <= index < len(items) else items[0] if len(items) else None
    return detector
