"""A saved run opens as it was from any of its files, says what is missing, and trusts nothing that a file says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
from napari.components import ViewerModel
from npe2 import PluginManifest

from napari_brgm.calibration import LEVELS
from napari_brgm.engine.restoration import Restoration
from napari_brgm.errors import ScanError
from napari_brgm.plugin.layers import opening, posterior_files
from napari_brgm.plugin.layers.outcome import PINNED_KEY, outcome_of
from napari_brgm.plugin.layers.results import Extras, add_results
from napari_brgm.plugin.layers.saved_run import SavedRun
from napari_brgm.plugin.layers.saving import layers_of_run, save_run
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.uncertainty.runs import runs_in

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image

PLUGIN = "napari-brgm"
ROLES = ["restored", "low", "high", "std", "variance"]


@pytest.fixture(autouse=True)
def our_plugin(npe2pm) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari-brgm"))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    for module in (opening, posterior_files):
        monkeypatch.setattr(module, "show_warning", sentences.append)
    monkeypatch.setattr(opening, "show_info", sentences.append)
    return sentences


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Not square, in an order and directions that are not those of the screen."""
    affine = np.array([[0, 0, 1.5, 3], [-1.0, 0, 0, 4], [0, -2.0, 0, 5], [0, 0, 0, 1]])
    path = tmp_path / "sub-01_T1w.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).integers(0, 900, (6, 5, 9)).astype(np.int16), affine), path)
    return path


def restored(image: np.ndarray, missing: np.ndarray, seed: int) -> Restoration:
    """A result with all that one can have: skewed draws, a mean beside the estimate, and calibrated widths."""
    rng = np.random.default_rng(seed)
    samples = np.where(missing, image + rng.gamma(2, 30, (5, *image.shape)), image).astype(np.float32)
    estimate = np.where(missing, 100 * rng.random(image.shape), image).astype(np.float32)
    variance = np.where(missing, samples.var(axis=0), 0).astype(np.float32)
    widths = np.sort(1 + rng.random((len(LEVELS), *image.shape)), axis=0).astype(np.float32)
    record = {"software": {"name": "napari-brgm"}, "samples": 5, "seed": seed,
              "calibration": {"applied": True, "label": "90 % intervals calibrated on 8 subjects"}}  # fmt: skip
    latents = np.zeros((1, 2), np.float32)
    mean = np.where(missing, samples.mean(axis=0), image).astype(np.float32)
    return Restoration(estimate, mean, variance, samples, latents, ~missing, [], record, widths)


def a_run(path: Path, extras: Extras = Extras(std=True, level=0.9)) -> tuple[ViewerModel, list[Image]]:  # noqa: B008
    """Two restored slices of a volume."""
    viewer = ViewerModel()
    (source,) = viewer.open(path, plugin=PLUGIN)
    done = []
    for number in (1, 3):
        viewer.dims.set_current_step(0, number)
        shown = shown_slice(source, viewer.dims)
        missing = np.zeros(shown.image.shape, bool)
        missing[1:4, 2 : 4 + number] = True
        done.append((shown, restored(shown.image, missing, number)))
    return viewer, add_results(viewer, source, done, "in-paint", extras)


def assert_same_run(before: list[Image], after: list[Any]) -> None:
    """Layers and everything that the inspector is told."""
    assert [layer.metadata["brgm"]["role"] for layer in after] == [layer.metadata["brgm"]["role"] for layer in before]
    for old, new in zip(before, after, strict=True):
        assert new.name.split(" [")[0] == old.name and new.colormap.name == old.colormap.name
        assert (new.visible, new.opacity, new.blending, new.gamma) == (
            old.visible, old.opacity, old.blending, old.gamma,
        )  # fmt: skip
        np.testing.assert_allclose(new.contrast_limits, old.contrast_limits)
        np.testing.assert_array_equal(new.data, old.data)
    (one,) = runs_in(before, {}).values()
    (two,) = runs_in(after, {}).values()
    assert (one.outcome.source, one.outcome.task, one.outcome.units, one.trust) == (
        two.outcome.source, two.outcome.task, two.outcome.units, two.trust,
    )  # fmt: skip
    assert [plane.index for plane in one.planes] == [plane.index for plane in two.planes]
    for old, new in zip(one.planes, two.planes, strict=True):
        for name in ("estimate", "mean", "variance", "samples", "measured", "widths"):
            np.testing.assert_array_equal(getattr(new.result, name), getattr(old.result, name), err_msg=name)
        for level in (0.5, 0.9, 0.99):
            np.testing.assert_array_equal(new.result.interval(level), old.result.interval(level))


