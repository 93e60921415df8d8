"""What is said of a pixel must be the restoration's own interval, in the session and when its files are opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from pydicom.data import get_testdata_file

from napari_brgm import Mask, load_prior, restore
from napari_brgm.calibration import interval, pack_widths
from napari_brgm.engine.restoration import Restoration
from napari_brgm.plugin.layers.opened_study import layers_of_scans
from napari_brgm.plugin.layers.results import Extras, add_results
from napari_brgm.plugin.layers.saving import save_run
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.uncertainty.runs import InspectedRun, runs_in
from napari_brgm.scans import read_scan
from napari_brgm.scans.samples import brain_slice

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.66, 0.99)


def calibrated(image: np.ndarray, missing: np.ndarray, seed: int = 0) -> Restoration:
    """A restoration whose widths differ between the left and the right, and whose mean is not its estimate."""
    rng = np.random.default_rng(seed)
    spread = np.where(missing, rng.uniform(5, 60, image.shape), 0)
    samples = (image + spread * rng.normal(size=(30, *image.shape))).astype(np.float32)
    left = np.arange(image.shape[1]) < image.shape[1] // 2
    widths = np.array([0.4, 1.0, 1.6, 2.4])[:, None, None] * np.where(left, 1.0, 1.3) * np.ones(image.shape)
    widths = widths.astype(np.float32)
    record = {"calibration": {"label": "calibrated on 10 held-out subjects", "widths": pack_widths(widths)}}
    record |= {"software": {"name": "napari-brgm", "version": "0.1.0"}, "seed": seed}
    mean = np.where(missing, samples.mean(axis=0), image).astype(np.float32)
    variance = np.where(missing, samples.var(axis=0), 0).astype(np.float32)
    none = np.zeros((0, 0), np.float32)
    return Restoration(image, mean, variance, samples, none, ~missing, [], record, widths)


def only(viewer: ViewerModel) -> InspectedRun:
    (run,) = runs_in(viewer.layers, {}).values()
    return run


def hole(shape: tuple[int, int]) -> np.ndarray:
    missing = np.zeros(shape, bool)
    missing[shape[0] // 3 : shape[0] // 2, shape[1] // 4 : -shape[1] // 4] = True
    return missing


@pytest.fixture
def nifti(tmp_path: Path) -> Path:
    """Axes that our reader turns and flips."""
    affine = np.array([[0, 2.0, 0, 3], [0, 0, -3.0, 4], [1.0, 0, 0, 5], [0, 0, 0, 1]])
    values = np.random.default_rng(0).integers(0, 900, (5, 14, 12)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, affine), tmp_path / "T1w.nii.gz")
    return tmp_path / "T1w.nii.gz"


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    return Path(shutil.copy(get_testdata_file("CT_small.dcm", download=False), tmp_path / "ct.dcm"))


def finished(path: Path, extras: Extras, order: tuple[int, ...] | None = None) -> tuple[ViewerModel, list]:
    """A finished run on one or two slices of a scan, and what was computed, as shown."""
    viewer = ViewerModel()
    data, settings, _ = image_layer(read_scan(path)[0])
    source = viewer.add_image(data, **settings)
    planes = []
    if order is not None:
        viewer.dims.order = order
    for number in (1, 3) if source.ndim > 2 else (0,):
        if source.ndim > 2:
            viewer.dims.set_current_step(viewer.dims.order[0], number)
        shown = shown_slice(source, viewer.dims)
        planes.append((shown, calibrated(shown.image, hole(shown.image.shape), number)))
    add_results(viewer, source, planes, "in-paint", extras)
    return viewer, planes


def reopened(viewer: ViewerModel, folder: Path, kind: str) -> ViewerModel:
    """The images of the run, saved and opened again without what lies beside them."""
    again = ViewerModel()
    for file in save_run(list(viewer.layers)[1:], folder, kind):
        if Path(file).suffix == ".safetensors":  # posteriors, which make another run of it
            continue
        for data, settings, of in layers_of_scans(file) if kind == "dicom" else [image_layer(read_scan(file)[0])]:
            if of == "image":  # the mask is none
                again.add_image(data, **settings)
    return again


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_of_a_nifti_file_before_and_after(nifti: Path, tmp_path: Path, order, level: float) -> None:
    viewer, planes = finished(nifti, Extras(), order)
    for run in (only(viewer), only(reopened(viewer, tmp_path / "out", "nifti"))):
        for plane, (shown, result) in zip(run.planes, planes, strict=True):
            low, high = (shown.as_stored(end) for end in result.interval(level))
            np.testing.assert_allclose(plane.result.interval(level), (low, high), rtol=1e-6)
            np.testing.assert_array_equal(plane.result.measured, shown.as_stored(result.measured))
            free = np.argwhere(plane.free)
            for row, column in free[::3]:
                pixel = plane.at(row, column)
                assert pixel is not None
                np.testing.assert_allclose(pixel.interval(level), (low[row, column], high[row, column]), rtol=1e-6)
        assert run.trust == "calibrated on 10 held-out subjects"


@pytest.mark.parametrize("level", LEVELS)
def test_of_a_dicom_result_before_and_after(dicom: Path, tmp_path: Path, level: float) -> None:
    """DICOM keeps the image's integers and the floats of its spread."""
    viewer, ((shown, result),) = finished(dicom, Extras())
    own = only(viewer).planes[0].result
    np.testing.assert_array_equal(own.interval(level), [shown.as_stored(end) for end in result.interval(level)])
    (plane,) = only(reopened(viewer, tmp_path / "out", "dicom")).planes
    again = plane.result
    np.testing.assert_array_equal(again.widths, result.widths)
    np.testing.assert_array_equal(again.interval(level), interval(again.mean, again.std, level, result.widths))
    np.testing.assert_allclose(again.variance, result.variance, rtol=1e-6)
    np.testing.assert_array_equal(again.mean[plane.free], result.mean[plane.free])
    np.testing.assert_allclose(again.interval(level), result.interval(level), rtol=1e-5, atol=0.02)


