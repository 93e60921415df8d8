"""The Train widget with real processes: they say what is wrong, go on without napari, are found again and stopped."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_brgm.plugin.train.process import TrainingWish, last_wish
from napari_brgm.plugin.train.widget import TrainWidget
from napari_brgm.training.progress_file import ProgressFile, is_running, read_progress
from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.folder import installed

PATIENCE = 90_000  # ms: a process imports torch


@pytest.fixture
def scans(tmp_path) -> Path:
    """Six subjects of four noisy discs, 40 x 40 pixels."""
    random = np.random.default_rng(0)
    row, column = np.mgrid[:40, :40] - 19.5
    for subject in range(6):
        folder = tmp_path / "scans" / f"subject-{subject}"
        folder.mkdir(parents=True)
        for k in range(4):
            disc = (np.hypot(row, column) < random.uniform(10, 17)) * random.uniform(100, 200)
            Image.fromarray((disc + random.integers(0, 30, disc.shape)).astype(np.uint8)).save(folder / f"{k}.png")
    return tmp_path / "scans"


@pytest.fixture
def widget(qtbot):
    """``widget()``: a new one on show."""

    def make() -> TrainWidget:
        made = TrainWidget()
        qtbot.addWidget(made)
        made.show()
        return made

    return make


def _fill(widget, scans, tmp_path):
    widget.data.value, widget.out.value = scans, tmp_path / "disc.safetensors"
    widget.resolution.value = 64


def test_a_survey_says_what_there_is(widget, scans, tmp_path, qtbot):
    shown = widget()
    _fill(shown, scans, tmp_path)
    shown.survey_button.click()
    assert not shown.train_button.isEnabled() and shown.cancel_button.isVisible()
    qtbot.waitUntil(lambda: shown.train_button.isEnabled(), timeout=PATIENCE)
    assert "24 images of 6 subjects, most of 40 x 40 pixels" in shown.status.text()
    assert "6 subjects are fewer than 40" in shown.status.text()
    assert shown.contact_sheet.isVisible() and shown.contact_sheet.pixmap().width() > 50
    assert not shown.install_button.isEnabled() and last_wish() is None


def test_what_is_missing_or_wrong_is_said(widget, scans, tmp_path, qtbot):
    shown = widget()
    shown.train_button.click()
    assert shown.status.text() == "Choose the folder of scans first"
    _fill(shown, scans, tmp_path)
    shown.out.value = tmp_path / "disc.png"
    shown.train_button.click()
    assert "ends in .safetensors" in shown.status.text()
    (tmp_path / "none").mkdir()
    _fill(shown, tmp_path / "none", tmp_path)
    shown.survey_button.click()
    qtbot.waitUntil(lambda: shown.train_button.isEnabled(), timeout=PATIENCE)
    assert "none holds no images, NIfTI files or DICOM series; check the path" in shown.status.text()


def test_a_training_goes_on_without_the_window_and_is_stopped_from_another(widget, scans, tmp_path, qtbot):
    first = widget()
    _fill(first, scans, tmp_path)
    first.train_button.click()
    work = tmp_path / "disc-work"
    qtbot.waitUntil(lambda: is_running(work), timeout=PATIENCE)
    first.close()
    first.setParent(None)
    second = widget()
    assert second.cancel_button.isVisible() and not second.train_button.isEnabled()
    assert Path(str(second.out.value)) == tmp_path / "disc.safetensors" and second.resolution.value == 64
    qtbot.waitUntil(lambda: (read_progress(work) or {}).get("stage") == "training", timeout=PATIENCE)
    qtbot.waitUntil(lambda: "raining" in second.status.text(), timeout=PATIENCE)
    second.cancel_button.click()
    qtbot.waitUntil(lambda: second.train_button.isEnabled(), timeout=PATIENCE)
    assert not is_running(work) and read_progress(work)["state"] == "stopped"
    assert second.status.text() == "Stopped; everything is kept, and Train goes on"


def test_what_was_trained_is_installed(widget, tmp_path, qtbot, random_stylegan2):
    wish = TrainingWish(str(tmp_path), str(tmp_path / "Disc.safetensors"))
    progress = ProgressFile(wish.work, Path(wish.out))
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "training.json").write_text(json.dumps(asdict(wish)))
    write_prior(random_stylegan2, Path(wish.out))
    progress.end("done", "Disc.safetensors: 1.0 MB")
    shown = widget()
    assert shown.status.text().startswith("Done; Disc.safetensors: 1.0 MB") and shown.install_button.isEnabled()
    shown.install_button.click()
    qtbot.waitUntil(lambda: "disc" in installed(), timeout=PATIENCE)
    qtbot.waitUntil(lambda: shown.task is None, timeout=PATIENCE)
    assert shown.status.text() == "Installed disc; it can be chosen as Prior now"
    shown.install_button.click()
    assert "Disc is installed already" in shown.status.text()


def test_a_process_that_was_killed_is_not_taken_for_one_that_works(widget, tmp_path):
    wish = TrainingWish(str(tmp_path), str(tmp_path / "disc.safetensors"))
    ProgressFile(wish.work, Path(wish.out))  # 'running', and the lock goes with the object
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home" / "training.json").write_text(json.dumps(asdict(wish)))
    shown = widget()
    assert shown.train_button.isEnabled() and shown.status.text() == "Stopped; everything is kept, and Train goes on"
