"""Scans to files: NIfTI-1 with the scan's affine and every value exactly as it is; and a JSON sidecar.

Floats keep their type. Integers are written as float32, which all programs read, where it holds every voxel, else as
float64, and beyond 2^53 in their own type. Masks are bytes, 0 or 1.

Where the scan lies on the very grid of a NIfTI source, the fields of its header that place it are kept as they are:
the affine is the same bit for bit, in the same space (scanner, aligned, MNI, ...).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from napari_brgm.errors import OutputError
from napari_brgm.lossless import exact_type, holds
from napari_brgm.scans.outputs import Outputs
from napari_brgm.scans.record import json_text, sidecar_of
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_brgm.scan import Scan

__all__ = ["sidecar_of", "write_nifti"]

_SUFFIXES = (".nii.gz", ".nii")
_SPACES = range(1, 6)  # the codes that NIfTI knows
_SCANNER, _ALIGNED = 1, 2  # sform and qform codes: RAS+ mm of the scanner, of another image
_PLACE = ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
_ROWS = ("srow_x", "srow_y", "srow_z")


def write_nifti(
    scan: Scan, path: str | Path, provenance: Mapping[str, Any] | None = None, *, overwrite: bool = False
) -> Path:
    """Write a scan as a NIfTI-1 file of real numbers, whole or not at all.

    The affine is the sform; it is the qform too where a rotation and a scale can hold it. See above for scans on the
    grid of their NIfTI source.

    Parameters
    ----------
    scan : Scan
    path : str or Path
        Ends in .nii or .nii.gz.
    provenance : mapping, optional
        Plain values, written as JSON beside it (same name, .json).
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    Path
        Of the image.

    Raises
    ------
    OutputError
        The name has another suffix, a file exists, the folder cannot be written to, or the scan does not fit NIfTI-1.
    """
    path = Path(path)
    if not path.name.endswith(_SUFFIXES):
        raise OutputError(f"the name {plain_text(path.name)} must end in .nii or .nii.gz")
    if not path.parent.is_dir():
        raise OutputError(
            f"cannot write {plain_text(path.name)}: there is no folder {plain_text(path.parent)}; make it"
        )
    image = _image(scan)
    text = None if provenance is None else json_text(provenance)
    names = [path.name] if text is None else [path.name, sidecar_of(path).name]
    with Outputs(path.parent, names, overwrite, describe=False) as out:
        try:
            nib.save(image, out.path(path.name))
        except OSError as error:
            error.filename = error.filename or str(out.path(path.name))  # a full disk names none
            raise
        if text is not None:
            out.path(names[1]).write_text(text, encoding="utf-8")
    return path


def _image(scan: Scan) -> Any:
    if max(scan.shape) > np.iinfo(np.int16).max:
        raise OutputError(f"NIfTI-1 holds at most 32767 voxels along an axis, the scan has {max(scan.shape)}")
    kind = np.dtype(np.float32) if holds(np.float32, scan.array) else exact_type(scan.array)
    if scan.array.dtype == bool:
        kind = np.dtype(np.uint8)
    array = scan.array.astype(kind, copy=False)
    try:
        image = cast("Any", nib.Nifti1Image)(array, scan.affine, dtype=kind)
    except HeaderDataError as error:
        raise OutputError(f"NIfTI has no place for {kind} values on this machine; convert them to float64") from error
    if not _placed_as_source(image.header, scan):
        code = _code(scan.header)
        image.set_sform(scan.affine, code=code)
        try:
            image.set_qform(scan.affine, code=code, strip_shears=False)
        except HeaderDataError:  # sheared: the sform alone is true
            image.set_qform(None, code=0)
            image.header.set_zooms((*scan.spacing, 1.0)[: scan.array.ndim])
    image.header.set_xyzt_units("mm", "unknown")
    if scan.array.ndim == 4 and isinstance(scan.header, nib.Nifti1Header):  # keep the time between volumes
        source = cast("Any", scan.header)
        if len(source.get_zooms()) == 4:
            image.header.set_zooms((*image.header.get_zooms()[:3], source.get_zooms()[3]))
            image.header.set_xyzt_units("mm", source.get_xyzt_units()[1])
    return image


def _placed_as_source(header: Any, scan: Scan) -> bool:
    """Copy the place from a source in mm with this very affine; tell whether there is one."""
    if not isinstance(scan.header, nib.Nifti1Header):
        return False
    source = cast("Any", scan.header)
    if source.get_xyzt_units()[0] not in ("mm", "unknown"):
        return False
    if not np.array_equal(source.get_best_affine(), scan.affine) or source.get_data_shape()[:3] != scan.shape[:3]:
        return False
    for name in (*_PLACE, *_ROWS):
        header[name] = source[name]
    header["pixdim"][:4] = source["pixdim"][:4]  # the first is the sign of the qform
    return True


def _code(source: object) -> int:
    """Space of a NIfTI source, as a finer grid lies in it too; else that of the scanner."""
    if not isinstance(source, nib.Nifti1Header):
        return _SCANNER
    header = cast("Any", source)
    codes = (int(header["sform_code"]), int(header["qform_code"]))
    return next((code for code in codes if code in _SPACES), _ALIGNED)
