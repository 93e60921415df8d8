"""What the shell wrote opens in napari as the group that it is, from any of its images."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pytest
import torch
from napari.components import ViewerModel
from npe2 import PluginManifest
from PIL import Image
from typer.testing import CliRunner

from napari_brgm import Restoration, read_scan
from napari_brgm.cli import app
from napari_brgm.plugin.layers import opening, posterior_files
from napari_brgm.plugin.layers.outcome import outcome_of
from napari_brgm.plugin.layers.saved_run import SavedRun
from napari_brgm.plugin.uncertainty.runs import runs_in
from napari_brgm.zoo.files import write_prior

if TYPE_CHECKING:
    from types import ModuleType

PLUGIN = "napari-brgm"
# axes in another order than the screen's, two of them backwards
AFFINE = np.array([[0, 0, 1.5, 3], [-1.5, 0, 0, 40], [0, -4.0, 0, 5], [0, 0, 0, 1]])
SHAPE = (34, 3, 30)  # A-P, I-S, L-R


@pytest.fixture(autouse=True)
def our_plugin(npe2pm) -> None:
    npe2pm.register(PluginManifest.from_distribution(PLUGIN))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    for module in (opening, posterior_files):
        monkeypatch.setattr(module, "show_warning", sentences.append)
    monkeypatch.setattr(opening, "show_info", sentences.append)
    return sentences


@pytest.fixture(scope="module")
def made(toy_family: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scan, a mask over two of its slices, and a folder for each command, written with a toy prior."""
    folder = tmp_path_factory.mktemp("shell")
    values = np.random.default_rng(0).normal(300, 40, SHAPE).astype(np.float32)
    missing = np.zeros(SHAPE, np.uint8)
    missing[10:18, 1:, 5:16] = 1
    scan, mask, prior = folder / "sub-01_T1w.nii.gz", folder / "mask.nii.gz", folder / "bumps.safetensors"
    for path, array in ((scan, values), (mask, missing)):
        nib.save(nib.Nifti1Image(array, AFFINE), path)
    write_prior(toy_family.bumps(), prior, torch.float32)
    commands: dict[str, tuple[object, ...]] = {
        "inpaint": ("--mask", mask, "--alone"),
        "superres": ("--factor", 2, "--index", 1),
        "clean": ("--noise-sigma", 20, "--index", 1),
    }
    quick = ("--prior", prior, "--steps", 2, "--samples", 3, "--device", "cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_BRGM_HOME", str(folder / "home"))
        for command, options in commands.items():
            arguments = (command, scan, *options, *quick, "--out", folder / command)
            done = CliRunner().invoke(app, list(map(str, arguments)))
            assert done.exit_code == 0, done.output
    return folder


def opened(path: Path) -> list[Any]:
    return ViewerModel().open(path, plugin=PLUGIN)


@pytest.mark.parametrize("which", ["", "Estimate", "Variance"])
def test_an_in_painting_opens_whole(made: Path, told: list[str], which: str) -> None:
    """From either image and from their folder; each posterior lies over the voxels that it is of."""
    out = made / "inpaint"
    path = next(out.glob(f"*{which}*.nii.gz")) if which else out
    restored, variance = opened(path)
    assert told == []
    assert [layer.name for layer in (restored, variance)] == ["restored | sub-01_T1w", "variance | sub-01_T1w"]
    assert restored.visible and variance.visible and variance.colormap.name == "brgm uncertainty"
    (run,) = runs_in([restored, variance], {}).values()
    assert (run.outcome.task, run.outcome.source, len(run.planes)) == ("in-paint", "sub-01_T1w", 2)
    missing = nib.load(made / "mask.nii.gz").get_fdata() > 0
    assert missing.sum() == sum(plane.free.sum() for plane in run.planes)
    for plane in run.planes:
        assert len(plane.result.samples) == 3
        np.testing.assert_allclose(plane.result.estimate, restored.data[plane.index], rtol=1e-6)
        np.testing.assert_allclose(plane.result.variance, variance.data[plane.index], rtol=1e-6)


def test_posteriors_of_the_shell_lie_as_slices_are_shown(made: Path) -> None:
    """For whoever reads them without napari: as before, and not as those of the window."""
    out = made / "inpaint"
    (result,) = read_scan(next(out.glob("*Estimate*.nii.gz")))
    run = SavedRun.beside(next(out.glob("*Estimate*.nii.gz")))
    assert run is not None and len(run.planes) == 2
    for number, plane in zip((1, 2), run.planes, strict=True):
        posterior = Restoration.load(out / plane.file)
        np.testing.assert_allclose(posterior.estimate, result.slice("axial", number).image, rtol=1e-6)
        inside = tuple(slice(None) if i is None else i for i in plane.index)
        np.testing.assert_allclose(plane.in_file(posterior.estimate), result.array[inside], rtol=1e-6)


