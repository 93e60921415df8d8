"""Layers of a run -> files with provenance: NIfTI with a JSON sidecar each, or DICOM.

A run is saved whole: its images and the mask of what is synthetic, and as NIfTI also its samples. Nothing that exists
is touched. Each sidecar names the other files, and DICOM files refer to each other, so that any of them opens the run
again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari.layers import Image

from napari_brgm.errors import InputError, OutputError
from napari_brgm.plugin.layers.file_names import images_of, named_part
from napari_brgm.plugin.layers.naming import name_of_source, result_name, role_in_words
from napari_brgm.plugin.layers.outcome import outcome_of
from napari_brgm.plugin.layers.pinned import pinned_voxel
from napari_brgm.plugin.layers.posterior_files import RunPosterior
from napari_brgm.plugin.layers.run_study import RunStudy
from napari_brgm.plugin.layers.saved_run import SavedLayer, SavedPlane, SavedRun, look_of
from napari_brgm.plugin.layers.scans import axes_in_file, on_source_grid, scan_of, scan_record, source_of
from napari_brgm.scans.names import json_name, series_label
from napari_brgm.scans.outputs import Outputs
from napari_brgm.scans.record import sidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.components import ViewerModel

    from napari_brgm.scan import Scan

__all__ = [
    "FileKind", "is_map", "is_result", "kind_of_source", "layers_of_run", "refuse_source", "results", "save_run",
    "without_series", "write_image",
]  # fmt: skip

FileKind = Literal["nifti", "dicom"]
_IN_STUDY = 3  # series: image, standard deviation, what is synthetic
_NOT_DICOM = ("samples", "interpolation")  # many images at one place, which a series of one source cannot hold


def is_result(layer: object) -> bool:
    """Whether a layer is an image that was computed here, in this session or in one before."""
    return isinstance(layer, Image) and isinstance(layer.metadata.get("brgm"), dict)


def is_map(layer: Image) -> bool:
    """Whether a result was made by looking at another one: a sample on show, say."""
    return "of_run" in layer.metadata["brgm"]


def results(viewer: ViewerModel) -> list[Image]:
    """Give one layer of each run, the first; previews are none."""
    found: dict[Any, Image] = {}
    for layer in viewer.layers:
        if is_result(layer) and _role(layer) != "preview":
            found.setdefault(_run_of(layer) or id(layer), layer)
    return list(found.values())


def layers_of_run(viewer: ViewerModel, layer: Image) -> list[Image]:
    """All image layers of the run that ``layer`` is of; that layer alone if it does not say which run."""
    run = _run_of(layer)
    if not run:
        return [layer]
    return [other for other in viewer.layers if is_result(other) and _run_of(other) == run]


def without_series(layers: Sequence[Image], kind: FileKind) -> list[Image]:
    """Layers that this kind of file has no place for: samples, in DICOM."""
    return [layer for layer in layers if kind == "dicom" and _role(layer) in _NOT_DICOM]


def kind_of_source(layer: Image) -> FileKind:
    """The kind of file that a layer, or the source of a result, was read from."""
    return "dicom" if _of_dicom(layer) else "nifti"


def save_run(
    layers: Sequence[Image],
    folder: str | Path,
    kind: FileKind,
    *,
    complete: bool | None = None,
    overwrite: bool = False,
    tell: Callable[[str, int, int | None], None] | None = None,
) -> list[Path]:
    """Save the layers of one run, all or none.

    NIfTI files have names of BIDS derivatives, and as DICOM there are folders of such names: one with image, standard
    deviation and what is synthetic (``scans/dicom_study.py``), which stands for the variance too, and one for each
    layer else. Where one exists already, all get the next free number instead (brgmInpaint2), or replace it with
    ``overwrite``.

    Parameters
    ----------
    layers : sequence of Image
        As ``layers_of_run`` gives them.
    folder : str or Path
        Made if missing.
    kind : {'nifti', 'dicom'}
        'dicom' leaves out the layers of ``without_series``.
    complete : bool, optional
        Save samples and mask too, and with DICOM the whole run as NIfTI beside it, as it holds no samples; default
        for NIfTI, where they are known.
    tell : callable, optional
        Called with (what, done, total or None); what it raises ends the saving, and no file is left.

    Returns
    -------
    list of Path
        The folders of DICOM files, the images, the mask, the posteriors.

    Raises
    ------
    InputError, OutputError
        There is nothing to save, a layer is no scan, or it cannot be written.
    """
    folder = Path(folder)
    complete = kind == "nifti" if complete is None else complete
    left_out = without_series(layers, kind)
    series = [layer for layer in layers if layer not in left_out]
    if not series:
        raise InputError("there is nothing to save in this format; choose NIfTI")
    for layer in series if kind == "dicom" else []:
        _check_dicom(layer)
    images = list(layers) if kind == "nifti" or complete else []
    study = RunStudy.of(series) if kind == "dicom" else None
    whole = () if study is None else study.layers
    alone = [layer for layer in series if kind == "dicom" and layer not in whole]
    posterior = RunPosterior.of(layers) if complete else None
    told = posterior or (RunStudy.of(layers) if complete else None)  # of layers alone, too
    mask = None if told is None else told.mask()
    planes = 0 if posterior is None else len(posterior.outcome.planes)
    names = _free_names(study, alone, images, planes, mask is not None, folder, overwrite)
    named = [*names.study * len(whole), *names.series, *names.images]
    for layer, name in zip([*whole, *alone, *images], named, strict=True):
        refuse_source(layer, folder / name)
    steps = [*names.study, *names.series, *names.images, *names.mask, *names.planes]
    group = _saved(images, posterior, names).to_dict() if images else None
    with Outputs(folder, names.all, overwrite, describe=bool(images)) as out:
        begun = iter(enumerate(steps))

        def begin() -> tuple[int, Path]:
            number, name = next(begun)
            if tell is not None:
                tell(f"saving {name}", number, len(steps))
            return number, out.path(name)

        if study is not None:
            study.write(begin()[1], 1, tell or _silent)
        for layer in alone:
            from napari_brgm.scans.dicom_export import write_files

            number, path = begin()
            write_files(scan_of(layer), path, number=number + (1 if study is None else _IN_STUDY), tell=tell or _silent)
        for layer in images:
            write_image(layer, scan_of(layer), begin()[1], run=group)
        if told is not None and mask is not None:
            write_image(told.base, mask, begin()[1], run=group)
        for plane in range(planes):
            assert posterior is not None
            posterior.write(plane, begin()[1])
    return [folder / name for name in steps]


def write_image(
    layer: Image, scan: Scan, path: Path, *, run: dict[str, Any] | None = None, overwrite: bool = False
) -> Path:
    """Write the scan of a layer as NIfTI with its sidecar, which says what ``run`` does; errors as ``write_nifti``."""
    from napari_brgm.scans.export import write_nifti

    text = sidecar(scan, sources=_sources(layer), same_grid=on_source_grid(layer, scan), run=run)
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


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of the files of one run."""

    study: list[str]  # one or none: the folder of image, spread and what is synthetic
    series: list[str]
    images: list[str]
    mask: list[str]  # one or none
    planes: list[str]

    @property
    def all(self) -> list[str]:
        written = [*self.study, *self.series, *self.images, *self.mask, *self.planes]
        return [*written, *map(json_name, [*self.images, *self.mask])]


