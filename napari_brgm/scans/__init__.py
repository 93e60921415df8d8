"""Scan files: read_scan decides by content which reader a path needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_brgm.errors import ScanError

if TYPE_CHECKING:
    from napari_brgm.scan import Scan

__all__ = ["read_scan"]


def read_scan(path: str | Path) -> list[Scan]:
    """Read a NIfTI or DICOM file, or a folder of DICOM series.

    Parameters
    ----------
    path : str or Path
        The content decides, not the suffix.

    Returns
    -------
    list of Scan
        One for a NIfTI file; one for each series, echo and orientation of a DICOM folder.

    Raises
    ------
    ScanError
        There is nothing at the path, or nothing that can be read as an image.
    """
    from napari_brgm.scans.dicom import read_dicom
    from napari_brgm.scans.dicom_file import looks_like_dicom, opening
    from napari_brgm.scans.nifti import looks_like_nifti, read_nifti

    path = Path(path)
    if path.is_dir():
        return read_dicom(path)
    if not path.is_file():
        raise ScanError(f"there is no file or folder {path.name}; check the path")
    if path.stat().st_size == 0:
        raise ScanError(f"{path.name} is empty; copy or export it again")
    head = opening(path)
    if looks_like_dicom(head):
        return read_dicom(path)
    if looks_like_nifti(head) or path.name.lower().removesuffix(".gz").endswith((".nii", ".hdr", ".img")):
        return [read_nifti(path)]
    raise ScanError(f"{path.name} is neither a NIfTI nor a DICOM file; choose a .nii, .nii.gz or DICOM file")
