"""A prior of one's own is complete: its file restores with calibrated intervals, and its card says who was held out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_brgm import Mask, load_prior, restore
from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.evaluation.subject_study import HowToStudy
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.training.own_data import OwnTraining, bright_level, train_complete, without_nearly_empty
from napari_brgm.training.progress_file import ProgressFile, read_progress
from napari_brgm.training.recipe import linear_recipe
from napari_brgm.training.refine import RefineSettings
from napari_brgm.training.subject_split import split_subjects
from napari_brgm.training.train import TrainingRun

HOW = HowToStudy(calibrating=30, reporting=18, misfits=4, samples=8)


@pytest.fixture(scope="module")
def slices(smooth_images):
    """44 subjects of three slices."""
    grey = (smooth_images(132, 32, seed=2) + 1).numpy() * 127.5
    grey = (grey + 5 * np.random.default_rng(0).standard_normal(grey.shape)).round().clip(0, 255).astype(np.uint8)
    names = tuple(f"secret-{i}" for i in range(44))
    return SliceSet(grey, np.arange(132) // 3, tuple(map(str, range(132))), names, Framing(32, 2.0))


def _own(slices):
    info = PriorInfo("knee", "MR", "coronal", 2.0, bright_level=bright_level(slices.images, 255))
    refining = RefineSettings(widths=((8, 4), (16, 4), (32, 4)), style_latents=4, images=16, batch=8)
    recipe = replace(
        linear_recipe(info, 32), components=16, corruptions=2, encoder_widths=(4, 6, 8), encoder_steps=2,
        encoder_latents=4, refine=refining,
    )  # fmt: skip
    return OwnTraining(split_subjects(slices), info, recipe, "knees.zip", HOW)


def _run(tmp_path, lines, seconds=float("inf")):
    return TrainingRun(tmp_path / "work", tmp_path / "knee.safetensors", "cpu", seconds, lines.append)


def _train(slices, tmp_path, lines, seconds=float("inf")):
    run = _run(tmp_path, lines, seconds)
    return train_complete(_own(slices), run, ProgressFile(run.work, run.out))


@pytest.fixture(scope="module")
def trained(slices, tmp_path_factory):
    """Folder of a training that was cut once and then went on, and what was said."""
    folder, lines = tmp_path_factory.mktemp("trained"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_BRGM_HOME", str(folder / "home"))
        assert not _train(slices, folder, lines, seconds=0)  # cut at once; what was done is kept
        assert not (folder / "knee.safetensors").exists()
        assert _train(slices, folder, lines)
    return folder, lines


def test_a_prior_of_ones_own_is_complete(slices, trained):
    folder, lines = trained
    prior = load_prior(folder / "knee.safetensors")
    info = prior.info
    assert info.representation_sigma != 10 and info.misfit_limit > 0 and info.plane == "coronal"
    assert info.calibration.subjects == 10 and info.calibration.source == "held-out subjects of knees.zip"
    hole = np.zeros((32, 32), bool)
    hole[12:19, 12:20] = True
    result = restore(slices.images[0, 0].astype(np.float32), Mask(hole), prior, samples=4, device="cpu")
    assert result.provenance["calibration"]["applied"]
    assert result.provenance["calibration"]["label"] == "90 % intervals calibrated on 10 held-out subjects"
    card = (folder / "knee.md").read_text(encoding="utf-8")
    assert "training 28 subjects, 84 slices; calibration 10 subjects, 30 slices; test 6 subjects, 18 slices" in card
    assert "| in-painting | 6 |" in card and "Only a person can answer" in card and "secret" not in card
    assert f"noise of {info.representation_sigma:.0f} grey levels" in card
    assert (folder / "knee.png").is_file()
    assert any(line.startswith("in-painting: 90 % intervals hold") for line in lines)


def test_what_is_done_is_not_done_again(slices, trained):
    folder, lines = trained
    first = (folder / "knee.safetensors").read_bytes()
    (folder / "knee.safetensors").unlink()
    kept = {p: p.stat().st_mtime_ns for p in (folder / "work").rglob("*") if p.name != "progress.json"}
    assert _train(slices, folder, lines)
    assert (folder / "knee.safetensors").read_bytes() == first
    assert {p: p.stat().st_mtime_ns for p in kept if p.is_file()} == {p: t for p, t in kept.items() if p.is_file()}


def test_with_few_subjects_it_says_what_it_leaves_out(slices, tmp_path):
    few = slices.taking(np.flatnonzero(slices.subjects < 12))
    lines: list[str] = []
    assert _train(few, tmp_path, lines)
    info = load_prior(tmp_path / "knee.safetensors").info
    assert info.calibration is None and info.misfit_limit == 0 and info.representation_sigma != 10
    assert "not measured: with 12 subjects, fewer than 40, misfit limit, scales and factors" in "\n".join(lines)
    assert "Not measured: with 12 subjects" in (tmp_path / "knee.md").read_text(encoding="utf-8")


def test_slices_at_the_ends_are_left_out(slices):
    images = slices.images.copy()
    images[5], images[5, :, :2, :8] = 0, 200
    found = without_nearly_empty(replace(slices, images=images))
    assert len(found) == 131 and "1 slices at the ends" in found.notes[0]
    assert without_nearly_empty(slices) is slices


def test_the_level_of_bright_tissue():
    images = np.zeros((3, 1, 16, 16), np.uint16)
    images[:, :, 4:12, 4:12] = 40_000
    assert bright_level(images, 65535) == pytest.approx(40_000 * 255 / 65535, abs=0.1)


def test_progress_can_be_read_from_elsewhere(tmp_path):
    assert read_progress(tmp_path) is None
    progress = ProgressFile(tmp_path, tmp_path / "knee.safetensors")
    progress.stage("training")
    progress.say("hello")
    found = read_progress(tmp_path)
    assert (found["state"], found["stage"], found["text"], found["done"]) == ("running", "training", "hello", 0)
    progress.tell(3, 10)
    progress.end("stopped")
    found = read_progress(tmp_path)
    assert (found["state"], found["done"], found["total"]) == ("stopped", 3, 10)
    (tmp_path / "progress.json").write_text(json.dumps([1]))
    assert read_progress(tmp_path) is None
