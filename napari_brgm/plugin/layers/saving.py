"""Layers of a run -> files with provenance: NIfTI with a JSON sidecar each, or derived DICOM series.

A run is saved whole: the restored image, its uncertainties and whatever else was made of it, each under a name of its
own, and nothing that exists is touched.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari.layers import Image

from napari_brgm.errors import InputError, OutputError
from napari_brgm.plugin.layers.scans import on_source_grid, scan_of, scan_record, source_of
from napari_brgm.scans.names import derivative_name, json_name, series_label
from napari_brgm.scans.outputs import Outputs
from napari_brgm.scans.record import sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel

    from napari_brgm.scan import Scan

__all__ = ["FileKind", "is_result", "layers_of_run", "results", "save_run", "source_name", "without_series"]

FileKind = Literal["nifti", "dicom"]
_TASKS = {"in-paint": "brgmInpaint", "super-resolve": "brgmSuperres", "clean": "brgmClean"}
_MAIN = ("", "restored", "cleaned", "drawn")  # roles of the image itself; on a finer grid that is its factor
_NOT_DICOM = ("samples", "interpolation")  # many images at one place, which a series of one source cannot hold


def is_result(layer: object) -> bool:
    """Whether a layer is an image that was computed here, in this session or in one before."""
    return isinstance(layer, Image) and isinstance(layer.metadata.get("brgm"), dict)


def results(viewer: ViewerModel) -> list[Image]:
    """Give one layer of each run, the first; previews are none."""
    found: dict[Any, Image] = {}
    for layer in viewer.layers:
        if is_result(layer) and _role(layer) != "preview":
            found.setdefault(_record(layer).get("run") or id(layer), layer)
    return list(found.values())


def layers_of_run(viewer: ViewerModel, layer: Image) -> list[Image]:
    """All image layers of the run that ``layer`` is of; that layer alone if it does not say which run."""
    run = _record(layer).get("run")
    if not run:
        return [layer]
    return [other for other in viewer.layers if is_result(other) and _record(other).get("run") == run]


def without_series(layers: Sequence[Image], kind: FileKind) -> list[Image]:
    """Layers that this kind of file has no place for: samples, in DICOM."""
    return [layer for layer in layers if kind == "dicom" and _role(layer) in _NOT_DICOM]


def save_run(
    layers: Sequence[Image],
    folder: str | Path,
    kind: FileKind,
    overwrite: bool = False,
    tell: Callable[[str, int, int | None], None] | None = None,
) -> list[Path]:
    """Save the layers of one run, all or none.

    NIfTI files have names of BIDS derivatives, DICOM series are folders of such names. Where one exists already, all
    get the next free number instead (brgmInpaint2), or replace it with ``overwrite``.

    Parameters
    ----------
    layers : sequence of Image
        As ``layers_of_run`` gives them.
    folder : str or Path
        Made if missing.
    kind : {'nifti', 'dicom'}
        'dicom' leaves out the layers of ``without_series``.
    tell : callable, optional
        Called with (what, done, total or None); what it raises ends the saving, and no file is left.

    Returns
    -------
    list of Path
        The images, or the folders of the series.

    Raises
    ------
    InputError, OutputError
        There is nothing to save, a layer is no scan, or it cannot be written.
    """
    folder = Path(folder)
    left_out = without_series(layers, kind)
    layers = [layer for layer in layers if layer not in left_out]
    if not layers:
        raise InputError("there is nothing to save in this format; choose NIfTI")
    tell = tell or _silent
    names = _free_names(layers, folder, kind, overwrite)
    beside = [json_name(name) for name in names] if kind == "nifti" else []
    for layer, name in zip(layers, names, strict=True):
        refuse_source(layer, folder / name)
    if kind == "dicom":
        for layer in layers:
            _check_dicom(layer)
    with Outputs(folder, [*names, *beside], overwrite, describe=kind == "nifti") as out:
        for number, (layer, name) in enumerate(zip(layers, names, strict=True)):
            tell(f"saving {name}", number, len(layers))
            scan = scan_of(layer)
            if kind == "nifti":
                write_image(layer, scan, out.path(name))
            else:
                from napari_brgm.scans.dicom_export import write_files

                write_files(scan, out.path(name), number=number + 1, tell=tell)
    return [folder / name for name in names]


def write_image(layer: Image, scan: Scan, path: Path, *, overwrite: bool = False) -> Path:
    """Write the scan of a layer as NIfTI with its sidecar; errors as ``write_nifti``."""
    from napari_brgm.scans.export import write_nifti

    text = sidecar(scan, sources=_sources(layer), same_grid=on_source_grid(layer, scan))
    return write_nifti(scan, path, text, overwrite=overwrite)


def refuse_source(layer: Image, path: Path) -> None:
    """Refuse to write over what a layer was read from.

    Raises
    ------
    OutputError
        The path is that file, or a folder that holds it.
    """
    source = source_of(layer)
    if source is None or not source.exists() or not path.exists():
        return
    if path.samefile(source) or path.resolve() in source.resolve().parents:
        raise OutputError(f"{path.name} is what '{layer.name}' was read from; choose another name")


def source_name(layer: Image) -> str:
    """Stem for the files of a layer: its source's file, its DICOM series' number, or else the source layer's name."""
    label = series_label(scan_record(layer).get("header"))
    if label is not None:
        return label.replace(" ", "-")
    source, name = source_of(layer), str(_record(layer).get("source_layer") or re.sub(r" \[[^\]]*\]$", "", layer.name))
    if source is not None and source.suffix and not source.is_dir():
        name = re.sub(r"(\.nii)?(\.gz)?$|\.dcm$", "", source.name, flags=re.IGNORECASE) or name
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "scan"
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "scan"