def _free_names(
    study: RunStudy | None, series: Sequence[Image], images: Sequence[Image], planes: int, masked: bool, folder: Path,
    overwrite: bool,
) -> _Names:  # fmt: skip
    """A name for each file, with the first number that no file has."""
    number = 1
    while True:
        one = [*images, *series, *(() if study is None else study.layers)][0]
        parts = ["Posterior"] if planes == 1 else [f"Posterior{i + 1:03d}" for i in range(planes)]
        names = _Names(
            [] if study is None else [study.name(number)],
            images_of(series, number, ""),
            images_of(images, number),
            [named_part(one, number, "Mask", ".nii.gz")] * masked,
            [named_part(one, number, part, ".safetensors") for part in parts],
        )
        if overwrite or not any((folder / name).exists() for name in names.all):
            return names
        number += 1


def _saved(images: Sequence[Image], posterior: RunPosterior | None, names: _Names) -> SavedRun:
    """What the NIfTI files of a run say of each other."""
    record, outcome = images[0].metadata["brgm"], outcome_of(images[0])
    of_dicom = series_label(scan_record(images[0]).get("header"))  # as layers are called by its description
    source = of_dicom or str(record.get("source_layer") or name_of_source(images[0].name))
    looks = [
        look_of(layer, result_name(role_in_words(layer.metadata["brgm"]), of_dicom) if of_dicom else layer.name)
        for layer in images
    ]
    return SavedRun(
        str(record.get("run") or ""),
        str(record.get("task") or ""),
        source,
        str(record.get("units") or "") if outcome is None else outcome.units,
        tuple(
            SavedLayer(name, look, axes_in_file(layer).space)
            for name, look, layer in zip(names.images, looks, images, strict=True)
        ),
        names.mask[0] if names.mask else "",
        tuple(
            SavedPlane(name, posterior.place(number))
            for number, name in enumerate(names.planes)
            if posterior is not None
        ),
        pinned_voxel(images),
    )


def _sources(layer: Image) -> list[str]:
    """What a layer was computed from, by name; of DICOM the series' number, as the rest has names of patients often."""
    if _of_dicom(layer):
        return [series_label(scan_record(layer)["header"]) or "series"]
    source = source_of(layer)
    return [] if source is None else [source.name]


def _check_dicom(layer: Image) -> None:
    """Refuse before anything is computed or written."""
    if not _of_dicom(layer):
        raise OutputError(f"'{layer.name}' does not come from a DICOM series; save it as NIfTI instead")


def _of_dicom(layer: Image) -> bool:
    from napari_brgm.scans.dicom_header import DicomHeader

    return isinstance(scan_record(layer).get("header"), DicomHeader)


def _run_of(layer: Image) -> str | None:
    """What tells the run of a result from others, those with the same layers from another folder included."""
    outcome = outcome_of(layer)
    run = layer.metadata["brgm"].get("run") if outcome is None else outcome.run
    return str(run) if run else None


def _role(layer: Image) -> str:
    return str(layer.metadata["brgm"].get("role") or "")


def _silent(what: str, done: int, total: int | None) -> None:
    pass
