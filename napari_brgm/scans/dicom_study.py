"""A result as DICOM that a reader can use: the estimate, its standard deviation, and what of it is not measured.

    estimate/    a series derived from the source's (``dicom_export``)
    std/         a Parametric Map (``dicom_map``)
    synthetic/   a Segmentation (``dicom_segment``)

They are in the source's study and, where that has a place in the patient, in one frame of reference. Each refers to
the source images, the last two to the images of the estimate, and these to the last two. Of a time with nothing
synthetic there is the estimate alone; else the frames go from the first slice with something synthetic to the last.

Where the source says no place (radiographs, and cross-sections that lost theirs) a Segmentation goes with each image,
pixel by pixel, and the standard deviation is a series of secondary captures, as a Parametric Map must have a frame of
reference (PS3.3 A.75), and digital radiographs must have a slope of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from pydicom import dcmread
from pydicom.uid import ParametricMapStorage, SegmentationStorage, generate_uid

from napari_brgm.errors import InputError, OutputError
from napari_brgm.scans.dicom_companions import Companion, DicomInstance, instance_of
from napari_brgm.scans.dicom_derived import Series
from napari_brgm.scans.dicom_export import check_source, sentence_on_refusal, write_series
from napari_brgm.scans.dicom_map import STD, parametric_map
from napari_brgm.scans.dicom_planes import OTHERWISE, planes_of
from napari_brgm.scans.dicom_segment import SYNTHETIC, segmentation
from napari_brgm.scans.dicom_subject import DicomSubject, is_placed
from napari_brgm.scans.names import STUDY_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from pydicom.dataset import Dataset

    from napari_brgm.scan import Scan
    from napari_brgm.scans.dicom_planes import DicomPlane

__all__ = ["write_study"]

_IMAGES, _SPREAD, _FLAGS = STUDY_FOLDERS


def write_study(
    estimate: Scan, std: Scan | None, synthetic: npt.NDArray[np.bool_], path: Path, *, number: int = 1,
    tell: Callable[[str, int, int | None], None] | None = None,
) -> list[Path]:  # fmt: skip
    """Write a result into a new folder.

    Parameters
    ----------
    estimate : Scan
        With provenance, and the header of a DICOM source; on its grid or on another one, as ``dicom_export`` takes it.
    std : Scan or None
        Posterior standard deviation on the estimate's grid, in the same units; None: nothing is known of it.
    synthetic : bool array of the estimate's shape
        True where a pixel is not measured.
    path : Path
        Must not exist; three folders are made in it.
    number : int
        1, 2, ... tells apart the series that are derived from one source together; this one and the next two are taken.
    tell : callable, optional
        Called with (what, done, total) for each file; what it raises ends the writing.

    Returns
    -------
    list of Path
        The files, those of the estimate first.

    Raises
    ------
    InputError
        The three do not fit together.
    OutputError
        As ``write_dicom``, or the standard deviation is not finite where something is synthetic.
    """
    check_source(estimate)
    if synthetic.shape != estimate.shape or (std is not None and std.shape != estimate.shape):
        shapes = " and ".join(str(one.shape) for one in (std, synthetic) if one is not None)
        raise InputError(f"an estimate of the shape {estimate.shape} does not go with {shapes}")
    with sentence_on_refusal(estimate.name):
        study = _Study.of(estimate, std, synthetic, number)
    path.mkdir()
    files = write_series(study.estimate, path / _IMAGES, tell=tell)
    with sentence_on_refusal(estimate.name):
        headers = [dcmread(file, stop_before_pixels=True) for file in files]
        for kind in study.kinds:
            (path / kind.folder).mkdir()
            for n, block in enumerate(study.blocks):
                planes = [kind.planes[i] for i in block]
                made = kind.make(study.subject(block, headers), planes, kind.series, kind.uids[n], n + 1)
                files.append(path / kind.folder / f"{n + 1:04d}.dcm")
                made.save_as(files[-1], enforce_file_format=True)
                if tell is not None:
                    tell(f"writing DICOM, {kind.folder}", n + 1, len(study.blocks))
    if study.unplaced_std is not None:
        files += write_series(study.unplaced_std, path / _SPREAD, tell=tell)
    return files


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """Objects of one kind beside the estimate, one for each block of its planes.

    Attributes
    ----------
    folder : str
    series : Series
    planes : list of DicomPlane
        All of them, on the estimate's grid.
    make : callable
        Subject, planes of a block, series, UID and instance number -> the object.
    sop_class : str
    purpose : (str, str, str)
        Why an image of the estimate refers to it.
    uids : list of str
    """

    folder: str
    series: Series
    planes: list[DicomPlane]
    make: Callable[[DicomSubject, Sequence[DicomPlane], Series, str, int], Dataset]
    sop_class: str
    purpose: tuple[str, str, str]
    uids: Sequence[str]

    def companion(self, study: str, block: int) -> Companion:
        return Companion(DicomInstance(study, self.series.uid, self.sop_class, self.uids[block]), self.purpose)


@dataclass(frozen=True, slots=True, eq=False)
class _Study:
    """All that is written of a result; ``blocks`` are indices of planes that go into one object."""

    images: list[DicomPlane]
    blocks: list[list[int]]
    kinds: list[_Kind]
    estimate: Series
    unplaced_std: Series | None
    frame_of_reference: str

    @classmethod
    def of(cls, estimate: Scan, std: Scan | None, synthetic: npt.NDArray[np.bool_], number: int) -> Self:
        images, record = planes_of(estimate), estimate.provenance or {}
        mask = replace(estimate, array=synthetic, units="none", provenance={**record, "role": "mask"})
        flags, placed = planes_of(mask), is_placed(images[0])
        blocks = _blocks(flags, placed)
        uids = [[generate_uid() for _ in blocks] for _ in range(2)]
        kinds = [_Kind(_FLAGS, Series(mask, number + 2), flags, segmentation, SegmentationStorage, SYNTHETIC, uids[0])]
        spread = None
        if std is not None:
            told = replace(std, header=estimate.header, units=estimate.units, provenance={**record, "role": "std"})
            spread = Series(told, number + 1, captured=not placed)
            if placed:
                planes = planes_of(told)
                if not all(np.isfinite(planes[i].values).all() for block in blocks for i in block):
                    raise OutputError(f"the standard deviation of '{estimate.name}' is not finite; {OTHERWISE}")
                kinds.insert(0, _Kind(_SPREAD, spread, planes, parametric_map, ParametricMapStorage, STD, uids[1]))
        first, beside = images[0].template.dataset, {}
        for n, block in enumerate(blocks):
            told_of = tuple(kind.companion(instance_of(first).study, n) for kind in kinds)
            time = images[block[0]].time
            known = [plane for plane in images if plane.time == time] if placed else [images[i] for i in block]
            beside.update({(plane.time, plane.slice): told_of for plane in known})
        place = _frame_of_reference(first) if placed else ""
        return cls(
            images, blocks, kinds, Series(estimate, number, beside, place), None if placed else spread, place
        )  # fmt: skip

    def subject(self, block: list[int], headers: Sequence[Dataset]) -> DicomSubject:
        """The planes of a block, and where they are in the files of the estimate."""
        enhanced = len(headers) == 1 and "NumberOfFrames" in headers[0]
        return DicomSubject(
            [self.images[i] for i in block],
            [headers[0 if enhanced else i] for i in block],
            [i + 1 if enhanced else None for i in block],
            self.frame_of_reference,
        )


def _blocks(flags: Sequence[DicomPlane], placed: bool) -> list[list[int]]:
    """Planes of one time from the first to the last with something synthetic; without a place each such by itself."""
    some = [i for i, plane in enumerate(flags) if plane.values.any()]
    if not placed:
        return [[i] for i in some]
    times: dict[int, list[int]] = {}
    for i in some:
        times.setdefault(flags[i].time, []).append(i)
    return [list(range(found[0], found[-1] + 1)) for found in times.values()]


def _frame_of_reference(source: Dataset) -> str:
    """That of the source; where it says none, one that all results of its series share."""
    own = str(source.get("FrameOfReferenceUID") or "")
    return own or generate_uid(entropy_srcs=[instance_of(source).series])
