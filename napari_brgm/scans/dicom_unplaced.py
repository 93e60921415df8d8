"""Cross-sections whose files do not say where they lie: stacked by what is left, and told so.

    no position         along the normal, by SliceLocation, offset or number in the stack, or InstanceNumber
    no orientation      at their positions; the plane is the one across the line on which these lie
    neither             axial, or as PatientOrientation says, by the same numbers

They are a guess, and no two files of a series are mixed of which one has a place and the other has none.

Source: DICOM PS3.3 C.7.6.2.1.2 (slice location), C.7.6.1.1.1 (patient orientation).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_brgm.scans.dicom_elements import number_of
from napari_brgm.scans.dicom_keys import INSTANCE
from napari_brgm.scans.dicom_projection import patient_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["lined_up"]

Vector = npt.NDArray[np.float64]
_PLANES = {  # LPS directions of rows and columns, as most scanners write them
    "axial": ((1, 0, 0), (0, 1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
}
_ACROSS = ("sagittal", "coronal", "axial")  # of a line along x, y, z


def lined_up(frames: Sequence[DicomFrame]) -> list[DicomFrame]:
    """Give frames that lack position or orientation a place among those of their series; others stay as they are."""
    groups: dict[object, list[int]] = {}
    for index, frame in enumerate(frames):
        if frame.lacks:
            groups.setdefault((frame.kind, frame.shape), []).append(index)
    found = list(frames)
    for indices in groups.values():
        for index, frame in zip(indices, _placed([frames[i] for i in indices]), strict=True):
            found[index] = frame
    return found


def _placed(group: list[DicomFrame]) -> list[DicomFrame]:
    first = group[0]
    axes, which, told = first.axes, "", ""
    if "orientation" in first.lacks:
        named = patient_axes(first.dataset)
        which = _plane(group)
        axes = np.array(_PLANES[which], dtype=float) if named is None else named
        told = f"{which} ones are assumed" if named is None else "the nearest planes of the body are assumed"
    if "position" not in first.lacks:
        note = f"the files give positions but no orientation of their slices: {told}, left and right are a guess"
        return [replace(frame, axes=axes, notes=(*frame.notes, note)) for frame in group]
    lines, by = _lines(group)
    what = "no positions of their slices" if not told else f"neither position nor orientation of their slices: {told}"
    distance = "" if len(set(lines)) < 2 else f", {float(np.diff(np.unique(lines)).min()):.4g} mm apart"
    note = f"the files give {what}{',' if told else ':'} in the order of {by}{distance}; where they lie is a guess"
    normals = [np.cross(*(axes if told else frame.axes)) for frame in group]
    return [
        replace(frame, axes=axes if told else frame.axes, position=normal * line, notes=(*frame.notes, note))
        for frame, line, normal in zip(group, lines, normals, strict=True)
    ]


def _plane(group: list[DicomFrame]) -> str:
    """Plane across the line on which the positions lie; axial where there is none."""
    positions = np.unique([frame.position for frame in group], axis=0)
    if "position" in group[0].lacks or len(positions) < 2:
        return "axial"
    direction = np.linalg.svd(positions - positions.mean(axis=0))[2][0]
    return _ACROSS[int(np.argmax(np.abs(direction)))]


def _lines(group: list[DicomFrame]) -> tuple[list[float], str]:
    """Height of each frame along the normal, mm, and what it follows."""
    locations = [number_of(frame.dataset.get("SliceLocation")) for frame in group]
    known = [place for place in locations if place is not None]
    if len(known) == len(group) and len(set(known)) > 1:
        return known, "their slice locations"
    offsets = [frame.offset for frame in group if frame.offset is not None]
    if len(offsets) == len(group) and len(set(offsets)) > 1:
        return offsets, "their slice vector" if "SliceVector" in group[0].dataset else "their offsets in the file"
    for by, numbers in (
        ("their numbers in the stack", [frame.line for frame in group]),
        ("their instance numbers", [_instance(frame) for frame in group]),
    ):
        found = [number for number in numbers if number is not None]
        if len(found) == len(group) and len(set(found)) > 1:
            step = float(np.gcd.reduce(np.diff(np.unique(found)).astype(np.int64))) or 1.0
            return [(number - min(found)) / step * _distance(group[0]) for number in found], by
    if len({frame.path for frame in group}) == 1:  # frames of one file are times
        return [0.0] * len(group), "the file"
    return [index * _distance(group[0]) for index in range(len(group))], "the files"


def _instance(frame: DicomFrame) -> float | None:
    value = frame.keys.get(INSTANCE.name)
    return float(value[0]) if isinstance(value, tuple) else None


def _distance(frame: DicomFrame) -> float:
    return frame.thickness
