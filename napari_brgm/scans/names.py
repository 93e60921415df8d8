"""Names of result files, like those of BIDS derivatives, and what records call a source.

A series description and the name of a folder hold names of people often, so a DICOM series is called by its number
unless a person asks for its description; a file by its name, which who runs this has chosen.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from napari_brgm.scans.record import sidecar_of
from napari_brgm.text import file_stem, plain_text

if TYPE_CHECKING:
    from napari_brgm.scan import Scan

__all__ = [
    "ESTIMATE", "STUDY_FOLDERS", "derivative_name", "json_name", "series_label", "source_label", "stem_of",
]  # fmt: skip

ESTIMATE = "Estimate"  # part of the restored image's name: it sorts before those of what belongs to it
STUDY_FOLDERS = ("estimate", "std", "synthetic")  # in the folder of a result as DICOM (``dicom_study``)

_BIDS = re.compile(r"(sub-[A-Za-z0-9]+(?:_[a-z]+-[A-Za-z0-9]+)*)_([A-Za-z0-9]+)")
_SUFFIX = re.compile(r"(\.(nii|hdr|img))?(\.gz)?$|\.dcm$", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,12}")


def series_label(header: object) -> str | None:
    """'series 3' by the series number in the header of a scan from DICOM; None for others."""
    from napari_brgm.scans.dicom_header import DicomHeader

    if not isinstance(header, DicomHeader):
        return None
    number = str(header[0].get("SeriesNumber", "")).strip() if header else ""
    return f"series {number}" if _NUMBER.fullmatch(number) else "series"


def stem_of(scan: Scan, path: Path, *, described: bool = False) -> str:
    """Beginning of the names of what is made from a scan: its file's name without the suffix, or 'series-3'.

    Parameters
    ----------
    described : bool
        Take the description of a DICOM series too.
    """
    label = series_label(scan.header)
    if label is None and not path.is_dir():
        return file_stem(_SUFFIX.sub("", path.name))
    if label is not None and not described:
        return label.replace(" ", "-")
    return re.sub(r"[^A-Za-z0-9-]+", "-", scan.name).strip("-") or "scan"


def source_label(scan: Scan, path: Path) -> str:
    """What records and sheets call the source of a scan: the name of its file; of DICOM its series' number."""
    return series_label(scan.header) or plain_text(path.name)


def derivative_name(stem: str, description: str, extension: str) -> str:
    """Name of a derivative, the BIDS suffix of the source last.

    Examples
    --------
    >>> derivative_name("sub-01_T1w", "brgmInpaintEstimate", ".nii.gz")
    'sub-01_desc-brgmInpaintEstimate_T1w.nii.gz'
    >>> derivative_name("knee", "brgmInpaintEstimate", ".png")
    'knee_desc-brgmInpaintEstimate_image.png'
    """
    bids = _BIDS.fullmatch(stem)
    entities, suffix = bids.groups() if bids else (stem, "image")
    entities = re.sub(r"_desc-[A-Za-z0-9]+", "", entities)
    return f"{entities}_desc-{description}_{suffix}{extension}"


def json_name(name: str) -> str:
    """Name of the record beside a NIfTI file or a picture."""
    return sidecar_of(Path(name)).name