@pytest.mark.parametrize("extras", [Extras(samples=True), Extras(level=0.9)])
def test_the_mean_is_also_read_off_samples_and_intervals(nifti: Path, tmp_path: Path, extras: Extras) -> None:
    """Of records that keep none, as those of whole slices: a most probable image is not the middle of its interval."""
    viewer, planes = finished(nifti, extras)
    for layer in viewer.layers:
        for record in layer.metadata.get("brgm", {}).get("slices", ()):
            record.pop("mean", None)
    for plane, (_, result) in zip(only(reopened(viewer, tmp_path / "out", "nifti")).planes, planes, strict=True):
        np.testing.assert_allclose(plane.result.interval(0.8), result.interval(0.8), rtol=1e-5)


def test_one_layer_of_a_run_keeps_the_mean(nifti: Path) -> None:
    viewer, _ = finished(nifti, Extras(std=True))
    kept = [["mean" in one for one in layer.metadata["brgm"]["slices"]] for layer in list(viewer.layers)[1:]]
    assert kept == [[True, True], [False, False], [False, False]]


@pytest.mark.parametrize("text", ["", "?", "AAAA", 7, pack_widths(np.ones((4, 2, 2), np.float32))])
def test_a_damaged_record_costs_the_calibration_only(nifti: Path, tmp_path: Path, text) -> None:
    viewer, planes = finished(nifti, Extras())
    for one in viewer.layers[1].metadata["brgm"]["slices"]:
        one["mean"], one["calibration"] = text, {"label": "x", "widths": text}
    run = only(reopened(viewer, tmp_path / "out", "nifti"))
    for plane, (_, result) in zip(run.planes, planes, strict=True):
        assert plane.result.widths is None
        expected = interval(result.estimate, result.std, 0.9)
        np.testing.assert_allclose(plane.result.interval(0.9), expected, rtol=1e-6)


def test_of_a_calibrated_run_of_the_engine(tmp_path: Path) -> None:
    """In air and in tissue; before, the panel's interval in air was half of the engine's."""
    scan, mask = brain_slice()
    missing = mask.copy()
    missing[4:12, 4:20] = True  # air
    viewer = ViewerModel()
    data, settings, _ = image_layer(scan)
    source = viewer.add_image(data, **settings)
    shown = shown_slice(source, viewer.dims)
    prior = load_prior("brain-axial-128")
    result = restore(shown.image, Mask(missing), prior, spacing=shown.spacing, samples=16, device="cpu")
    assert result.widths is not None
    add_results(viewer, source, [(shown, result)], "in-paint", Extras())
    runs = only(viewer), only(reopened(viewer, tmp_path, "nifti"))
    tissue = result.mean > 0.1 * result.mean.max()
    for where in (missing & tissue, missing & ~tissue):
        assert where.any()
        for level in (0.5, 0.8, 0.9, 0.95):
            low, high = result.interval(level)
            for run in runs:
                (plane,) = run.planes
                ends = plane.result.interval(level)
                np.testing.assert_allclose(ends[0][where], low[where], rtol=1e-6, atol=1e-7)
                np.testing.assert_allclose(ends[1][where], high[where], rtol=1e-6, atol=1e-7)
                np.testing.assert_allclose(plane.width(level)[where], (high - low)[where], rtol=1e-4, atol=1e-7)
