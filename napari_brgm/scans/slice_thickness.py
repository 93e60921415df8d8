"""Thickness of slices, as a DICOM file says it; how far apart they are is another length, which their positions tell.

Source: DICOM PS3.3 C.7.6.2 (SliceThickness: nominal, in mm), C.7.6.16.2.1 (pixel measures).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_brgm.scans.dicom_elements import Elements, FileElements
from napari_brgm.scans.dicom_header import DicomHeader

if TYPE_CHECKING:
    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["slice_thickness"]

_SAME = 1e-3  # relative


def slice_thickness(header: object) -> float | None:
    """Thickness in mm of the slices, along the last axis, of the scan with this header.

    None where it is not from DICOM, or its files do not say it, or not the same of all slices.
    """
    if not isinstance(header, DicomHeader) or header.stack is None:
        return None
    found = [_of_frame(frame) for frame in header.stack.frames[0]]
    told = [one for one in found if one is not None and one > 0]
    if len(told) < len(found) or max(told) - min(told) > _SAME * max(told):
        return None
    return told[0]


def _of_frame(frame: DicomFrame) -> float | None:
    dataset = frame.dataset
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    own = None if groups is None else groups[frame.number]
    file = FileElements(dataset, frame.path.name, list(dataset.get("SharedFunctionalGroupsSequence") or []))
    return Elements(file, frame.number, own).number_at("PixelMeasuresSequence", "SliceThickness")
