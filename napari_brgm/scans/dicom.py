"""DICOM: files and series folders to scans.

Arrays are (columns, rows, slices[, times]); the affine maps them to RAS+ mm. Each series, echo, image type and
orientation is a scan of its own; several images at each position form a 4-D scan. See ``dicom_series`` for the
geometry, ``dicom_volumes`` for the times and ``dicom_pixels`` for the values.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_brgm.errors import InputError, ScanError
from napari_brgm.scan import Scan
from napari_brgm.scans.dicom_claims import check_claims
from napari_brgm.scans.dicom_copies import Copies
from napari_brgm.scans.dicom_elements import printable
from napari_brgm.scans.dicom_file import header_of, looks_like_dicom, opening, sentence_on_failure
from napari_brgm.scans.dicom_frame import DicomFrame, check_grey, frames_of
from napari_brgm.scans.dicom_header import DicomHeader
from napari_brgm.scans.dicom_pixels import PixelFile, units_of, values_of
from napari_brgm.scans.dicom_private import read_record
from napari_brgm.scans.dicom_series import ImageStack, stacks_of
from napari_brgm.scans.dicom_split import names_of, split_notes
from napari_brgm.scans.dicom_tiles import tiles_of
from napari_brgm.scans.dicom_unplaced import lined_up
from napari_brgm.scans.scaling import not_finite_note

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
    copies = Copies()
    for file in _files(path):
        try:
            with sentence_on_failure(file.name):
                own = _frames(file)
                if not copies.holds(own):
                    frames.extend(own)
        except ScanError as error:
            problems.append(str(error))
    stacks, unstacked = stacks_of(lined_up(frames))
    problems += unstacked
    scans: list[Scan] = []
    whole: list[ImageStack] = []
    pixels = PixelFile()
    for stack in stacks:
        try:
            scans.append(_scan(stack, path, pixels))
            whole.append(stack)
        except (ScanError, InputError) as error:
            problems.append(str(error))
    if not scans:
        raise ScanError(
            problems[0] if problems else f"the folder {path.name} has no DICOM image; open NIfTI files by themselves"
        )
    left_out = (*(f"left out: {problem}" for problem in dict.fromkeys(problems)), *copies.notes)
    names = names_of([scan.name for scan in scans], [stack.frames[0][0].kind.image_type for stack in whole])
    return [
        replace(scan, name=name, notes=scan.notes + told + left_out)
        for scan, name, told in zip(scans, names, split_notes(whole), strict=True)
    ]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    try:
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    except OSError as error:
        raise ScanError(f"the folder {path.name} cannot be listed; check its permissions") from error
    return [file for file in files if file.name != "DICOMDIR" and looks_like_dicom(opening(file))]


def _frames(file: Path) -> list[DicomFrame]:
    """All planes of a file; what it speaks of is held against what it holds first."""
    dataset, pixels = header_of(file)
    check_grey(dataset, file.name)
    notes = check_claims(dataset, pixels, file.name)
    tiles = tiles_of(dataset, file)
    return [
        replace(frame, notes=frame.notes + notes) if notes else frame for frame in tiles or frames_of(dataset, file)
    ]


def _scan(stack: ImageStack, path: Path, pixels: PixelFile) -> Scan:
    frames = [frame for volume in stack.frames for frame in volume]
    first = frames[0]
    notes = tuple(dict.fromkeys((*stack.notes, *(note for frame in frames for note in frame.notes))))
    datasets = {id(frame.dataset): frame.dataset for frame in frames}
    with sentence_on_failure(first.path.name):
        words = (printable(first.dataset.get(keyword)) for keyword in ("SeriesNumber", "SeriesDescription"))
        modality = printable(first.dataset.get("Modality"))
        record, units, doubts = read_record(first.dataset)
        array = values_of(stack.frames, pixels)
        return Scan(
            array,
            stack.affine,
            units or units_of(first.dataset),
            " ".join(word for word in words if word) or modality or printable(path.stem),
            modality,
            path,
            DicomHeader(datasets.values(), stack),
            notes + not_finite_note(array) + doubts,
            record,
        )
