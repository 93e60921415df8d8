"""``napari-brgm sample``: a stack of synthetic images that says what it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from napari_brgm import draw, load_prior, read_scan
from napari_brgm.cli.sample import _affine

NAME = "brain-axial-128_desc-brgmSynthetic"


def test_files_of_drawn_images(shell, tmp_path, shipped_weights):
    out = tmp_path / "out"
    done = shell("sample", "--count", 3, "--seed", 5, "--device", "cpu", "--out", out)
    assert done.exit_code == 0, done.output
    (stack,) = read_scan(out / f"{NAME}_image.nii.gz")
    assert stack.shape == (128, 128, 1, 3) and stack.plane == "axial"
    np.testing.assert_allclose(stack.spacing[:2], 1.5, rtol=1e-5)
    wanted = draw(load_prior("brain-axial-128"), 3, 5, finish=True, device="cpu")
    for i in range(3):  # shown the right way up
        np.testing.assert_allclose(stack.slice("axial", 0, i).image, wanted[i], atol=1e-3)
    record = json.loads((out / f"{NAME}_image.json").read_text())
    assert "synthetic" in record["Description"] and "synthetic" in record["notice"]
    assert (
        record["finish"] is True
        and record["seed"] == 5
        and record["count"] == 3
        and len(record["prior"]["sha256"]) == 64
    )
    with Image.open(out / f"{NAME}Sheet_image.png") as sheet:
        assert sheet.width > 600 and "synthetic" in sheet.text["Description"]
    assert "exists already" in shell.refused("sample", "--count", 3, "--out", out)


@pytest.mark.parametrize(("plane", "found"), [("axial", "axial"), ("frontal", "coronal"), ("sagittal", "sagittal")])
def test_every_plane_is_shown_as_it_was_drawn(plane, found):
    from napari_brgm import Scan

    image = np.arange(30.0).reshape(5, 6)
    scan = Scan(image[..., None], _affine(plane, 2.0))
    assert scan.plane == found
    np.testing.assert_array_equal(scan.slice(found, 0).image, image)


@pytest.mark.parametrize(
    ("more", "words"),
    [(["--count", 0], "--count"), (["--count", "some"], "--count"), (["--prior", "no-such-prior"], "no-such-prior")],
)
def test_what_cannot_be_drawn(shell, tmp_path, more, words, shipped_weights):
    assert words in shell.refused("sample", "--out", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("option", "field"), [("--no-finish", False), ("--residual-field", True)])
def test_images_without_the_texture_of_scans(shell, tmp_path, shipped_weights, option, field):
    done = shell("sample", "--count", 1, "--device", "cpu", option, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    (stack,) = read_scan(tmp_path / "out" / f"{NAME}_image.nii.gz")
    wanted = draw(load_prior("brain-axial-128"), 1, 0, residual=field, device="cpu")
    np.testing.assert_allclose(stack.slice("axial", 0, 0).image, wanted[0], atol=1e-3)


def test_two_textures_at_once_are_refused(shell, tmp_path, shipped_weights):
    told = shell.refused("sample", "--finish", "--residual-field", "--out", tmp_path / "out")
    assert "choose one of them" in told
    told = shell.refused("sample", "--prior", "brain-axial-lcm-128", "--finish", "--out", tmp_path / "out")
    assert "no network to finish draws with" in told
