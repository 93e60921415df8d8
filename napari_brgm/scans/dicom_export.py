"""Scans to DICOM: a series derived from that which the scan's source was read from, of the same SOP class.

A classic source gives one file for each slice and time, an enhanced multi-frame one a single file. Patient, study and
frame of reference are the source's; the provenance goes along as text, as codes and, complete, in a private block.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_brgm.errors import BrgmError, OutputError
from napari_brgm.scans.dicom_companions import companion_item, instance_of, list_instances
from napari_brgm.scans.dicom_derived import Series, source_items
from napari_brgm.scans.dicom_enhanced import enhanced_file
from napari_brgm.scans.dicom_planes import OTHERWISE, planes_of, stack_of
from napari_brgm.scans.dicom_replaced import place
from napari_brgm.scans.dicom_stored import encoding_of, scale_of, set_pixels
from napari_brgm.scans.outputs import Outputs
from napari_brgm.scans.record import is_intensity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pydicom.dataset import Dataset

    from napari_brgm.scan import Scan
    from napari_brgm.scans.dicom_frame import DicomFrame
    from napari_brgm.scans.dicom_planes import DicomPlane
    from napari_brgm.scans.dicom_stored import Encoding

__all__ = ["check_source", "count_files", "sentence_on_refusal", "write_dicom", "write_files", "write_series"]


def write_dicom(scan: Scan, path: str | Path, *, number: int = 1, overwrite: bool = False) -> list[Path]:
    """Write a restored scan as a derived DICOM series, whole or not at all.

    Parameters
    ----------
    scan : Scan
        With provenance, and the header of a DICOM source.
    path : str or Path
        A folder, which is made; or a name that ends in .dcm for a series of a single file.
    number : int
        1, 2, ... tells apart the series that are derived from one source together.
    overwrite : bool
        Replace what is at ``path``.

    Returns
    -------
    list of Path
        The files, in the order of their instance numbers.

    Raises
    ------
    OutputError
        The scan has no provenance or no DICOM source, DICOM has no place for it, or the files cannot be written.
    """
    path = Path(path)
    check_source(scan)
    if path.suffix.lower() == ".dcm":
        if count_files(scan) == 1:
            with Outputs(path.parent, [path.name], overwrite, describe=False) as out:
                write_files(scan, out.path(path.name), number=number)
            return [path]
        path = path.with_suffix("")
    with Outputs(path.parent, [path.name], overwrite, describe=False) as out:
        files = write_files(scan, out.path(path.name), number=number)
    return [path / file.name for file in files]


def write_files(
    scan: Scan, path: Path, *, number: int = 1, tell: Callable[[str, int, int | None], None] | None = None
) -> list[Path]:
    """Write the files of a series into a new folder, or its only one to a name in .dcm; errors as ``write_dicom``.

    ``tell(what, done, total)`` hears of each file. A ``UserWarning`` says how many pixels are cut off.
    """
    return write_series(Series(scan, number), path, tell=tell)


def write_series(
    series: Series, path: Path, *, tell: Callable[[str, int, int | None], None] | None = None
) -> list[Path]:
    """Write the files of a series that may know what is written beside it; all else as ``write_files``."""
    scan = series.scan
    check_source(scan)
    total, written = count_files(scan), []
    alone = path.suffix == ".dcm"
    with sentence_on_refusal(scan.name):
        planes = planes_of(scan)
        encoding = encoding_of(planes, own_scale=not is_intensity(scan.provenance or {}))
        if not alone:
            path.mkdir()
        for index, dataset in enumerate(_datasets(series, planes, encoding)):
            file = path if alone else path / f"{index + 1:0{max(4, len(str(total)))}d}.dcm"
            dataset.save_as(file, implicit_vr=False, little_endian=True, enforce_file_format=True)
            written.append(file)
            if tell is not None:
                tell("writing DICOM", index + 1, total)
    if lost := encoding.beyond(planes):  # out here, as warnings of pydicom are not told
        what = f"{lost} restored pixels of '{scan.name}' lie beyond the values that its DICOM source has room for"
        warnings.warn(f"{what} and are cut off; to keep them, {OTHERWISE}", UserWarning, stacklevel=1)
    return written


def count_files(scan: Scan) -> int:
    """How many files the series of a scan has."""
    return 1 if _is_enhanced(stack_of(scan).frames[0][0]) else len(planes_of(scan))


def check_source(scan: Scan) -> None:
    """Refuse what cannot become a derived series.

    Raises
    ------
    OutputError
        Says to save it as NIfTI instead.
    """
    if scan.provenance is None:
        raise OutputError(f"'{scan.name}' was not computed by this plugin and cannot be a derived series; {OTHERWISE}")
    first = stack_of(scan).frames[0][0]
    if not first.dataset.get("SOPClassUID"):
        raise OutputError(f"the source of '{scan.name}' does not say what kind of DICOM image it is; {OTHERWISE}")
    if int(first.dataset.get("NumberOfFrames") or 1) > 1 and not _is_enhanced(first):
        raise OutputError(
            f"the source of '{scan.name}' is a multi-frame DICOM file that does not place its frames one by one; "
            f"{OTHERWISE}"
        )


def _datasets(series: Series, planes: Sequence[DicomPlane], encoding: Encoding) -> Iterator[Dataset]:
    sources = [frame for volume in stack_of(series.scan).frames for frame in volume]
    window = _same_window(sources)
    if _is_enhanced(sources[0]):
        yield enhanced_file(series, planes, encoding, keep_window=window)
    else:
        for index, plane in enumerate(planes):
            yield _classic(series, plane, encoding, index + 1, keep_window=window)


def _classic(series: Series, plane: DicomPlane, encoding: Encoding, number: int, *, keep_window: bool) -> Dataset:
    """One image of a classic series."""
    source = plane.template.dataset
    dataset = series.derive(source, keep_window=keep_window and encoding.as_source)
    dataset.InstanceNumber = number
    sources = source_items(plane.sources, same_grid=plane.own_grid)
    if sources:
        dataset.SourceImageSequence = sources
    if beside := series.beside.get((plane.time, plane.slice)):
        dataset.ReferencedImageSequence = [*dataset.get("ReferencedImageSequence", ()), *map(companion_item, beside)]
        list_instances(
            dataset, [instance_of(frame.dataset) for frame in plane.sources] + [one.instance for one in beside]
        )
    if not plane.own_grid or plane.template.shape != (int(source.Rows), int(source.Columns)):  # finer, or a tile
        place(dataset, plane)
    if encoding.slope is not None:
        dataset.RescaleSlope, dataset.RescaleIntercept = encoding.slope, encoding.intercept
        dataset.RescaleType = "US" if series.scan.units == "a.u." else series.scan.units[:64]
    elif "RescaleSlope" in dataset:  # one of 0 was read as none: written again it would make zeros elsewhere
        for keyword, value in scale_of(plane.template, dataset).items():
            setattr(dataset, keyword, value)
    set_pixels(dataset, [plane], encoding)
    return dataset


def _same_window(frames: Sequence[DicomFrame]) -> bool:
    """Whether all files were meant to be looked at in one window; else each has that of its own old pixels."""
    datasets = {id(frame.dataset): frame.dataset for frame in frames}.values()
    windows = {(str(dataset.get("WindowCenter")), str(dataset.get("WindowWidth"))) for dataset in datasets}
    return len(windows) == 1


def _is_enhanced(frame: DicomFrame) -> bool:
    return "PerFrameFunctionalGroupsSequence" in frame.dataset


@contextmanager
def sentence_on_refusal(name: str) -> Iterator[None]:
    """Run pydicom quietly, as its warnings can quote the patient, and turn what it raises into one sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            yield
        except (BrgmError, OSError):
            raise
        except MemoryError as error:
            raise OutputError(f"'{name}' needs more memory than there is; {OTHERWISE}") from error
        except Exception as error:  # odd values of the source that pydicom does not write
            raise OutputError(f"the header of the source of '{name}' cannot be written again; {OTHERWISE}") from error
