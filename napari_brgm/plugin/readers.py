"""Readers of NIfTI and DICOM for napari: File > Open, or drop a file or folder on the window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_brgm.plugin.scan_layers import image_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    PathOrPaths = str | Path | Sequence[str | Path]
    Reader = Callable[[PathOrPaths], list[tuple[Any, dict[str, Any], str]]]

__all__ = ["get_dicom_reader", "get_nifti_reader"]


def get_nifti_reader(path: PathOrPaths) -> Reader | None:
    """Give the reader if all paths are NIfTI files, by their name."""
    paths = _paths(path)
    return _read if paths and all(p.name.lower().endswith((".nii", ".nii.gz")) for p in paths) else None


def get_dicom_reader(path: PathOrPaths) -> Reader | None:
    """Give the reader if all paths are DICOM files or folders that hold some, by their first bytes."""
    paths = _paths(path)
    return _read if paths and all(_holds_dicom(p) for p in paths) else None


def _read(path: PathOrPaths) -> list[tuple[Any, dict[str, Any], str]]:
    from napari_brgm.scans import read_scan

    scans = [scan for p in _paths(path) for scan in read_scan(p)]
    if any(scan.provenance is not None for scan in scans):
        _tag_window()
    return [image_layer(scan) for scan in scans]


def _tag_window() -> None:
    """A result of an earlier session is synthetic too: let the open window say so."""
    from napari import current_viewer

    from napari_brgm.plugin.tag import mark_synthetic

    viewer = current_viewer()
    if viewer is not None:
        mark_synthetic(viewer)


def _paths(path: PathOrPaths) -> list[Path]:
    return [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]


def _holds_dicom(path: Path) -> bool:
    from napari_brgm.scans.dicom_file import looks_like_dicom, opening

    if path.is_dir():
        return any(_holds_dicom(p) for p in path.rglob("*") if p.is_file())
    return looks_like_dicom(opening(path))
