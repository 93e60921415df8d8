"""The commands as a whole: help without torch, info, series of a folder, the thin commands."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from napari_brgm import __version__
from napari_brgm.evaluation import benchmark
from napari_brgm.evaluation.grid import study
from napari_brgm.evaluation.grid.catalogue import METHODS
from napari_brgm.settings import preset


@pytest.mark.parametrize(
    "command", ["inpaint", "superres", "clean", "try", "sample", "interpolate", "demo", "info", "evaluate", "benchmark"]
)
def test_help(shell, command):
    done = shell(command, "--help")
    assert done.exit_code == 0
    assert command == "info" or "napari-brgm " + command in done.stdout


def test_no_command_shows_help_and_version(shell):
    assert "superres" in shell().stdout
    assert shell("--version").stdout.strip() == __version__


def test_help_needs_neither_torch_nor_qt():
    code = (
        "import sys, napari_brgm.cli; heavy = {'torch', 'qtpy', 'napari', 'matplotlib', 'nibabel', 'nilearn'}; "
        "sys.exit(repr(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_info_as_a_module(shipped_weights):
    done = subprocess.run(
        [sys.executable, "-m", "napari_brgm", "info"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout and "brain-axial-128: MR T1, axial, 128 x 128" in done.stdout
    assert "intact" in done.stdout and "sha256" in done.stdout and "device:" in done.stdout


def test_info_says_when_weights_are_missing_or_damaged(shell, tmp_path, monkeypatch):
    entry = '{"a": {"file": "a.safetensors", "sha256": "00", "modality": "MR", "plane": "axial", "resolution": 64, "licence": "x", "card": "a.md"}}'  # noqa: E501
    (tmp_path / "registry.json").write_text(entry)
    monkeypatch.setattr(import_module("napari_brgm.zoo.registry"), "weights_folder", lambda: tmp_path)
    assert "MISSING" in shell("info").stdout
    (tmp_path / "a.safetensors").write_bytes(b"?")
    assert "DAMAGED" in shell("info").stdout


def test_several_series_are_listed(shell, tmp_path, monkeypatch, mask):
    from napari_brgm import Scan

    scans = [Scan(np.zeros((4, 4, 2)), np.eye(4), name=name) for name in ("1 T1", "2 FLAIR")]
    monkeypatch.setattr("napari_brgm.cli.inputs.read_scan", lambda path: scans)
    sentence = shell.refused("inpaint", tmp_path, "--mask", mask, "--out", tmp_path / "out")
    assert "1 = 1 T1, 2 = 2 FLAIR" in sentence and "--series" in sentence


@pytest.fixture
def evaluated(monkeypatch):
    """What ``evaluate`` asks the study for, which measures nothing."""
    seen = {}

    def evaluate(settings, wish, tell):
        seen.update(settings=settings, wish=wish)
        return SimpleNamespace(notes=["toy: bicubic is left out"], doubts={})

    monkeypatch.setattr(study, "evaluate", evaluate)
    return seen


def test_evaluate_passes_its_options_on(shell, tmp_path, evaluated, shipped_weights):
    for name in ("brain/brain_validation.zip", "xray/xray_validation.zip"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    done = shell(
        "evaluate", "--quick", "--data", tmp_path, "--out", tmp_path / "out", "--methods", "telea, ours", "--steps", 7,
        "--tasks", "x4", "--prior", "brain-axial-128,chest-xray-256", "--processes", 3, "--weights", tmp_path,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    brain, chest = evaluated["settings"]
    assert (brain.held.name, chest.held.name, brain.prior) == ("brain-128", "xray-256", "brain-axial-128")
    assert (brain.data, brain.out, brain.count, brain.weights) == (tmp_path, tmp_path / "out", 6, tmp_path)
    assert brain.settings == preset("mixture").but(steps=7, vi_steps=7)
    assert evaluated["wish"] == study.Wish(("telea", "ours"), ("x4",), 3)
    assert "toy: bicubic is left out" in done.stdout and done.stdout.strip().endswith("index.html")


def test_evaluate_takes_the_settings_that_suit_each_prior(shell, tmp_path, evaluated, shipped_weights):
    scans = tmp_path / "scans"
    done = shell("evaluate", "--data", scans, "--out", tmp_path / "out", "--methods", "all", "--slow", 3)
    assert done.exit_code == 0, done.output
    (own,) = evaluated["settings"]  # a folder without the archives holds one's own scans
    assert own.held.name == "own-128" and own.settings is None and own.count == 50
    wish = evaluated["wish"]
    assert wish.methods == tuple(METHODS) and wish.slow == 3 and not wish.strict
    assert wish.processes == min(os.cpu_count(), 2)
    assert "there is no prior 'nobody'" in shell.refused(
        "evaluate", "--data", scans, "--out", tmp_path / "other", "--prior", "nobody"
    )
    said = shell.refused("evaluate", "--data", scans, "--out", scans / "out")
    assert "would be taken for scans; name a folder elsewhere" in said


def test_evaluate_without_data_is_one_sentence(shell, tmp_path, monkeypatch, shipped_weights):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert "brain_validation.zip" in shell.refused("evaluate", "--out", tmp_path / "out")
    said = shell.refused("evaluate", "--data", tmp_path / "empty", "--out", tmp_path / "out")
    assert "holds no images, NIfTI files or DICOM series" in said


def test_benchmark_passes_its_options_on(shell, monkeypatch, shipped_weights):
    seen = {}
    monkeypatch.setattr(benchmark, "run", lambda prior, repeats, **named: seen.update(named, repeats=repeats))
    done = shell("benchmark", "--repeats", 1, "--steps", 2, "--device", "cpu")
    assert done.exit_code == 0, done.output
    assert seen["repeats"] == 1 and seen["settings"].steps == 2 and seen["device"] == "cpu"
    assert seen["parts"] == ("restorations", "generator")
    done = shell(
        "benchmark", "--parts", "grid,reach", "--resolutions", "64,256", "--configs", "f,e", "--batches", "2",
        "--precision", "bfloat16", "--optimiser", "gauss-newton", "--rates", "0.1", "--budget", 5,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    grid = seen["grid"]
    assert (grid.resolutions, grid.configs, grid.batches, grid.precision) == ((64, 256), ("e", "f"), (2,), "bfloat16")
    assert seen["settings"].optimiser == "gauss-newton" and seen["rates"] == (0.1,) and seen["budget"] == 5


@pytest.mark.parametrize(
    ("option", "value"), [("--resolutions", "100"), ("--batches", "one"), ("--configs", "g"), ("--rates", "-1")]
)
def test_benchmark_refuses_odd_sizes_in_one_sentence(shell, option, value):
    assert option in shell.refused("benchmark", option, value)
