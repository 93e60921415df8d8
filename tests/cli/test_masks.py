"""Masks of either polarity: what is hidden is told, and no mask that is upside down passes in silence."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageDraw

from napari_brgm.cli.masks import percent
from napari_brgm.scans.picture import read_picture


@pytest.fixture
def photo(clean, tmp_path):
    Image.fromarray(clean).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def hidden(out, name="a"):
    """What was restored, by the variance."""
    return tifffile.imread(out / f"{name}_desc-brgmInpaintVariance_image.tif") > 0


def test_a_mask_that_is_black_where_pixels_are_missing(shell, photo, hole, quick, tmp_path):
    """As the authors of BRGM paint them. Catches one read the wrong way round in silence: 89 % of the slice."""
    mask, out = tmp_path / "black.png", tmp_path / "out"
    Image.fromarray(~hole).save(mask)
    arguments = ("inpaint", photo, "--mask", mask, "--out", out, *quick)
    said = shell.refused(*arguments)
    assert said == (
        "napari-brgm: the mask black.png hides 89 % of the picture; add --invert-mask if it is black (zero) where "
        "pixels are missing, or add --yes if so much is missing"
    )
    assert not out.exists()
    done = shell(*arguments, "--invert-mask")
    assert done.exit_code == 0, done.output
    assert "note: 11 % of the picture is hidden" in done.stderr
    np.testing.assert_array_equal(hidden(out), hole)
    record = json.loads((out / "a_desc-brgmInpaintEstimate_image.json").read_text())
    assert record["mask"] == {"missing_where": "zero", "between": 0}
    done = shell(*arguments, "--yes", "--overwrite")
    assert done.exit_code == 0, done.output
    assert "note: 89 % of the picture is hidden" in done.stderr
    assert (hidden(out) & hole).sum() == 0 and hidden(out).mean() > 0.5


def test_inverted_twice(shell, photo, hole, quick, tmp_path):
    Image.fromarray(hole).save(tmp_path / "white.png")
    said = shell.refused(
        "inpaint", photo, "--mask", tmp_path / "white.png", "--invert-mask", "--out", tmp_path / "out", *quick
    )
    assert "hides 89 % of the picture; drop --invert-mask if it is zero where pixels were measured" in said


@pytest.mark.parametrize("inverted", [False, True])
def test_masks_on_the_scans_grid_of_either_polarity(shell, scan, save, quick, tmp_path, inverted):
    """A volume whose mask is black where pixels are missing touches those slices only, not all the others."""
    missing = np.zeros((60, 72, 3))
    missing[20:32, 30:40, 1] = 1
    mask = save("mask.nii.gz", 1 - missing if inverted else missing)
    arguments = ("inpaint", scan, "--mask", mask, "--out", tmp_path / "out", *quick)
    if inverted:
        assert "covers all of axial slice 0; add --invert-mask if it is black (zero)" in shell.refused(*arguments)
        assert "hides 97 % of axial slice 1" in shell.refused(*arguments, "--index", 1)
    done = shell(*arguments, *(["--invert-mask"] if inverted else []))
    assert done.exit_code == 0, done.output
    assert "note: 3 % of axial slice 1 is hidden" in done.stderr
    record = json.loads((tmp_path / "out" / "sub-01_desc-brgmInpaintEstimate_T1w.json").read_text())
    assert record["slices"][0]["index"] == 1 and record["corruption"]["missing_pixels"] == 120


def test_the_shares_of_several_slices(shell, scan, save, quick, tmp_path):
    missing = np.zeros((60, 72, 3))
    missing[20:32, 30:40, 0] = missing[20:44, 30:40, 2] = 1
    done = shell("inpaint", scan, "--mask", save("mask.nii.gz", missing), "--out", tmp_path / "out", *quick)
    assert done.exit_code == 0, done.output
    assert "note: 3 % to 6 % of each of 2 slices is hidden" in done.stderr


@pytest.mark.parametrize(
    ("kind", "inverted"), [("png", False), ("png", True), ("jpg", False), ("16 bits", False), ("nii", False)]
)
def test_antialiased_strokes_are_cut_at_half(shell, photo, clean, save, quick, tmp_path, kind, inverted):
    """Catches a rim that counts as missing, or not, without a word."""
    large = Image.new("L", (320, 320))
    ImageDraw.Draw(large).ellipse((93, 87, 200, 231), fill=255)
    stroke = np.array(large.resize((32, 32), Image.Resampling.BOX))
    between = int(((stroke > 0) & (stroke < 255)).sum())
    assert between > 20
    drawn = 255 - stroke if inverted else stroke
    if kind == "nii":
        photo = save("a.nii", clean[::-1, ::-1].T[..., None].astype(float), np.diag([2.0, 2, 2, 1]))
        mask = save("mask.nii", drawn[::-1, ::-1].T[..., None] / 255, np.diag([2.0, 2, 2, 1]))
    elif kind == "16 bits":
        mask = tmp_path / "mask.png"
        Image.fromarray(drawn.astype(np.uint16) * 257).save(mask)
    else:
        mask = tmp_path / f"mask.{kind}"
        Image.fromarray(drawn).save(mask, quality=95)
        drawn = read_picture(mask).pixels
    more = ["--invert-mask"] if inverted else []
    done = shell("inpaint", photo, "--mask", mask, "--out", tmp_path / "out", *quick, *more)
    assert done.exit_code == 0, done.output
    top = {"nii": "1", "16 bits": "65535"}.get(kind, "255")
    half = {"nii": "0.5", "16 bits": "32767.5"}.get(kind, "127.5")
    side = "below" if inverted else "above"
    if kind != "jpg":
        assert f"note: {between} pixels of the mask {mask.name} lie between its two values, 0 and {top}: those at " in (
            done.stderr
        )
    assert f"0 and {top}: those at {half} or {side} count as missing" in done.stderr
    if kind != "nii":
        wanted = drawn / 255 <= 0.5 if inverted else drawn / 255 >= 0.5
        np.testing.assert_array_equal(hidden(tmp_path / "out"), wanted)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.arange(1024, dtype=np.uint8).reshape(32, 32), "holds more than two values"),  # a photograph
        (np.eye(32, dtype=np.uint8) * np.arange(32, dtype=np.uint8), "holds more than two values"),  # labels
        (np.eye(32, dtype=np.uint8) * 155 + 100, "holds several values, and 0 is none of them"),
        (np.full((32, 32), 255, np.uint8), "covers all of the picture; add --invert-mask if it is black"),
        (np.zeros((32, 32), np.uint8), "is empty on the picture; mark the region to restore"),
        (np.dstack([np.eye(32, dtype=np.uint8) * 255] * 3 + [np.eye(32, dtype=np.uint8) * 255]), "transparent pixels"),
        (np.dstack([np.eye(32, dtype=np.uint8) * 255] * 2 + [np.zeros((32, 32), np.uint8)]), "is in colour"),
    ],
)
def test_pictures_that_are_no_masks(shell, photo, quick, tmp_path, values, words):
    Image.fromarray(values).save(tmp_path / "mask.png")
    said = shell.refused("inpaint", photo, "--mask", tmp_path / "mask.png", "--out", tmp_path / "out", *quick)
    assert words in said and not (tmp_path / "out").exists()


def test_a_scan_given_as_its_mask(shell, scan, save, quick, tmp_path):
    """A brain on black is mostly zero and has fractions, as an antialiased mask has; but hardly any of its values is
    the greatest.
    """
    brain = np.zeros((60, 72, 3))
    brain[20:32, 30:50] = 100 + np.random.default_rng(0).normal(size=(12, 20, 3))
    said = shell.refused("inpaint", scan, "--mask", save("brain.nii", brain), "--out", tmp_path / "out", *quick)
    assert "holds more than two values" in said


@pytest.mark.parametrize("option", ["--invert-mask", "--yes"])
def test_options_that_would_count_for_nothing(shell, photo, quick, tmp_path, option):
    said = shell.refused("inpaint", photo, "--missing-share", 0.9, option, "--out", tmp_path / "out", *quick)
    assert f"{option} is about the --mask; leave it out" in said


def test_a_share_that_was_asked_for_needs_no_yes(shell, photo, quick, tmp_path):
    done = shell("inpaint", photo, "--missing-share", 0.9, "--out", tmp_path / "out", *quick)
    assert done.exit_code == 0, done.output
    assert "note: 90 % of the picture is hidden" in done.stderr and "in hidden pixels" in done.stderr


def test_shares_in_words():
    assert [percent(share) for share in (0.005, 0.5, 0.995)] == ["0.50 %", "50 %", "99.50 %"]
