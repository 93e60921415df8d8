"""DICOM files and folders -> layers: results that were written as DICOM are opened whole, all else as scans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info

from napari_brgm.errors import BrgmError
from napari_brgm.plugin.layers.naming import result_name
from napari_brgm.plugin.layers.pinned import pin
from napari_brgm.plugin.layers.saved_run import voxel_of
from napari_brgm.plugin.layers.scans import image_layer

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.scan import Scan
    from napari_brgm.scans.dicom_found_study import FoundStudy

    LayerData = tuple[Any, dict[str, Any], str]

__all__ = ["layers_of_scans"]

_FAINT = 0.5  # opacity of a tint that covers all of the slice
_BOUNDS = ("low", "high")  # roles of images that are looked at only when asked for
_OF_FOLDER = {"std": "std", "synthetic": "mask"}  # role of what lies in a folder of a result; else its image


def layers_of_scans(path: Path) -> list[LayerData]:
    """Layers of what lies at a path; of a result those that are not in the window yet, the lowest first.

    Raises
    ------
    BrgmError
        Nothing there can be read.
    """
    from napari_brgm.scans import read_scan
    from napari_brgm.scans.dicom_found_study import studies_of, study_folder

    folder = study_folder(path)
    if folder is None:
        scans = read_scan(path)
        studies, others = studies_of(scans, path) if path.is_dir() else ([], scans)
        opened = [image_layer(scan) for scan in others]
    else:
        if _is_open(path):
            show_info(f"{path.name} is open already, with its run.")
            return []
        studies, _ = studies_of(read_scan(folder), folder)
        if not studies:  # folders that are called alike
            return [image_layer(scan) for scan in read_scan(path)]
        opened = []
    bounds = [settings for _, settings, _ in opened if settings["metadata"].get("brgm", {}).get("role") in _BOUNDS]
    for settings in bounds if studies or len(bounds) < len(opened) else []:
        settings["visible"] = False  # as in the session
    for study in studies:
        found = _layers(study)
        if not found and not opened:
            show_info(f"{(folder or path).name} is open already.")
        opened += found
    return opened


def _layers(study: FoundStudy) -> list[LayerData]:
    """Of one result, without those that are there."""
    from napari_brgm.scans.dicom_found_study import series_uid

    here = {(series_uid(header), role) for header, role in _results()}
    record = study.estimate.provenance or {}  # the pin is the layers' to keep, or to let go
    task, source = str(record.get("task") or ""), str(record.get("source_layer") or "")
    made = []
    for scan in (study.synthetic, study.estimate, study.std):
        if scan is None or (series_uid(scan.header), _role(scan)) in here:
            continue
        data, settings, kind = image_layer(scan)
        if kind == "labels":
            settings |= {"visible": False} | ({"name": result_name("mask", source)} if source else {})
        elif scan is study.std:  # as results of the session are shown
            settings |= {"visible": task != "super-resolve"} | ({"opacity": _FAINT} if task == "clean" else {})
        made.append((data, settings, kind))
    pinned, images = voxel_of(record.pop("pinned", None)), [layer for layer in made if layer[2] == "image"]
    if images and pinned is not None:
        pin(pinned, images)
    return made


def _is_open(path: Path) -> bool:
    """Whether the layer of a result's file is in the window; it is not looked for where a folder is asked for."""
    from napari_brgm.scans.dicom_file import header_of
    from napari_brgm.scans.dicom_found_study import images_told_of

    if path.is_dir():
        return False
    try:
        told = images_told_of(header_of(path)[0])
    except BrgmError:
        return False  # said when it is read
    role = _OF_FOLDER.get(path.parent.name)
    return any(
        (own == role if role else own not in _OF_FOLDER.values())
        and any(dataset.get("SOPInstanceUID") in told for dataset in header)
        for header, own in _results()
    )


def _results() -> list[tuple[Any, str]]:
    """Header and role of results in the window that were read from DICOM files."""
    from napari import current_viewer

    from napari_brgm.scans.dicom_header import DicomHeader

    viewer = current_viewer()
    found = []
    for layer in [] if viewer is None else viewer.layers:
        header, record = layer.metadata.get("scan", {}).get("header"), layer.metadata.get("brgm")
        if isinstance(header, DicomHeader) and isinstance(record, dict) and layer.source.path:
            found.append((header, str(record.get("role") or "")))
    return found


def _role(scan: Scan) -> str:
    return str((scan.provenance or {}).get("role") or "")