@pytest.mark.parametrize(("command", "role", "seen"), [("superres", "x2", False), ("clean", "cleaned", True)])
def test_what_is_new_throughout_opens_with_its_samples(
    made: Path, told: list[str], command: str, role: str, seen: bool
) -> None:
    image, variance = opened(made / command)
    assert told == []
    assert (image.name, variance.name) == (f"{role} | sub-01_T1w", "variance | sub-01_T1w")
    assert (image.visible, variance.visible) == (True, seen)
    outcome = outcome_of(image)
    assert outcome is not None and outcome is outcome_of(variance)
    (plane,) = outcome.planes
    assert plane.result.samples.shape == (3, *image.data.shape) and plane.free.all()
    np.testing.assert_allclose(plane.result.estimate, image.data[plane.index], rtol=1e-6)


def test_files_of_two_runs_that_were_mixed_are_told(made: Path, tmp_path: Path, told: list[str]) -> None:
    out = Path(shutil.copytree(made / "inpaint", tmp_path / "mixed"))
    beside = next(out.glob("*Variance*.json"))
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"run": "another"}))
    (restored,) = opened(next(out.glob("*Estimate*.nii.gz")))
    assert restored.name == "restored | sub-01_T1w"
    assert len(told) == 1 and "is of another run" in told[0]


def painted(pixels: np.ndarray, folder: Path, made: Path, **options: object) -> Path:
    """Results of an in-painting of a picture."""
    hole = np.zeros(pixels.shape[:2], np.uint8)
    hole[10:18, 5:16] = 255
    Image.fromarray(hole).save(folder / "mask.png")
    Image.fromarray(pixels).save(folder / "film.png")
    quick = ("--prior", made / "bumps.safetensors", "--steps", 2, "--samples", 3, "--device", "cpu")
    size = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    arguments = ("inpaint", folder / "film.png", "--mask", folder / "mask.png", *quick, *size, "--out", folder / "out")
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return folder / "out"


def test_a_folder_of_a_picture_opens_whole(made: Path, tmp_path: Path, told: list[str]) -> None:
    """Neither square nor symmetric: rows and columns must not change places."""
    pixels = np.random.default_rng(0).integers(40, 200, (34, 30)).astype(np.uint8)
    out = painted(pixels, tmp_path, made, pixel_mm="2,3")
    restored, variance = opened(out)
    assert told == []
    assert [layer.name for layer in (restored, variance)] == ["restored | film", "variance | film"]
    assert tuple(restored.scale) == (2, 3) and variance.colormap.name == "brgm uncertainty"
    (run,) = runs_in([restored, variance], {}).values()
    (plane,) = run.planes
    assert plane.free.sum() == 8 * 11 and plane.free[10:18, 5:16].all()
    assert len(plane.result.samples) == 3
    np.testing.assert_allclose(plane.result.estimate, restored.data, atol=0.5)
    np.testing.assert_array_equal(plane.result.variance, variance.data)


def test_thin_slices_open_with_their_samples(
    stack_prior, stack_of, tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = import_module("napari_brgm.zoo.registry")
    load = registry.load_prior
    monkeypatch.setattr(registry, "load_prior", lambda name: stack_prior if name == "stack-24" else load(name))
    thick = stack_of(6, seed=3).reshape(3, 2, 24, 24).mean(axis=1)[:, ::-1, ::-1].transpose(2, 1, 0)
    nib.save(nib.Nifti1Image(np.ascontiguousarray(thick), np.diag([1.5, 1.5, 3.0, 1])), tmp_path / "thick.nii.gz")
    quick = ("--prior", "stack-24", "--steps", 2, "--samples", 3, "--device", "cpu")
    arguments = ("superres", tmp_path / "thick.nii.gz", "--slices", 2, *quick, "--out", tmp_path / "out")
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    image, variance, samples = opened(tmp_path / "out")
    assert told == [] and samples.data.shape == (3, *image.data.shape) == (3, *variance.data.shape)
    (run,) = runs_in([image, variance, samples], {}).values()
    assert len(run.planes) == 6
    for plane in run.planes:
        np.testing.assert_allclose(plane.result.samples, samples.data[(slice(None), *plane.index)], rtol=1e-6)