@pytest.mark.parametrize("which", range(7))
def test_any_file_brings_the_whole_run(scan: Path, tmp_path: Path, told: list[str], which: int) -> None:
    viewer, layers = a_run(scan)
    estimate, low, _, std, variance = layers
    estimate.gamma, std.visible, variance.opacity, low.colormap = 0.8, True, 0.4, "viridis"
    estimate.contrast_limits = (10, 500)
    viewer.layers.move(viewer.layers.index(std), 1)  # a person may put them in another order
    layers = layers_of_run(viewer, estimate)
    for layer in layers:
        layer.metadata[PINNED_KEY] = [3, 2, 4]
    files = save_run(layers, tmp_path / "out", "nifti")
    images = [tmp_path / "out", *(file for file in files if file.name.endswith(".nii.gz"))]
    assert len(images) == 7
    again = ViewerModel()
    mask, *opened = again.open(images[which], plugin=PLUGIN)
    assert told == []
    assert_same_run(layers, opened)
    assert opened[0].metadata[PINNED_KEY] == [3, 2, 4]
    synthetic = np.zeros(estimate.data.shape, bool)
    for plane in outcome_of(estimate).planes:
        synthetic[plane.index] = ~plane.result.measured
    np.testing.assert_array_equal(mask.data, synthetic)
    assert (mask.name, mask.visible, mask.data.dtype) == ("mask | sub-01_T1w", False, np.uint8)
    with_mask = nib.load(next(file for file in files if "Mask" in file.name))
    assert with_mask.get_data_dtype() == np.uint8 and np.array_equal(with_mask.affine, nib.load(scan).affine)
    # and what was opened is saved as the same run
    twice = save_run(layers_of_run(again, opened[0]), tmp_path / "twice", "nifti")
    assert_same_run(layers, ViewerModel().open(twice[0], plugin=PLUGIN)[1:])


def test_posterior_files_are_those_of_the_images(scan: Path, tmp_path: Path) -> None:
    """Catches planes that lie otherwise than the voxels beside them, for whoever reads them without napari."""
    _, layers = a_run(scan)
    files = save_run(layers, tmp_path, "nifti")
    images = nib.load(files[0]).get_fdata()
    run = SavedRun.beside(files[0])
    assert run is not None and len(run.planes) == 2
    for plane in run.planes:
        result = Restoration.load(tmp_path / plane.file)
        np.testing.assert_array_equal(
            result.estimate, images[tuple(slice(None) if i is None else i for i in plane.index)]
        )
        assert result.provenance["index"] == list(plane.index)
        stored = 4 * result.samples.shape[0] * int((~result.measured).sum())
        assert stored < 4 * result.samples.size / 2  # of what is synthetic alone


def test_a_finer_grid_comes_back(scan: Path, tmp_path: Path, told: list[str]) -> None:
    viewer = ViewerModel()
    (source,) = viewer.open(scan, plugin=PLUGIN)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 2)
    shown = shown_slice(source, viewer.dims)
    fine = np.kron(shown.image, np.ones((2, 2), np.float32))
    result = restored(fine, np.ones(fine.shape, bool), 0)
    layers = add_results(viewer, source, [(shown, result)], "super-resolve", Extras(samples=True))
    files = save_run(layers, tmp_path / "out", "nifti")
    assert not [file for file in files if "Mask" in file.name]  # all of it is synthetic
    opened = ViewerModel().open(files[-2], plugin=PLUGIN)
    (one,), (two,) = runs_in(layers, {}).values(), runs_in(opened, {}).values()
    assert told == [] and not opened[-1].visible
    plane, before = two.planes[0], one.planes[0]
    np.testing.assert_array_equal(plane.result.estimate, two.base.data[plane.index])
    np.testing.assert_array_equal(plane.result.samples, before.result.samples)
    np.testing.assert_array_equal(plane.result.widths, before.result.widths)
    assert_same_places(layers, opened)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_one_slice_lies_in_its_volume_again(scan: Path, tmp_path: Path, told: list[str], order) -> None:
    """Catches samples of one slice that lose an axis, so that their number lies along the patient."""
    viewer = ViewerModel()
    (source,) = viewer.open(scan, plugin=PLUGIN)
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 2)
    shown = shown_slice(source, viewer.dims)
    missing = np.zeros(shown.image.shape, bool)
    missing[1:4, 2:4] = True
    done = [(shown, restored(shown.image, missing, 0))]
    layers = add_results(viewer, source, done, "in-paint", Extras(samples=True))
    save_run(layers, tmp_path / "out", "nifti")
    again = ViewerModel()
    _, *opened = again.open(tmp_path / "out", plugin=PLUGIN)
    assert told == [] and len(opened) == len(layers) == 3
    assert_same_places(layers, opened)
    assert again.dims.ndim == 4 and again.dims.axis_labels == viewer.dims.axis_labels


