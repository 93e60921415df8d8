"""DICOM: files and series folders to scans.

Arrays are (columns, rows, slices[, times]); the affine maps them to RAS+ mm. Each series, echo, image type and
orientation is a scan of its own; several images at each position form a 4-D scan. See ``dicom_series`` for the geometry
and ``dicom_pixels`` for the values.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_brgm.errors import InputError, ScanError
from napari_brgm.scan import Scan
from napari_brgm.scans.dicom_file import dataset_of, looks_like_dicom, opening, sentence_on_failure
from napari_brgm.scans.dicom_frame import DicomFrame, frames_of
from napari_brgm.scans.dicom_header import DicomHeader
from napari_brgm.scans.dicom_mosaic import tiles_of
from napari_brgm.scans.dicom_pixels import units_of, values_of
from napari_brgm.scans.dicom_private import read_record
from napari_brgm.scans.dicom_series import Stack, stacks_of

__all__ = ["read_dicom"]


def read_dicom(path: str | Path) -> list[Scan]:
    """Read a DICOM file, or every image series below a folder.

    Files of a folder that are not DICOM are skipped. What cannot be read while something else can is told in the
    ``notes`` of the scans.

    Raises
    ------
    ScanError
        Nothing there is a DICOM image that can be read.
    """
    path = Path(path)
    if not path.exists():
        raise ScanError(f"there is no file or folder {path.name}; check the path")
    frames: list[DicomFrame] = []
    problems: list[str] = []
    seen: set[str] = set()
    for file in _files(path):
        try:
            with sentence_on_failure(file.name):
                dataset = dataset_of(file, pixels=False)
                identity = str(dataset.get("SOPInstanceUID") or file)
                if identity not in seen:  # else the same image under a second name
                    frames.extend(tile for frame in frames_of(dataset, file) for tile in tiles_of(frame))
                    seen.add(identity)
        except ScanError as error:
            problems.append(str(error))
    stacks, unstacked = stacks_of(frames)
    problems += unstacked
    scans: list[Scan] = []
    kinds: list[list[str]] = []
    for stack in stacks:
        try:
            scans.append(_scan(stack, path))
            kinds.append(str(stack.frames[0][0].kind[2]).split())
        except (ScanError, InputError) as error:
            problems.append(str(error))
    if not scans:
        raise ScanError(
            problems[0] if problems else f"the folder {path.name} has no DICOM image; open NIfTI files by themselves"
        )
    names = [_told_apart(i, [scan.name for scan in scans], kinds) for i in range(len(scans))]
    left_out = tuple(f"left out: {problem}" for problem in dict.fromkeys(problems))
    return [replace(scan, name=name, notes=scan.notes + left_out) for scan, name in zip(scans, names, strict=True)]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise ScanError(f"the folder {path.name} cannot be listed; check its permissions") from error
    return [file for file in files if file.name != "DICOMDIR" and looks_like_dicom(opening(file))]


def _told_apart(index: int, names: list[str], kinds: list[list[str]]) -> str:
    """Name of a scan, with the words of its image type or a number where others of the series share the name."""
    alike = [i for i, name in enumerate(names) if name == names[index]]
    if len(alike) == 1:
        return names[index]
    own = [word for word in kinds[index] if any(word not in kinds[i] for i in alike)]
    unique = sum(kinds[i] == kinds[index] for i in alike) == 1
    return f"{names[index]} {' '.join(own)}" if own and unique else f"{names[index]} ({alike.index(index) + 1})"


def _scan(stack: Stack, path: Path) -> Scan:
    frames = [frame for volume in stack.frames for frame in volume]
    first = frames[0]
    notes = tuple(dict.fromkeys((*stack.notes, *(note for frame in frames for note in frame.notes))))
    datasets = {id(frame.dataset): frame.dataset for frame in frames}
    with sentence_on_failure(first.path.name):
        number, series, modality = (first.dataset.get(k) for k in ("SeriesNumber", "SeriesDescription", "Modality"))
        name = " ".join(str(word) for word in (number, series) if word not in (None, ""))
        record, units, doubts = read_record(first.dataset)
        return Scan(
            values_of(stack),
            stack.affine,
            units or units_of(first.dataset),
            name or str(modality or path.stem),
            str(modality or ""),
            path,
            DicomHeader(datasets.values(), stack),
            notes + doubts,
            record,
        )
