"""Readers and writers of NIfTI and DICOM for napari: File > Open, and File > Save Selected Layers.

A layer takes its provenance along. The file that it was read from is never written over. napari has asked before it
hands on a name that exists; names that are made up here, for further layers and sidecars, have to be free.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from napari_brgm.errors import InputError
from napari_brgm.plugin.canvas.follow import follow_window
from napari_brgm.plugin.layers.opening import holds_dicom, holds_runs, open_paths
from napari_brgm.plugin.layers.saving import is_result, refuse_source, write_image
from napari_brgm.plugin.layers.scans import scan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    PathOrPaths = str | Path | Sequence[str | Path]
    LayerData = tuple[Any, dict[str, Any], str]
    Reader = Callable[[PathOrPaths], list[LayerData]]

__all__ = ["get_dicom_reader", "get_nifti_reader", "write_dicom_layers", "write_nifti_layers"]


def get_nifti_reader(path: PathOrPaths) -> Reader | None:
    """Give the reader if all paths are NIfTI files, by their name, or folders that runs were saved in."""
    paths = _paths(path)
    return _read if paths and all(_is_nifti(p) for p in paths) else None


def get_dicom_reader(path: PathOrPaths) -> Reader | None:
    """Give the reader if all paths are DICOM files or folders that hold some, by their first bytes."""
    paths = _paths(path)
    return _read if paths and all(holds_dicom(p) for p in paths) else None


def _read(path: PathOrPaths) -> list[LayerData]:
    follow_window()
    return open_paths(_paths(path))


def _paths(path: PathOrPaths) -> list[Path]:
    return [Path(path)] if isinstance(path, str | Path) else [Path(p) for p in path]


def _is_nifti(path: Path) -> bool:
    return holds_runs(path) if path.is_dir() else path.name.lower().endswith((".nii", ".nii.gz"))


def write_nifti_layers(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write image layers as NIfTI with a JSON sidecar each; of several, each has its own name behind the one given.

    Returns
    -------
    list of str
        The images.

    Raises
    ------
    BrgmError
        A layer is no scan, or its file cannot be written.
    """
    target = Path(path)
    suffix = ".nii" if target.name.lower().endswith(".nii") else ".nii.gz"
    stem = re.sub(r"(\.nii)?(\.gz)?$", "", target.name, flags=re.IGNORECASE)
    images = [_image(layer) for layer in layers]
    files = [target.with_name(f"{name}{suffix}") for name in _names(stem, images)]
    for image, file in zip(images, files, strict=True):
        refuse_source(image, file)
    asked = len(images) == 1 and target == files[0] and target.exists()
    return [
        str(write_image(image, scan_of(image), file, overwrite=asked))
        for image, file in zip(images, files, strict=True)
    ]


def write_dicom_layers(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write results as derived DICOM series: a single file under the name given, else a folder of that name.

    Returns
    -------
    list of str
        The files.

    Raises
    ------
    BrgmError
        A layer is no result of a DICOM scan, or its files cannot be written.
    """
    from napari_brgm.scans.dicom_export import write_dicom

    target = Path(path)
    suffix = target.suffix if target.suffix.lower() == ".dcm" else ""
    stem = target.name.removesuffix(suffix)
    images = [_image(layer) for layer in layers]
    written: list[str] = []
    for number, (image, name) in enumerate(zip(images, _names(stem, images), strict=True)):
        file = target.with_name(name + suffix.lower())
        refuse_source(image, file)
        asked = len(images) == 1 and file.is_file()
        written += map(str, write_dicom(scan_of(image), file, number=number + 1, overwrite=asked))
    return written


def _image(layer: LayerData) -> Image:
    data, settings, kind = layer
    made = Layer.create(data, settings, kind)
    if not isinstance(made, Image):
        raise InputError(f"'{made.name}' is not an image; choose image layers only")
    return made


def _names(stem: str, images: Sequence[Image]) -> list[str]:
    """The stem for one layer; for several, each with the words of its own name."""
    if len(images) == 1:
        return [stem]
    named = [f"{image.name} synthetic" if is_result(image) else image.name for image in images]
    words = [re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "layer" for name in named]
    return [f"{stem}_{word}" if words.count(word) == 1 else f"{stem}_{word}-{i + 1}" for i, word in enumerate(words)]