def test_a_slice_by_itself_stays_one(scan: Path, tmp_path: Path) -> None:
    """Its samples too: catches a run of a flat image that comes back as a stack."""
    whole = nib.load(scan)
    nib.save(nib.Nifti1Image(np.asarray(whole.dataobj)[:, 2:3], whole.affine), tmp_path / "one.nii.gz")
    viewer = ViewerModel()
    (source,) = viewer.open(tmp_path / "one.nii.gz", plugin=PLUGIN)
    assert source.ndim == 2
    shown = shown_slice(source, viewer.dims)
    missing = np.zeros(shown.image.shape, bool)
    missing[1:4, 2:4] = True
    layers = add_results(viewer, source, [(shown, restored(shown.image, missing, 0))], "in-paint", Extras(samples=True))
    save_run(layers, tmp_path / "out", "nifti")
    _, *opened = ViewerModel().open(tmp_path / "out", plugin=PLUGIN)
    assert_same_places(layers, opened)


def assert_same_places(before: list[Image], after: list[Any]) -> None:
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new.data, np.asarray(old.data))
        np.testing.assert_allclose(new.scale, old.scale)
        np.testing.assert_allclose(new.translate, old.translate, atol=1e-9)
        assert (new.axis_labels, new.units) == (old.axis_labels, old.units)


def test_what_is_missing_is_told_and_the_rest_opened(scan: Path, tmp_path: Path, told: list[str]) -> None:
    _, layers = a_run(scan)
    files = save_run(layers, tmp_path / "out", "nifti")
    by_role = dict(zip([*ROLES, "mask", "first", "second"], files, strict=True))
    by_role["std"].unlink()
    by_role["second"].unlink()
    opened = ViewerModel().open(by_role["restored"], plugin=PLUGIN)
    assert [layer.metadata["brgm"]["role"] for layer in opened] == ["mask", "restored", "low", "high", "variance"]
    assert len(told) == 2 and by_role["std"].name in told[0] and by_role["second"].name in told[1]
    (run,) = runs_in(opened, {}).values()  # as of files without samples
    assert outcome_of(opened[1]) is None and not len(run.planes[0].result.samples)

    told.clear()
    alone = tmp_path / "alone"
    alone.mkdir()
    for path in (
        by_role["variance"],
        by_role["variance"].with_name(by_role["variance"].name.replace("nii.gz", "json")),
    ):
        path.rename(alone / path.name)
    (variance,) = ViewerModel().open(alone / by_role["variance"].name, plugin=PLUGIN)
    assert variance.name == "variance | sub-01_T1w" and variance.colormap.name == "brgm uncertainty"
    assert len(told) == 6  # one sentence for each file

    told.clear()
    renamed = alone / "mine.nii.gz"
    (alone / by_role["variance"].name).rename(renamed)
    (alone / by_role["variance"].name.replace("nii.gz", "json")).rename(alone / "mine.json")
    (variance,) = ViewerModel().open(renamed, plugin=PLUGIN)
    assert variance.name == "variance | sub-01_T1w" and len(told) == 1 and "renamed" in told[0]


def test_files_that_go_after_opening_leave_what_the_layers_show(scan: Path, tmp_path: Path, told: list[str]) -> None:
    _, layers = a_run(scan)
    files = save_run(layers, tmp_path / "out", "nifti")
    opened = ViewerModel().open(files[0], plugin=PLUGIN)
    files[-1].unlink()
    files[-2].write_bytes(b"no tensors")
    (run,) = runs_in(opened, {}).values()
    (before,) = runs_in(layers, {}).values()
    for plane, old in zip(run.planes, before.planes, strict=True):
        np.testing.assert_array_equal(plane.result.estimate, old.result.estimate)
        np.testing.assert_array_equal(plane.result.measured, old.result.measured)
        assert not len(plane.result.samples)
        assert (plane.width(0.9)[plane.free] > 0).all()
    assert len(told) == 2 and all(file.name in sentence for file, sentence in zip(files[-2:], told, strict=True))


