"""A result as DICOM opens whole, from any of its files and from its folder, whoever wrote it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from dicom_sources import KINDS, oblique, result
from napari.components import ViewerModel
from npe2 import PluginManifest
from typer.testing import CliRunner

from napari_brgm.cli.app import app
from napari_brgm.plugin.layers import opened_study
from napari_brgm.plugin.layers.outcome import PINNED_KEY
from napari_brgm.plugin.layers.results import Extras, add_results
from napari_brgm.plugin.layers.saving import save_run
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.uncertainty.runs import runs_in
from napari_brgm.scans.dicom_study import write_study
from napari_brgm.zoo.files import write_prior

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

PLUGIN = "napari-brgm"


@pytest.fixture(autouse=True)
def our_plugin(npe2pm) -> None:
    npe2pm.register(PluginManifest.from_distribution(PLUGIN))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    monkeypatch.setattr(opened_study, "show_info", sentences.append)
    return sentences


@pytest.mark.parametrize("seen", ["axial", "coronal"])
def test_a_run_of_the_session_opens_as_it_was(fake_restoration, tmp_path: Path, seen: str) -> None:
    """Along the slices of the file and across them; the map has frames of some slices only."""
    oblique(tmp_path / "in")
    viewer = ViewerModel()
    (source,) = viewer.open(tmp_path / "in", plugin=PLUGIN)
    if seen == "coronal":
        viewer.dims.order = (1, 0, 2)
    planes = []
    for number in (1, 3):
        viewer.dims.set_current_step(viewer.dims.order[0], number)
        shown = shown_slice(source, viewer.dims)
        missing = np.zeros(shown.image.shape, bool)
        missing[2:4, 5 + number : 12] = True
        planes.append((shown, fake_restoration(shown.image, missing)))
    layers = add_results(viewer, source, planes, "in-paint", Extras(std=True, samples=True))
    pinned = [3, 2, 5] if seen == "axial" else [2, 3, 5]
    layers[0].metadata[PINNED_KEY] = pinned
    (folder,) = save_run(layers, tmp_path / "out", "dicom")
    by_role = {layer.metadata["brgm"]["role"]: np.array(layer.data) for layer in layers}
    free = [plane.free.sum() for plane in runs_in(layers, {}).popitem()[1].planes]
    viewer.layers.clear()
    mask, image, std = viewer.open(folder, plugin=PLUGIN)
    assert [layer.name.split(" | ")[0] for layer in (mask, image, std)] == ["mask", "restored", "std"]
    assert (mask.visible, image.visible, std.visible) == (False, True, True)
    np.testing.assert_allclose(image.data, by_role["restored"], atol=0.5)
    np.testing.assert_allclose(std.data, by_role["std"], rtol=1e-6)
    np.testing.assert_array_equal(mask.data > 0, by_role["std"] > 0)
    assert [layer.metadata.get(PINNED_KEY) for layer in (mask, image, std)] == [None, pinned, pinned]
    (run,) = runs_in(viewer.layers, {}).values()
    assert [plane.free.sum() for plane in run.planes] == free
    np.testing.assert_allclose(run.planes[0].result.std[run.planes[0].free], 1, rtol=1e-6)
    for layer in (image, std):
        del layer.metadata[PINNED_KEY]  # let go
    (again,) = save_run([image, std], tmp_path / "again", "dicom")
    viewer.layers.clear()
    second = viewer.open(again, plugin=PLUGIN)
    assert all(PINNED_KEY not in layer.metadata for layer in second)
    for one, before in zip(second, (mask, image, std), strict=True):
        np.testing.assert_array_equal(one.data, before.data)
    files = save_run([image, std], tmp_path / "nifti", "nifti")
    viewer.layers.clear()
    third = {layer.metadata["brgm"]["role"]: layer for layer in viewer.open(files[0], plugin=PLUGIN)}
    assert third.keys() == {"mask", "restored", "std"}
    assert np.asarray(third["mask"].data, bool).sum() == sum(free) < image.data.size
    np.testing.assert_array_equal(np.asarray(third["mask"].data, bool), np.asarray(third["std"].data) > 0)


def test_bounds_of_intervals_open_hidden(fake_restoration, tmp_path: Path) -> None:
    oblique(tmp_path / "in")
    viewer = ViewerModel()
    (source,) = viewer.open(tmp_path / "in", plugin=PLUGIN)
    viewer.dims.set_current_step(viewer.dims.order[0], 1)
    shown = shown_slice(source, viewer.dims)
    missing = np.zeros(shown.image.shape, bool)
    missing[2:4, 5:12] = True
    found = fake_restoration(shown.image, missing)
    layers = add_results(viewer, source, [(shown, found)], "in-paint", Extras(std=True, level=0.9))
    save_run(layers, tmp_path / "out", "dicom")
    viewer.layers.clear()
    opened = {layer.metadata["brgm"]["role"]: layer.visible for layer in viewer.open(tmp_path / "out", plugin=PLUGIN)}
    assert opened == {"low": False, "high": False, "mask": False, "restored": True, "std": True}


@pytest.mark.parametrize("kind", ["enhanced", "CR"])
def test_each_file_opens_the_run(tmp_path: Path, kind: str) -> None:
    write_study(*result(kind, tmp_path / "in"), tmp_path / "out")
    for name in ("estimate", "std", "synthetic"):
        opened = ViewerModel().open(next((tmp_path / "out" / name).iterdir()), plugin=PLUGIN)
        assert [layer.metadata["brgm"]["role"] for layer in opened] == ["mask", "restored", "std"]


def test_nothing_is_opened_twice(make_napari_viewer, told: list[str], tmp_path: Path) -> None:
    write_study(*result("MR", tmp_path / "in"), tmp_path / "out")
    files = [next((tmp_path / "out" / name).iterdir()) for name in ("estimate", "std", "synthetic")]
    viewer = make_napari_viewer()
    opened = viewer.open(files[2], plugin=PLUGIN)
    assert [layer.metadata["brgm"]["role"] for layer in opened] == ["mask", "restored", "std"]
    assert told == []
    for path in [*files, tmp_path / "out"]:
        assert viewer.open(path, plugin=PLUGIN) == []
    assert len(told) == 4 and all("open already" in sentence for sentence in told)
    viewer.layers.remove(opened[2])
    (std,) = viewer.open(files[1], plugin=PLUGIN)
    np.testing.assert_array_equal(std.data, opened[2].data)


def test_a_folder_holds_results_and_scans(tmp_path: Path) -> None:
    write_study(*result("MR", tmp_path / "all/in"), tmp_path / "all/out")
    opened = ViewerModel().open(tmp_path / "all", plugin=PLUGIN)
    assert [layer.metadata.get("brgm", {}).get("role") for layer in opened] == [None, "mask", "restored", "std"]


def test_folders_that_are_called_alike_are_scans(tmp_path: Path) -> None:
    for name in ("estimate", "std"):
        KINDS["CT"](tmp_path / name)
    (layer,) = ViewerModel().open(tmp_path / "std/ct.dcm", plugin=PLUGIN)
    assert "brgm" not in layer.metadata


def test_what_the_shell_wrote_opens_in_the_same_way(
    toy_family: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(tmp_path / "home"))
    oblique(tmp_path / "in")
    write_prior(toy_family.bumps(), tmp_path / "bumps.safetensors", torch.float32)
    quick = ("--prior", tmp_path / "bumps.safetensors", "--steps", 2, "--samples", 3, "--device", "cpu")
    arguments = ("superres", tmp_path / "in", "--factor", 2, "--index", 1, *quick, "--out", tmp_path / "out")
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    (folder,) = (one for one in (tmp_path / "out").iterdir() if one.is_dir())
    shutil.move(folder, tmp_path / "alone")
    viewer = ViewerModel()
    mask, image, std = viewer.open(tmp_path / "alone/estimate", plugin=PLUGIN)
    assert image.name.startswith("x2 | ") and std.name.startswith("std | ")
    assert mask.data.all() and not std.visible
    (run,) = runs_in(viewer.layers, {}).values()
    assert run.outcome.task == "super-resolve" and run.planes[0].free.all()
