"""Scans to files: NIfTI-1 float32 with the scan's affine, and a JSON sidecar with the provenance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from napari_brgm.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_brgm.scan import Scan

__all__ = ["sidecar_of", "write_nifti"]

_SUFFIXES = (".nii.gz", ".nii")
_SCANNER = 1  # sform and qform code: scanner-based RAS+ mm


def write_nifti(
    scan: Scan, path: str | Path, provenance: Mapping[str, Any] | None = None, *, overwrite: bool = False
) -> Path:
    """Write a scan as a float32 NIfTI-1 file, whole or not at all.

    The affine is the sform; it is the qform too where a rotation and a scale can hold it.

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
    suffix = next((suffix for suffix in _SUFFIXES if path.name.endswith(suffix)), None)
    if suffix is None:
        raise OutputError(f"the name {path.name} must end in .nii or .nii.gz")
    outputs = {path: suffix}
    if provenance is not None:
        outputs[sidecar_of(path)] = ".json"
    for output in outputs:
        if output.exists() and not overwrite:
            raise OutputError(f"{output.name} exists already; choose another name or allow overwriting")
    image = _image(scan)
    text = None if provenance is None else _json(provenance)
    written: list[Path] = []
    try:
        for output, ending in outputs.items():
            temporary = output.with_name(f".{uuid4().hex}{ending}")  # same folder: a rename is atomic there
            written.append(temporary)
            if ending == ".json":
                temporary.write_text(text or "", encoding="utf-8")
            else:
                nib.save(image, temporary)
        for temporary, output in zip(written, outputs, strict=True):
            temporary.replace(output)
    except OSError as error:
        raise OutputError(f"cannot write {path.name} into {path.parent}: {error.strerror or error}") from error
    finally:
        for temporary in written:
            temporary.unlink(missing_ok=True)
    return path


def sidecar_of(path: Path) -> Path:
    """Name of the JSON file beside a NIfTI file."""
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")


def _image(scan: Scan) -> Any:
    if max(scan.shape) > np.iinfo(np.int16).max:
        raise OutputError(f"NIfTI-1 holds at most 32767 voxels along an axis, the scan has {max(scan.shape)}")
    image = cast("Any", nib.Nifti1Image)(scan.array.astype(np.float32), scan.affine)
    image.set_sform(scan.affine, code=_SCANNER)
    try:
        image.set_qform(scan.affine, code=_SCANNER, strip_shears=False)
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


def _json(provenance: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(provenance), indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise OutputError(f"the provenance must hold plain finite values for JSON: {error}") from error
