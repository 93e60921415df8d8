"""``napari-brgm demo``: both restorations from what is installed, and a viewer only where there is a display."""

from __future__ import annotations

import subprocess

import nibabel as nib
import numpy as np
import pytest

QUICK = ("--steps", 2, "--samples", 2)


@pytest.fixture
def windows(monkeypatch):
    """Commands of the processes that would have been started."""
    started = []
    really = subprocess.run

    def run(command, **options):
        if "napari" not in command:  # matplotlib asks for fonts when it has no cache yet
            return really(command, **options)
        started.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("subprocess.run", run)
    return started


def test_without_a_display_it_writes_and_ends(shell, tmp_path, monkeypatch, windows, shipped_weights):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    out = tmp_path / "demo"
    done = shell("demo", "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    assert not windows and "no display" in done.stderr
    original, missing, painted, variance = (
        nib.load(out / f"sub-MNI152_{name}T1w.nii.gz").get_fdata(dtype=np.float32)
        for name in ("", "desc-artefact_", "desc-brgmInpaintEstimate_", "desc-brgmInpaintVariance_")
    )
    np.testing.assert_array_equal(painted[missing == 0], original[missing == 0])
    assert (variance[missing == 1] > 0).all()
    fine = nib.load(out / "sub-MNI152_desc-brgmSuperresEstimate_T1w.nii.gz")
    assert fine.shape == (232, 196, 1)
    assert len(list(out.glob("*Sheet*.png"))) == 2
    assert "in-painting:" in done.stdout and "super-resolution x4:" in done.stdout
    assert "exists already" in shell.refused("demo", "--out", out, *QUICK)


def test_with_a_display_it_opens_napari_on_the_results(shell, tmp_path, monkeypatch, windows, shipped_weights):
    monkeypatch.setenv("DISPLAY", ":99")
    done = shell("demo", "--out", tmp_path / "demo", *QUICK)
    assert done.exit_code == 0, done.output
    (command,) = windows
    assert command[1:3] == ["-m", "napari"] and any("brgmInpaintEstimate_" in str(part) for part in command)
    assert all(part.startswith("-") or "nii" not in part or (tmp_path / "demo").exists() for part in command)