def _sources(layer: Image) -> list[str]:
    """What a layer was computed from, by name; of DICOM the series' number, as the rest has names of patients often."""
    if _of_dicom(layer):
        return [series_label(scan_record(layer)["header"]) or "series"]
    source = source_of(layer)
    return [] if source is None else [source.name]


def _free_names(layers: Sequence[Image], folder: Path, kind: FileKind, overwrite: bool) -> list[str]:
    """A name for each layer, with the first number that no file has."""
    number = 1
    while True:
        names = [_name(layer, "" if number == 1 else str(number), kind) for layer in layers]
        for index, name in enumerate(names):  # copies of a layer
            names[index] = _told_apart(name, names[:index])
        taken = [*names, *map(json_name, names)]
        if overwrite or not any((folder / name).exists() for name in taken):
            return names
        number += 1


def _name(layer: Image, number: str, kind: FileKind) -> str:
    record, role = _record(layer), _role(layer)
    task = _TASKS.get(str(record.get("task")), "brgm")
    part = "" if role in _MAIN or (role[:1] == "x" and role[1:2].isdigit()) else _camel(role)
    stem = derivative_name(source_name(layer), f"{task}{number}{part}", ".nii.gz")
    return stem if kind == "nifti" else stem.removesuffix(".nii.gz")


def _told_apart(name: str, others: Sequence[str]) -> str:
    made, copy = name, 2
    while made in others:
        made, copy = re.sub(r"(_desc-[A-Za-z0-9]+)", rf"\g<1>Copy{copy}", name), copy + 1
    return made


def _camel(words: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", words))


def _check_dicom(layer: Image) -> None:
    """Refuse before anything is computed or written."""
    if not _of_dicom(layer):
        raise OutputError(f"'{layer.name}' does not come from a DICOM series; save it as NIfTI instead")


def _of_dicom(layer: Image) -> bool:
    from napari_brgm.scans.dicom_header import DicomHeader

    return isinstance(scan_record(layer).get("header"), DicomHeader)


def _record(layer: Any) -> dict[str, Any]:
    record = layer.metadata.get("brgm")
    return record if isinstance(record, dict) else {}


def _role(layer: Any) -> str:
    return str(_record(layer).get("role") or "")


def _silent(what: str, done: int, total: int | None) -> None:
    pass
