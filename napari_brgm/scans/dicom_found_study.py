"""A result that was written as DICOM (``dicom_study``), put together again from its files.

Frames of the map and of the segmentation are placed by the images of the estimate that they refer to, whatever folders
they lie in by now. A series of secondary captures refers to source images only: it goes with the estimate of its run
beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom_claims import frame_count
from napari_brgm.scans.dicom_file import dataset_of, header_of, looks_like_dicom, opening, sentence_on_failure
from napari_brgm.scans.dicom_header import DicomHeader
from napari_brgm.scans.dicom_private import read_record
from napari_brgm.scans.names import STUDY_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.scan import Scan
    from napari_brgm.scans.dicom_frame import DicomFrame

    Places = dict[tuple[str, int], tuple[int, int]]

__all__ = ["FoundStudy", "images_told_of", "series_uid", "studies_of", "study_folder"]

_ESTIMATES = ("restored", "cleaned")  # roles; on a finer grid it is the factor


@dataclass(frozen=True, slots=True, eq=False)
class FoundStudy:
    """One result.

    Attributes
    ----------
    estimate : Scan
    std : Scan or None
        On the estimate's grid, 0 where it says nothing; None: there is none.
    synthetic : Scan or None
        Booleans on the estimate's grid; None: there is no segmentation.
    """

    estimate: Scan
    std: Scan | None
    synthetic: Scan | None


def study_folder(path: Path) -> Path | None:
    """The folder of the result that a file, or a folder of files, belongs to by the names of folders; None: of none.

    Whose the files are is looked at when they are read.
    """
    for one in (path, path.parent):
        if one.name in STUDY_FOLDERS and (one.parent / STUDY_FOLDERS[0]).is_dir():
            return one.parent
    return None


def series_uid(header: object) -> str:
    """Of the series that a scan was read from; '' for others."""
    return str(header[0].get("SeriesInstanceUID") or "") if isinstance(header, DicomHeader) and header else ""


def images_told_of(header: Dataset) -> set[str]:
    """UIDs of the images of the estimate that a file of a result is, or speaks of."""
    return {str(header.get("SOPInstanceUID") or ""), *(uid for uid, _ in _references(header))} - {""}


def studies_of(scans: Sequence[Scan], folder: Path) -> tuple[list[FoundStudy], list[Scan]]:
    """Put together what was read from a folder.

    Parameters
    ----------
    scans : sequence of Scan
        All that ``read_dicom`` found there.
    folder : Path
        Where segmentations are looked for.

    Returns
    -------
    studies : list of FoundStudy
        Results with a standard deviation or a segmentation beside them.
    others : list of Scan
        What belongs to none of them.
    """
    others = list(scans)
    studies: list[FoundStudy] = []
    estimates = [scan for scan in scans if _is_estimate(scan)]
    segmentations = list(_segmentations(folder)) if estimates else []
    for estimate in estimates:
        places = _places(estimate)
        spread = next((one for one in others if _role(one) == "std" and _belongs(one, estimate, places)), None)
        synthetic, record = np.zeros(estimate.shape, bool), None
        for path, header in segmentations:
            if any(reference in places for reference in _references(header)):
                record = _add(path, header, synthetic, places) or record
        if spread is None and record is None:
            continue
        std = mask = None
        if spread is not None:
            values = _on_grid(spread, estimate, places)
            told = dict(spread.provenance or {})
            std = replace(estimate, array=values, provenance=told, units=spread.units, name=spread.name)
        if record is not None:
            mask = replace(estimate, array=synthetic, provenance=record, units="none")
        studies.append(FoundStudy(estimate, std, mask))
        others = [one for one in others if one is not estimate and one is not spread]
    return studies, others


def _is_estimate(scan: Scan) -> bool:
    role = _role(scan)
    return _stack(scan) is not None and (role in _ESTIMATES or (role[:1] == "x" and role[1:2].isdigit()))


def _role(scan: Scan) -> str:
    return str((scan.provenance or {}).get("role") or "")


def _stack(scan: Scan) -> list[list[DicomFrame]] | None:
    """``[t][k]``."""
    stack = scan.header.stack if isinstance(scan.header, DicomHeader) else None
    return None if stack is None else stack.frames


def _frames(scan: Scan) -> Iterator[tuple[int, int, DicomFrame]]:
    """Time, slice and frame."""
    for t, volume in enumerate(_stack(scan) or ()):
        for k, frame in enumerate(volume):
            yield t, k, frame


def _places(estimate: Scan) -> Places:
    """UID and frame number (from 1) of an image -> its time and slice."""
    return {
        (str(frame.dataset.get("SOPInstanceUID") or ""), frame.number + 1): (t, k) for t, k, frame in _frames(estimate)
    }


def _references(dataset: Dataset) -> list[tuple[str, int]]:
    """Of each frame of a map or a segmentation: the image that it was derived from first, which is of the estimate.

    None at all where they are damaged.
    """
    found = []
    try:
        with sentence_on_failure("a result"):
            for groups in dataset.get("PerFrameFunctionalGroupsSequence") or ():
                (derived,) = list(groups.get("DerivationImageSequence") or ())[:1] or (Dataset(),)
                (source,) = list(derived.get("SourceImageSequence") or ())[:1] or (Dataset(),)
                number = int(source.get("ReferencedFrameNumber") or 1)
                found.append((str(source.get("ReferencedSOPInstanceUID") or ""), number))
    except ScanError:
        return []
    return found


def _belongs(spread: Scan, estimate: Scan, places: Places) -> bool:
    for _, _, frame in _frames(spread):
        if "PerFrameFunctionalGroupsSequence" in frame.dataset:
            return any(reference in places for reference in _references(frame.dataset))
        own, theirs = spread.provenance or {}, estimate.provenance or {}
        first = next(found for _, _, found in _frames(estimate))
        beside = frame.path.parent.parent == first.path.parent.parent
        return beside and spread.shape == estimate.shape and own.get("run") == theirs.get("run")
    return False


def _on_grid(spread: Scan, estimate: Scan, places: Places) -> npt.NDArray[np.float32]:
    """The standard deviation of the estimate's shape; 0 where it says nothing."""
    values = np.zeros(estimate.shape, np.float32)
    whole, given = _timed(values), _timed(spread.array)
    references: dict[int, list[tuple[str, int]]] = {}
    for t, k, frame in _frames(spread):
        if "PerFrameFunctionalGroupsSequence" not in frame.dataset:
            values[...] = spread.array
            break
        key = id(frame.dataset)
        if key not in references:
            references[key] = _references(frame.dataset)
        place = places.get(references[key][frame.number]) if frame.number < len(references[key]) else None
        if place is not None and given.shape[:2] == whole.shape[:2]:
            whole[:, :, place[1], place[0]] = given[:, :, k, t]
    return values


