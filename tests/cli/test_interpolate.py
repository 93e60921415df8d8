"""``napari-brgm interpolate``: volumes in the place of the first slice, called synthetic."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_brgm import read_scan

QUICK = ("--inversion-steps", 1, "--device", "cpu")
NAME = "sub-01_desc-brgmInterpolation"


def test_files_between_two_slices(shell, scan, save, head, tmp_path, shipped_weights):
    other = save("other.nii.gz", head[:50] * 3, np.diag([-2.0, 2.0, 4.0, 1]))
    out = tmp_path / "out"
    done = shell("interpolate", scan, other, "--index-first", 2, "--steps", 3, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    (stack,) = read_scan(out / f"{NAME}_T1w.nii.gz")
    piece = read_scan(scan)[0].slice("axial", 2)
    assert stack.shape == (*piece.image.shape, 1, 3)
    np.testing.assert_allclose(stack.affine, piece.affine, atol=1e-4)
    assert np.corrcoef(stack.slice("axial", 0, 0).image.ravel(), piece.image.ravel())[0, 1] > 0.9
    record = json.loads((out / f"{NAME}_T1w.json").read_text())
    assert record["Sources"] == ["sub-01_T1w.nii.gz", "other.nii.gz"] and record["index"] == [2, 1]
    assert "synthetic" in record["Description"] and "synthetic" in record["notice"] and record["steps"] == 3
    with Image.open(out / f"{NAME}Sheet_T1w.png") as sheet:
        assert sheet.width > 600 and "synthetic" in sheet.text["Description"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--steps", 1], "--steps must be in 2"),
        (["--index-first", 3], "choose --index-first 0 .. 2"),
        (["--index-second", -1], "choose --index-second 0 .. 2"),
        (["--series-second", 2], "there is no series 2"),
        (["--inversion-steps", -1], "--inversion-steps"),
    ],
)
def test_what_cannot_be_interpolated(shell, scan, tmp_path, more, words, shipped_weights):
    assert words in shell.refused("interpolate", scan, scan, "--out", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


def test_the_option_of_the_scan_that_needs_it_is_named(shell, scan, save, head, tmp_path, shipped_weights):
    several = save("several.nii.gz", np.stack([head, head], axis=-1))
    sentence = shell.refused("interpolate", scan, several, "--out", tmp_path / "out")
    assert "--volume-second 0 .. 1" in sentence
