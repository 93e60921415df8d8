"""A result of a DICOM series as DICOM, beside its NIfTI files: the estimate, its standard deviation, what is synthetic.

The records of single slices stay in the NIfTI file's: a DICOM series would hold all of them in each of its files.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, simplefilter

from napari_brgm.cli.scan_source import ScanSource
from napari_brgm.cli.terminal import say_note
from napari_brgm.errors import OutputError
from napari_brgm.scans.dicom_header import DicomHeader
from napari_brgm.scans.names import derivative_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.cli.source import Source
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.scan import Scan

__all__ = ["dicom_folder", "write_dicom_result"]


def dicom_folder(source: Source, what: Treatment) -> str | None:
    """Name of the folder for a result as DICOM; None where the source is no DICOM series, or it is a trial.

    A source that DICOM results cannot be derived from is told to stderr.
    """
    from napari_brgm.scans.dicom_export import check_source

    if what.trial or not isinstance(source, ScanSource) or not isinstance(source.scan.header, DicomHeader):
        return None
    try:
        check_source(replace(source.scan, provenance={}))
    except OutputError as error:
        say_note(f"there is no result as DICOM: {error}")
        return None
    return derivative_name(source.stem, f"{what.name}Dicom", "")


def write_dicom_result(
    source: ScanSource, estimate: Scan, std: npt.NDArray[Any] | None, synthetic: npt.NDArray[np.bool_],
    record: Mapping[str, Any], path: Path,
) -> bool:  # fmt: skip
    """Write a result into a new folder, and tell whether it could be; why not goes to stderr, and nothing is left.

    Parameters
    ----------
    estimate : Scan
        On the source's grid or another one.
    std : array or None
        Of the estimate's shape, in the source's units.
    synthetic : bool array
        Of the estimate's shape.
    record : mapping
        Of the estimate's NIfTI file.
    """
    from napari_brgm.scans.dicom_study import write_study

    kept = {key: value for key, value in record.items() if not key[:1].isupper() and key != "slices"}
    scan = replace(
        estimate, header=source.scan.header, modality=source.scan.modality, name=source.name, provenance=kept
    )
    with catch_warnings(record=True) as told:
        simplefilter("always")
        try:
            write_study(scan, None if std is None else replace(scan, array=std), synthetic, path)
        except OutputError as error:
            shutil.rmtree(path, ignore_errors=True)
            say_note(f"there is no result as DICOM: {error}")
            return False
    for warning in told:  # what is cut off
        say_note(str(warning.message))
    return True