def _segmentations(folder: Path) -> Iterator[tuple[Path, Dataset]]:
    """Those of ours below a folder, by their headers; what cannot be read is passed over."""
    for path in sorted(one for one in folder.rglob("*") if one.is_file() and looks_like_dicom(opening(one))):
        try:
            with sentence_on_failure(path.name):
                header, _ = header_of(path)
                if header.get("SOPClassUID") == SegmentationStorage and read_record(header)[0] is not None:
                    yield path, header
        except ScanError:
            continue


def _add(path: Path, header: Dataset, synthetic: npt.NDArray[np.bool_], places: Places) -> dict[str, object] | None:
    """Set what a segmentation says, and give its record; None, and nothing set, where it cannot be of this result."""
    whole = _timed(synthetic)
    columns, rows = whole.shape[:2]
    try:
        with sentence_on_failure(path.name):
            references, count = _references(header), frame_count(header, path.name)
            size = (int(header.Rows), int(header.Columns), int(header.get("BitsAllocated") or 0))
            if count != len(references) or count > len(places) or size != (rows, columns, 1):
                return None
            bits = count * rows * columns
            packed = np.frombuffer(dataset_of(path, bits + (1 << 24)).get("PixelData") or b"", np.uint8)
            if packed.size not in (-(-bits // 8), -(-bits // 8) + 1):  # compressed, or cut off
                return None
            flags = np.unpackbits(packed, count=bits, bitorder="little").reshape(count, rows, columns)
            for frame, reference in zip(flags, references, strict=True):
                if (place := places.get(reference)) is not None:
                    whole[:, :, place[1], place[0]] = frame.T
            return read_record(header)[0]
    except ScanError:
        return None


def _timed(array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """(I, J, K, T): a view."""
    return array if array.ndim == 4 else array[..., None]