def test_files_of_another_run_are_left_out(scan: Path, tmp_path: Path, told: list[str]) -> None:
    _, layers = a_run(scan)
    files = save_run(layers, tmp_path / "one", "nifti")
    _, others = a_run(scan)
    other = save_run(others, tmp_path / "two", "nifti")
    for number in (4, -1):
        files[number].write_bytes(other[number].read_bytes())
    (tmp_path / "one" / files[4].name.replace("nii.gz", "json")).write_text(
        (tmp_path / "two" / files[4].name.replace("nii.gz", "json")).read_text()
    )
    opened = ViewerModel().open(files[0], plugin=PLUGIN)
    assert [layer.metadata["brgm"]["role"] for layer in opened] == ["mask", *ROLES[:-1]]
    assert len(told) == 1 and "another run" in told[0]
    (run,) = runs_in(opened, {}).values()
    assert not run.planes[1].free.any()  # nothing is told rather than what another run said
    assert len(told) == 2 and "another run" in told[1]


@pytest.mark.parametrize(
    "change",
    [
        {"layers": []}, {"layers": [{"file": "../../passwd", "look": {}}]}, {"layers": [{"file": "/a", "look": {}}]},
        {"planes": [{"file": "C:\\x", "index": [None, None, 1]}]}, {"mask": ".."}, {"layers": "files"}, {"units": None},
        {"planes": [{"file": "a", "index": [1, 2, 3]}]}, {"planes": [{"file": "a", "index": ["x", None, None]}]},
        {"planes": [{"file": "a", "index": [99, None, None]}]}, {"pinned": [1e99, 2, 3]}, {"pinned": [900, 900, 900]},
        {"layers": [{"file": "", "look": {"visible": True}}]},
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_is_not_obeyed(scan: Path, tmp_path: Path, told: list[str], change: dict) -> None:
    _, layers = a_run(scan, Extras())
    files = save_run(layers, tmp_path / "out", "nifti")
    beside = tmp_path / "out" / files[0].name.replace("nii.gz", "json")
    content = json.loads(beside.read_text())
    content["RestoredRun"] |= change
    beside.write_text(json.dumps(content))
    opened = ViewerModel().open(files[0], plugin=PLUGIN)
    estimate = next(layer for layer in opened if layer.metadata["brgm"]["role"] == "restored")
    np.testing.assert_array_equal(estimate.data, layers[0].data)
    assert PINNED_KEY not in estimate.metadata


@pytest.mark.parametrize(
    "pinned", [["x"], 5, "123", [1.7, 2, 3], [None, 1, 2], [True, 2, 3], {"a": 1}, [[1], 2, 3], [1, 2]]
)
def test_a_pin_that_cannot_be_loses_nothing_else(scan: Path, tmp_path: Path, told: list[str], pinned: object) -> None:
    _, layers = a_run(scan)
    files = save_run(layers, tmp_path / "out", "nifti")
    for beside in (tmp_path / "out").glob("*.json"):
        content = json.loads(beside.read_text())
        if "RestoredRun" in content:
            content["RestoredRun"]["pinned"] = pinned
            beside.write_text(json.dumps(content))
    opened = ViewerModel().open(files[0], plugin=PLUGIN)
    assert len(opened) == len(layers) + 1 and told == []
    assert all(PINNED_KEY not in layer.metadata for layer in opened)


@pytest.mark.parametrize(
    "look",
    [
        {"visible": "yes", "opacity": 7, "gamma": 0, "blending": "x", "colormap": "no such", "contrast_limits": [2, 1]},
        {"name": 3, "opacity": None, "contrast_limits": [0, float("inf")], "interpolation2d": [], "more": 1},
    ],
)
def test_looks_that_cannot_be_are_the_usual_ones(scan: Path, tmp_path: Path, told: list[str], look: dict) -> None:
    _, layers = a_run(scan, Extras())
    files = save_run(layers, tmp_path / "out", "nifti")
    beside = tmp_path / "out" / files[0].name.replace("nii.gz", "json")
    content = json.loads(beside.read_text())
    content["RestoredRun"]["layers"][0]["look"] = look
    beside.write_text(json.dumps(content))
    _, estimate, _ = ViewerModel().open(files[0], plugin=PLUGIN)
    assert estimate.name == "restored | sub-01_T1w" and estimate.visible and estimate.opacity == 1 and told == []


def test_what_was_asked_for_and_cannot_be_read_is_an_error(scan: Path, tmp_path: Path, told: list[str]) -> None:
    _, layers = a_run(scan, Extras())
    files = save_run(layers, tmp_path / "out", "nifti")
    files[0].write_bytes(b"\x1f\x8bdamaged")
    with pytest.raises(ScanError):
        ViewerModel().open(files[0], plugin=PLUGIN)
    opened = ViewerModel().open(files[1], plugin=PLUGIN)
    assert [layer.metadata["brgm"]["role"] for layer in opened] == ["mask", "variance"]
    assert len(told) == 1 and files[0].name in told[0]
