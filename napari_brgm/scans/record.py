"""Provenance record of a result: plain values, the BIDS sidecar that carries it, and how it is found again.

A sidecar is one flat JSON object. BIDS keys start with a capital letter, the keys of the record with a small one.

Source: BIDS 1.9, "Common data types and metadata" of derivatives (Description, Sources, SpatialReference, Resolution).
"""

from __future__ import annotations

import json
import math
import re
from importlib import metadata
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import OutputError
from napari_brgm.text import well_formed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_brgm.scan import Scan

__all__ = [
    "RUN_KEY", "SOFTWARE", "dataset_description", "described", "is_intensity", "is_record", "json_text", "plain",
    "record_of", "run_beside", "sidecar", "sidecar_of", "version",
]  # fmt: skip

SOFTWARE = "napari-brgm"
RUN_KEY = "RestoredRun"  # key of what the files of a run say of each other
_IMAGE = re.compile(r"(\.nii)?(\.gz)?$|\.(png|tif)$")
_LONGEST = 64 << 20  # bytes of a sidecar
_DONE = {"in-paint": "in-painted", "super-resolve": "super-resolved", "clean": "cleaned"}
_WHAT = {
    "variance": "posterior variance", "std": "posterior standard deviation", "samples": "posterior samples",
    "mask": "mask of the synthetic pixels",
}  # fmt: skip
_INTENSITIES = ("restored", "cleaned", "low", "high", "sample", "samples", "drawn", "interpolation")
_LAYERS = ("source_layer", "source_layers")
_NOTICE = "Synthetic: computed by a generative model, not measured. Not for diagnosis."


def version() -> str:
    """Version of this software as it is installed."""
    try:
        return metadata.version(SOFTWARE)
    except metadata.PackageNotFoundError:  # run from its sources
        return "unknown"


def dataset_description() -> dict[str, Any]:
    """What BIDS asks to be said of a folder of derivatives."""
    return {
        "Name": f"{SOFTWARE} restorations",
        "BIDSVersion": "1.9.0",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": SOFTWARE, "Version": version()}],
    }


def sidecar_of(path: Path) -> Path:
    """Name of the JSON file beside a NIfTI file or a picture."""
    return path.with_name(_IMAGE.sub("", path.name) + ".json")


def json_text(record: Mapping[str, Any]) -> str:
    """Content of a JSON file.

    Raises
    ------
    OutputError
        The record is not plain, or a number in it is not finite.
    """
    try:
        return well_formed(json.dumps(dict(record), indent=2, allow_nan=False, ensure_ascii=False)) + "\n"
    except (TypeError, ValueError) as error:
        raise OutputError(f"the provenance must hold plain finite values for JSON: {error}") from error


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a record into what JSON gives back: lists for tuples, numbers of Python's; of a path only the name.

    Raises
    ------
    OutputError
        It holds something else than numbers, words, lists and mappings.
    """
    return {str(key): _plain(value) for key, value in record.items()}


def described(record: Mapping[str, Any]) -> str:
    """What a result is, in one or two sentences; at most 400 characters."""
    task, role = str(record.get("task") or ""), str(record.get("role") or "")
    done = _DONE.get(task, "computed")
    what = f"{_WHAT[role]} of an image, {done}" if role in _WHAT else done
    software, prior = (found if isinstance(found := record.get(key), dict) else {} for key in ("software", "prior"))
    by, name = f"{SOFTWARE} {software.get('version') or ''}".strip(), prior.get("name")
    text = f"{what} by {by}" + (f" with the prior {name}" if name else "")
    return f"{text[:1].upper()}{text[1:]}. {record.get('notice') or _NOTICE}"[:400]


def sidecar(
    scan: Scan, *, sources: Sequence[str | Path] = (), same_grid: bool = True, run: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Make the JSON object beside the file of a scan: BIDS keys, and the scan's own record.

    Parameters
    ----------
    scan : Scan
        Its ``provenance`` may be None: an image that was not computed here.
    sources : sequence of str or Path
        What it was computed from; only the names are kept.
    same_grid : bool
        Whether the voxels are those of the source.
    run : mapping, optional
        What the files of its run say of each other; ``run_beside`` gives it back.

    Raises
    ------
    OutputError
        A key of the record starts with a capital letter, or the record is not plain.
    """
    record = plain(scan.provenance or {})
    if _of_dicom(scan.header):  # whose layers are called by the description of a series
        record = {key: value for key, value in record.items() if key not in _LAYERS}
    if any(key[:1].isupper() for key in record):
        raise OutputError("the keys of a provenance record must start with a small letter")
    bids: dict[str, Any] = {
        "Description": described(record) if record else "as opened, converted to NIfTI",
        "Sources": [PurePath(source).name for source in sources],
        "Units": scan.units,
    }
    if same_grid:
        bids["SpatialReference"] = "orig"
    else:
        bids["Resolution"] = "grid of its own: " + " x ".join(f"{side:.4g}" for side in scan.spacing) + " mm"
    if run is not None:
        bids[RUN_KEY] = plain(run)
    return bids | record


def record_of(path: Path) -> tuple[dict[str, Any] | None, str | None, tuple[str, ...]]:
    """Find the record beside a NIfTI file.

    Returns
    -------
    record : dict or None
        None where there is no sidecar, or one that is not ours.
    units : str or None
        Intensity units that our sidecar names.
    notes : tuple of str
        What could not be read.
    """
    try:
        content = _content(path)
    except (OSError, ValueError, RecursionError):
        return None, None, (f"{sidecar_of(path).name} beside the image cannot be read: its provenance is not known",)
    record = {key: value for key, value in content.items() if not key[:1].isupper()}
    if not is_record(record):
        return None, None, ()
    units = content.get("Units")
    return record, units if isinstance(units, str) and units else None, ()


def run_beside(path: Path) -> dict[str, Any]:
    """What the sidecar of a NIfTI file says of the other files of its run; empty where it says nothing.

    Nothing in it has been looked at but that it is a table.
    """
    try:
        found = _content(path).get(RUN_KEY)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_record(record: object) -> bool:
    """Whether this is a record of ours: it names this software, or the role of a layer in a task."""
    if not isinstance(record, dict):
        return False
    software = record.get("software")
    ours = isinstance(software, dict) and software.get("name") == SOFTWARE
    return ours or all(isinstance(record.get(key), str) for key in ("notice", "role", "task"))


def is_intensity(record: Mapping[str, Any]) -> bool:
    """Whether the values are intensities on the source's scale: not an uncertainty, not a probability."""
    role = str(record.get("role") or "restored")
    return role in _INTENSITIES or re.fullmatch(r"x[\d.]+", role) is not None  # finer by that


def _content(path: Path) -> dict[str, Any]:
    """Of the sidecar; empty where there is none. OSError, ValueError or RecursionError where it cannot be read."""
    beside = sidecar_of(path)
    if not beside.is_file() or beside.stat().st_size > _LONGEST:
        return {}
    content = json.loads(beside.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def _of_dicom(header: object) -> bool:
    from napari_brgm.scans.dicom_header import DicomHeader

    return isinstance(header, DicomHeader)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, PurePath):
        return value.name
    if isinstance(value, str):
        return _without_folder(str(value))
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise OutputError(f"the provenance must hold plain finite values for JSON, not {type(value).__name__}")


def _without_folder(text: str) -> str:
    """Drop the folders of an absolute path: they name people and places."""
    if len(text) < 4096 and "\n" not in text:
        for path in (PurePosixPath(text), PureWindowsPath(text)):
            if path.is_absolute() and len(path.parts) > 2:
                return path.name
    return text
