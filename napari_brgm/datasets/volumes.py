"""NIfTI volumes and DICOM series to slices: one plane of each, windowed by volume, in display orientation.

Slices are counted along the patient, whatever the order in the file: from the feet (axial), the back (coronal) or the
left (sagittal), so that a range means the same anatomy in volumes stored either way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.datasets.images import check_size, to_levels
from napari_brgm.datasets.slice_set import SliceSet
from napari_brgm.datasets.volume_levels import RULE, window_of
from napari_brgm.errors import InputError, ScanError
from napari_brgm.scan import nearest_axes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_brgm.datasets.framing import Framing
    from napari_brgm.datasets.image_file import Pixels
    from napari_brgm.datasets.volume_files import VolumeFile
    from napari_brgm.engine.window import Window
    from napari_brgm.scan import Plane, Scan

__all__ = ["scans_of", "slices_of_volumes", "unfit"]

_DTYPE = np.dtype(np.uint16)
_STRETCHED = 2.0  # pixels longer than this times their width show the gaps between slices, not anatomy
_FEWEST = 8  # rows and columns of a plane
_NORMAL = {"axial": 2, "coronal": 1, "sagittal": 0}  # world axis across the plane


def slices_of_volumes(
    files: Sequence[VolumeFile],
    framing: Framing,
    *,
    pixel_mm: tuple[float, float] | None,
    plane: Plane,
    slices: tuple[int, int] | None,
    stride: int,
) -> SliceSet:
    """Take the slices ``start .. stop - 1`` of every volume, and of all of them every ``stride``-th, into the frame.

    The first volume stands for a time series. Scans whose pixels in this plane are more than twice as long as wide, or
    that have fewer than 8 rows or columns in it, are left out with a note.

    Raises
    ------
    ScanError
        A file cannot be read, none has slices of this plane, or a pixel size is not known.
    InputError
        The range lies outside a volume, or the slices would not fit into memory.
    """
    parts: list[Pixels] = []
    names: list[str] = []
    owners: list[str] = []
    windows: list[tuple[str, float, float]] = []
    notes: list[str] = []
    passed = 0  # slices seen, for the stride
    for label, subject, scan in scans_of(files):
        reason = unfit(scan, label, plane)
        if reason is not None:
            notes.append(f"left out: {reason}")
            continue
        chosen = _range(scan.count(plane), slices, label, plane)
        picked = [i for n, i in enumerate(chosen, start=passed) if n % stride == 0]
        passed += len(chosen)
        if not picked:
            continue
        check_size(2 * (len(names) + len(picked)) * framing.resolution**2 * _DTYPE.itemsize)  # once more when joined
        size = pixel_mm or _known_size(scan, label, plane, framing)
        images, window = _framed(scan, plane, picked, framing, size)
        parts.append(images)
        names += [f"{label} {plane} {i:03d}" for i in picked]
        owners += [subject] * len(picked)
        windows.append((label, window.low, window.high))
        notes += [f"{label}: {note}" for note in scan.notes]
        if scan.volumes > 1:
            notes.append(f"{label}: the first of {scan.volumes} volumes is taken")
    if not parts:
        raise ScanError(
            notes[0].removeprefix("left out: ") if notes else f"there are no {plane} slices; check the folder"
        )
    subject_names = tuple(dict.fromkeys(owners))
    number = {name: i for i, name in enumerate(subject_names)}
    subjects = np.array([number[owner] for owner in owners], np.int64)
    return SliceSet(
        np.concatenate(parts, dtype=_DTYPE), subjects, tuple(names), subject_names, framing, RULE, tuple(windows),
        tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def scans_of(files: Sequence[VolumeFile]) -> Iterator[tuple[str, str, Scan]]:
    """(label, subject, scan) of every volume, one file or series folder in memory at a time."""
    from napari_brgm.scans import read_scan

    patients: dict[str, str] = {}
    for file in files:
        found = read_scan(file.path)
        for scan in found:
            label = file.name if len(found) == 1 else f"{file.name} {scan.name}"
            yield label, file.subject or _patient(scan, patients), scan


def _patient(scan: Scan, known: dict[str, str]) -> str:
    """'patient 1', 'patient 2', ... by the headers' identifier, which is shown to nobody."""
    headers = scan.header
    identifier = str(headers[0].get("PatientID") or "") if isinstance(headers, tuple) and headers else ""
    return known.setdefault(identifier, f"patient {len(known) + 1}")


def _framed(
    scan: Scan, plane: Plane, picked: Sequence[int], framing: Framing, size: tuple[float, float]
) -> tuple[Pixels, Window]:
    """Slices (n, 1, R, R) of a scan and their window; indices count along the patient."""
    reverse = nearest_axes(scan.affine)[1][_NORMAL[plane]] < 0
    last = scan.count(plane) - 1
    stack = np.stack([scan.slice(plane, last - i if reverse else i).image for i in picked])  # (n, H, W)
    window = window_of(stack, scan.units)
    grey = np.nan_to_num(window.to_grey(stack), nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255)
    grey[grey.min(axis=(1, 2)) == grey.max(axis=(1, 2))] = 0  # shows nothing, though its edge would in the padding
    return to_levels(framing.apply(grey, size) * (65535 / 255), _DTYPE)[:, None], window


def unfit(scan: Scan, label: str, plane: Plane) -> str | None:
    """Sentence about a scan that shows no anatomy in this plane, or None."""
    shape = scan.slice(plane, 0).image.shape
    rows, columns = scan.slice(plane, 0).spacing
    if min(shape) < _FEWEST:
        return f"{label} has {plane} slices of {shape[0]} x {shape[1]} pixels; choose the plane {scan.plane}"
    if max(rows, columns) > _STRETCHED * min(rows, columns):
        return f"{label} has {plane} pixels of {rows:.3g} x {columns:.3g} mm; choose the plane {scan.plane}"
    return None


def _range(count: int, slices: tuple[int, int] | None, label: str, plane: Plane) -> range:
    if slices is None:
        return range(count)
    if not 0 <= slices[0] < slices[1] <= count:
        raise InputError(
            f"the slices {slices[0]} to {slices[1]} lie outside the {count} {plane} ones of {label}; "
            f"choose a range within 0 to {count}"
        )
    return range(*slices)


def _known_size(scan: Scan, label: str, plane: Plane, framing: Framing) -> tuple[float, float]:
    if framing.spacing_mm > 0:
        from napari_brgm.scans.dicom_frame import PIXEL_SIZE_NOTE

        if PIXEL_SIZE_NOTE in scan.notes:
            raise ScanError(f"{label} does not tell its pixel size; give it in mm")
    return scan.slice(plane, 0).spacing
