"""``--strip``: restored inside the brain, all else bit for bit; what cannot be stripped is refused in a sentence."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_brgm import Restoration
from napari_brgm.cli import strip
from napari_brgm.scans.strip import Brain

QUICK = ("--steps", 3, "--samples", 2, "--device", "cpu")


@pytest.fixture
def inside(head) -> np.ndarray:
    """The inner tissue of the made-up head, but for the first slice, and what deepbet was shown."""
    brain = head > 600
    brain[..., 0] = False
    return brain


@pytest.fixture
def painted(inside, monkeypatch) -> list[np.ndarray]:
    """Stands for deepbet; what was painted."""
    seen: list[np.ndarray] = []

    def find(scan, painted):
        seen.append(painted)
        return Brain(inside, "deepbet 1.0.2")

    monkeypatch.setattr(strip, "find_brain", find)
    monkeypatch.setattr(strip, "why_no_strip", lambda: "")
    return seen


@pytest.fixture
def across(save) -> tuple[np.ndarray, object]:
    """A box over the rim of the brain on two slices, one of them without brain."""
    missing = np.zeros((60, 72, 3))
    missing[6:24, 30:40, :2] = 1
    return missing > 0, save("across.nii.gz", missing)


def test_a_hole_is_restored_inside_the_brain_only(shell, scan, across, inside, painted, tmp_path, shipped_weights):
    missing, path = across
    out = tmp_path / "out"
    done = shell("inpaint", scan, "--mask", path, "--strip", "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(painted[0], missing)
    source, hole = nib.load(scan).get_fdata(dtype=np.float32), missing & inside
    values = nib.load(out / "sub-01_desc-brgmInpaintEstimate_T1w.nii.gz").get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(values[~hole], source[~hole])
    assert (values[hole] != source[hole]).mean() > 0.9
    variance = nib.load(out / "sub-01_desc-brgmInpaintVariance_T1w.nii.gz").get_fdata()
    outside = missing & ~inside
    outside[..., 0] = False  # a slice that was left as it is
    assert ((variance > 0) == hole | outside).all() and len(np.unique(variance[outside])) == 1
    record = json.loads((out / "sub-01_desc-brgmInpaintEstimate_T1w.json").read_text())
    left = int(outside.sum())
    assert record["strip"] == {"found_by": "deepbet 1.0.2", "pixels": int(inside[..., 1].sum()), "left_outside": left}
    assert "inside the brain" in record["Description"]
    posterior = Restoration.load(out / "sub-01_desc-brgmInpaintAxial001_T1w.safetensors")
    assert (~posterior.measured).sum() == missing[..., 1].sum()
    (whole,) = record["left_as_they_are"]
    assert whole["index"] == 0 and "there is no brain on this slice" in whole["reason"]
    assert f"{left} of its pixels lie outside and stay as they were" in done.stderr
    assert "axial slice 0 was left as it is: there is no brain on this slice" in done.stderr
    assert "ml, as deepbet 1.0.2 found it" in done.stderr


def test_errors_of_a_trial_are_those_inside(shell, scan, inside, painted, tmp_path, shipped_weights):
    """Pixels outside are as they were: counting them would flatter."""
    out = tmp_path / "out"
    done = shell("inpaint", scan, "--missing-share", 0.5, "--strip", "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    record = json.loads((out / "sub-01_desc-brgmInpaintEstimate_T1w.json").read_text())
    found = nib.load(out / "sub-01_desc-brgmInpaintEstimate_T1w.nii.gz").get_fdata(dtype=np.float32)
    hole = painted[0] & inside
    wrong = found[hole] - nib.load(scan).get_fdata(dtype=np.float32)[hole]
    assert record["slices"][0]["errors"]["rmse_hidden"] == pytest.approx(np.sqrt((wrong**2).mean()), rel=1e-3)


def test_a_finer_brain_lies_in_the_measured_head(shell, scan, inside, painted, tmp_path, shipped_weights):
    out, video = tmp_path / "out", tmp_path / "v.gif"
    done = shell("superres", scan, "--factor", 2, "--strip", "--out", out, *QUICK, "--save-video", video)
    assert done.exit_code == 0, done.output
    fine = nib.load(out / "sub-01_desc-brgmSuperresEstimate_T1w.nii.gz").get_fdata(dtype=np.float32)[..., 0]
    source = nib.load(scan).get_fdata(dtype=np.float32)[..., 1]
    variance = nib.load(out / "sub-01_desc-brgmSuperresVariance_T1w.nii.gz").get_fdata()[..., 0]
    assert (variance > 0).sum() == 4 * inside[..., 1].sum()
    assert np.isin(fine[variance == 0], source).all() and not np.isin(fine[variance > 0], source).all()
    with Image.open(video) as frames:
        assert frames.n_frames > 1


def test_a_cleaned_brain_says_that_the_rest_is_as_given(shell, scan, inside, painted, tmp_path, shipped_weights):
    out = tmp_path / "out"
    done = shell("clean", scan, "--jpeg-quality", 20, "--strip", "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    record = json.loads((out / "sub-01_desc-brgmCleanEstimate_T1w.json").read_text())
    assert "every pixel of the brain is an estimate" in record["Description"] + record["notice"]
    assert record["strip"]["left_outside"] == 0


@pytest.mark.parametrize("command", ["inpaint", "superres", "clean"])
def test_without_the_extra_nothing_is_read(shell, tmp_path, monkeypatch, command):
    monkeypatch.setattr(strip, "why_no_strip", lambda: "it needs deepbet; pip install napari-brgm[strip]")
    more = {"inpaint": ("--missing-share", 0.5), "superres": (), "clean": ("--jpeg-quality", 20)}[command]
    told = shell.refused(command, tmp_path / "nothing.nii.gz", *more, "--strip", "--out", tmp_path / "out")
    assert "--strip" in told and "pip install napari-brgm[strip]" in told


def test_pictures_and_priors_of_others_are_refused(shell, scan, mask, painted, tmp_path, shipped_weights):
    picture = tmp_path / "slice.png"
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(picture)
    told = shell.refused("inpaint", picture, "--missing-share", 0.5, "--strip", "--out", tmp_path / "out")
    assert "a picture is none" in told
    told = shell.refused(
        "inpaint", scan, "--mask", mask, "--strip", "--prior", "chest-xray-256", "--out", tmp_path / "out"
    )
    assert "priors of brains, and chest-xray-256 knows CR" in told
