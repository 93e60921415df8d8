"""A run is saved whole under free names, and opens again as the run it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pydicom
import pytest
from napari.components import ViewerModel
from pydicom.data import get_testdata_file
from pydicom.uid import ParametricMapStorage, SegmentationStorage

from napari_brgm.engine.restoration import Restoration
from napari_brgm.errors import BrgmError, Cancelled, InputError, OutputError
from napari_brgm.plugin.layers.outcome import OUTCOME_KEY, outcome_of
from napari_brgm.plugin.layers.results import Extras, add_results
from napari_brgm.plugin.layers.saving import layers_of_run, results, save_run
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.scans import read_scan
from napari_brgm.scans.record import plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Image

SOFTWARE = {"software": {"name": "napari-brgm", "version": "0.1.0"}}


def restoration(image: np.ndarray, missing: np.ndarray | None) -> Restoration:
    """What the engine could give: an in-painted hole, or a grid finer by 2."""
    if missing is None:
        estimate = np.kron(image, np.ones((2, 2), np.float32))
        variance, measured = np.full(estimate.shape, 2.0, np.float32), np.zeros(estimate.shape, bool)
    else:
        estimate = np.where(missing, image[~missing].mean(), image).astype(np.float32)
        variance, measured = missing.astype(np.float32), ~missing
    samples = np.stack([estimate - variance, estimate, estimate + variance]).astype(np.float32)
    record = SOFTWARE | {"seed": 0, "method": "map"}
    return Restoration(estimate, estimate, variance, samples, np.zeros((1, 2), np.float32), measured, [], record)


@pytest.fixture
def run() -> Callable[..., tuple[ViewerModel, list[Image]]]:
    """A finished run on a slice of the scan at a path."""

    def make(path: Path, task: str = "in-paint", dims: tuple[int, ...] | None = None):
        viewer = ViewerModel()
        data, settings, _ = image_layer(read_scan(path)[0])
        source = viewer.add_image(data, **settings)
        if dims is not None:
            viewer.dims.order = dims
        if source.ndim > 2:
            viewer.dims.set_current_step(viewer.dims.order[-3], 1)
        shown = shown_slice(source, viewer.dims)
        missing = np.zeros(shown.image.shape, bool)
        missing[1:3, 2:5] = True
        result = restoration(shown.image, missing if task == "in-paint" else None)
        return viewer, add_results(viewer, source, [(shown, result)], task, Extras(std=True, samples=True))

    return make


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(0, 900, (8, 7, 6)).astype(np.int16)
    path = tmp_path / "in" / "sub-01_acq-x_T1w.nii.gz"
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(values, np.diag([-1.0, 2.0, 3.0, 1.0])), path)
    return path


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return Path(shutil.copy(get_testdata_file("CT_small.dcm", download=False), tmp_path / "in" / "ct.dcm"))


def assert_same(scan, layer: Image) -> None:
    again = image_layer(scan)
    if again[0].shape == layer.data.shape:
        np.testing.assert_allclose(again[0], layer.data, rtol=1e-6, atol=1e-6)
    assert again[1]["metadata"]["brgm"] == plain(layer.metadata["brgm"])


@pytest.mark.parametrize("task", ["in-paint", "super-resolve"])
def test_nifti_names_and_round_trip(nifti: Path, run, tmp_path: Path, task: str) -> None:
    viewer, layers = run(nifti, task)
    assert [layer.metadata["brgm"]["role"] for layer in results(viewer)] == [layers[0].metadata["brgm"]["role"]]
    assert layers_of_run(viewer, layers[-1]) == layers
    files = save_run(layers, tmp_path / "out", "nifti")
    desc = {"in-paint": "brgmInpaint", "super-resolve": "brgmSuperres"}[task]
    roles = ("Estimate", "Samples", "Std", "Variance", *(["Mask"] if task == "in-paint" else []))
    names = [f"sub-01_acq-x_desc-{desc}{role}_T1w.nii.gz" for role in roles]
    assert [file.name for file in files] == [*names, f"sub-01_acq-x_desc-{desc}Posterior_T1w.safetensors"]
    images = sorted(file.name for file in files if file.suffix == ".gz")
    assert images[0] == names[0]  # what is opened first
    assert sorted(images, key=str.lower)[0] == names[0]
    assert (tmp_path / "out" / "dataset_description.json").is_file()
    for file, layer in zip(files, layers, strict=False):
        (scan,) = read_scan(file)
        assert_same(scan, layer)
        sidecar = json.loads(file.with_name(file.name.replace(".nii.gz", ".json")).read_text())
        assert sidecar["Sources"] == ["sub-01_acq-x_T1w.nii.gz"]
        assert ("Resolution" in sidecar) == ("SpatialReference" not in sidecar)
        if "Samples" not in file.name:
            assert ("Resolution" in sidecar) == (task == "super-resolve")
    again = save_run(layers, tmp_path / "out", "nifti")
    assert again[0].name == f"sub-01_acq-x_desc-{desc}2Estimate_T1w.nii.gz"
    assert again[3].name == f"sub-01_acq-x_desc-{desc}2Variance_T1w.nii.gz"
    replaced = save_run(layers, tmp_path / "out", "nifti", overwrite=True)
    assert replaced == files


@pytest.mark.parametrize("task", ["in-paint", "super-resolve"])
def test_a_result_as_dicom_is_one_study_with_what_is_synthetic(dicom: Path, run, tmp_path: Path, task: str) -> None:
    """Image, standard deviation as a map, and a segmentation, as the shell writes them."""
    _, layers = run(dicom, task)
    (folder,) = save_run(layers, tmp_path / "out", "dicom")
    assert folder.name == f"series-1_desc-{'brgmInpaint' if task == 'in-paint' else 'brgmSuperres'}Dicom_image"
    assert not (tmp_path / "out" / "dataset_description.json").exists()
    image, std = layers[0], next(layer for layer in layers if layer.metadata["brgm"]["role"] == "std")
    (scan,) = read_scan(folder / "estimate")
    assert scan.provenance == plain(image.metadata["brgm"])
    data, settings, _ = image_layer(scan)
    np.testing.assert_allclose(data, np.asarray(image.data).reshape(data.shape), atol=0.5)
    assert settings["name"] == image.name
    np.testing.assert_allclose(settings["scale"], image.scale[-2:])
    (spread,) = read_scan(folder / "std")
    np.testing.assert_allclose(np.squeeze(image_layer(spread)[0]), np.squeeze(np.asarray(std.data)), rtol=1e-6)
    files = [pydicom.dcmread(file) for file in sorted(folder.rglob("*.dcm"))]
    assert [file.SOPClassUID for file in files[1:]] == [ParametricMapStorage, SegmentationStorage]
    assert files[2].pixel_array.sum() == outcome_of(image).planes[0].free.sum()
    assert len({file.SeriesInstanceUID for file in files}) == len({file.SeriesNumber for file in files}) == 3
    assert len({file.StudyInstanceUID for file in files}) == 1
    again = save_run(layers, tmp_path / "out", "dicom")
    assert again[0].name == folder.name.replace("Dicom", "2Dicom")


def test_an_interval_is_a_series_beside_the_result(dicom: Path, run, tmp_path: Path) -> None:
    viewer, (image, *_) = run(dicom)
    record = image.metadata["brgm"] | {"role": "low", "level": 0.9}
    viewer.add_image(image.data - 1, name="low", metadata=image.metadata | {"brgm": record})
    folders = save_run(layers_of_run(viewer, image), tmp_path / "out", "dicom")
    assert [folder.name.split("-brgm")[1] for folder in folders] == ["InpaintDicom_image", "InpaintLow_image"]
    numbers = {pydicom.dcmread(file).SeriesNumber for folder in folders for file in folder.rglob("*.dcm")}
    assert len(numbers) == 4


def test_an_image_without_its_run_is_synthetic_where_its_spread_is_above_0(dicom: Path, run, tmp_path: Path) -> None:
    _, layers = run(dicom)
    free = outcome_of(layers[0]).planes[0].free.sum()
    for layer in layers:
        layer.metadata.pop(OUTCOME_KEY)
    (folder,) = save_run(layers, tmp_path / "out", "dicom")
    (segments,) = (pydicom.dcmread(file) for file in (folder / "synthetic").iterdir())
    assert segments.pixel_array.sum() == free > 0
    (series,) = save_run(layers[:1], tmp_path / "image", "dicom")  # nobody knows what of it is synthetic
    assert [file.name for file in series.iterdir()] == ["0001.dcm"]


def test_records_of_many_slices_do_not_swell_each_file(dicom: Path, run, tmp_path: Path) -> None:
    _, layers = run(dicom)
    one = {"index": [None, None], "mean": "x" * 40_000}
    layers[0].metadata["brgm"]["slices"] = [one, one]
    (folder,) = save_run(layers, tmp_path / "out", "dicom")
    (scan,) = read_scan(folder / "estimate")
    assert scan.provenance is not None and scan.provenance["slices"] == [{"index": [None, None]}] * 2


def test_names_of_folders_do_not_leak(dicom: Path, run, tmp_path: Path) -> None:
    person = dicom.parent.rename(tmp_path / "Doe^Jane")
    (person / "ct2.dcm").write_bytes(b"")
    _, layers = run(person)
    files = save_run(layers, tmp_path / "out", "nifti")
    for file in (tmp_path / "out").iterdir():
        assert "Doe" not in file.name
        assert file.suffix != ".json" or "Doe" not in file.read_text()
    assert files[0].name == "series-1_desc-brgmInpaintEstimate_image.nii.gz"


def test_reopened_layers_are_saved_again(nifti: Path, run, tmp_path: Path) -> None:
    _, layers = run(nifti)
    files = save_run(layers[:1], tmp_path / "out", "nifti", complete=False)
    viewer = ViewerModel()
    data, settings, _ = image_layer(read_scan(files[0])[0])
    settings["metadata"]["brgm"].pop("run")
    layer = viewer.add_image(data, **settings)
    assert results(viewer) == [layer]
    assert layers_of_run(viewer, layer) == [layer]
    (again,) = save_run([layer], tmp_path / "out", "nifti")
    assert again.name == "sub-01_acq-x_desc-brgmInpaint2Estimate_T1w.nii.gz"
    with pytest.raises(OutputError, match="was read from"):
        save_run([layer], tmp_path / "out", "nifti", overwrite=True)


def test_nothing_is_left_of_what_went_wrong(nifti: Path, run, tmp_path: Path) -> None:
    viewer, layers = run(nifti)

    def stop(what: str, done: int, total: int | None) -> None:
        if done == 2:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        save_run(layers, tmp_path / "out", "nifti", tell=stop)
    with pytest.raises(OutputError, match="does not come from a DICOM series; save it as NIfTI instead"):
        save_run(layers, tmp_path / "out", "dicom")
    with pytest.raises(InputError, match="nothing to save"):
        save_run(layers[1:2], tmp_path / "out", "dicom")
    with pytest.raises(BrgmError):
        save_run(layers, nifti, "nifti")
    assert not (tmp_path / "out").exists()
    assert [file.name for file in nifti.parent.iterdir()] == [nifti.name]
    assert all(layer in viewer.layers for layer in layers)


def test_copies_of_a_layer_have_names_of_their_own(nifti: Path, run, tmp_path: Path) -> None:
    viewer, layers = run(nifti)
    viewer.add_image(layers[0].data, name="copy", metadata=dict(layers[0].metadata))
    files = save_run(layers_of_run(viewer, layers[0]), tmp_path / "out", "nifti")
    names = {file.name for file in files if file.suffix == ".gz"}
    assert len(names) == 6 and "sub-01_acq-x_desc-brgmInpaintEstimateCopy2_T1w.nii.gz" in names
