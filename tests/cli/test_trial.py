"""``napari-brgm try``: a clean slice corrupted, restored and compared; nothing of what is hidden can leak."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_brgm import Restoration, read_scan
from napari_brgm.cli.trial_errors import errors_of


@pytest.fixture
def photo(clean, tmp_path):
    Image.fromarray(clean).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def mask(hole, tmp_path):
    Image.fromarray(hole).save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_a_mask(shell, photo, mask, clean, hole, quick, tmp_path):
    out = tmp_path / "out"
    done = shell("try", photo, "--corrupt", mask, "--out", out, *quick)
    assert done.exit_code == 0, (done.output, done.exception)
    estimate = Restoration.load(out / "a_desc-brgmTrialInpaintPicture_image.safetensors").estimate
    error = np.sqrt(np.mean((estimate - clean) ** 2)), np.sqrt(np.mean((estimate - clean)[hole] ** 2))
    record = json.loads((out / "a_desc-brgmTrialInpaintEstimate_image.json").read_text())
    figures = record["slices"][0]["errors"]
    np.testing.assert_allclose((figures["rmse"], figures["rmse_hidden"]), error, rtol=1e-5)
    assert figures["psnr"] == pytest.approx(20 * np.log10(np.ptp(clean) / error[0]), abs=1e-3)
    assert 0 < figures["ssim"] < 1 and figures["range"] == np.ptp(clean)
    assert record["trial"] is True and "a trial: the slice was clean and corrupted on purpose" in record["Description"]
    assert f"the picture: RMSE {error[0]:.4g} grey levels ({error[1]:.4g} grey levels in hidden pixels)" in done.stderr
    assert "11 % of the picture is hidden" in done.stderr
    with Image.open(out / "a_desc-brgmTrialInpaintSheet_image.png") as sheet:
        assert "a trial" in sheet.info["Description"]
    assert all("Trial" in file.name for file in out.iterdir() if file.name != "dataset_description.json")


def test_what_is_hidden_cannot_leak(shell, mask, clean, hole, quick, tmp_path):
    """Two pictures that differ under the mask alone are restored alike."""
    found = []
    for name, value in (("a", clean[12, 12]), ("b", 255)):
        image = np.where(hole, np.uint8(value), clean)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
        done = shell("try", tmp_path / f"{name}.png", "--corrupt", mask, "--out", tmp_path / name, *quick)
        assert done.exit_code == 0, done.output
        with Image.open(tmp_path / name / f"{name}_desc-brgmTrialInpaintEstimate_image.png") as restored:
            found.append(np.array(restored))
    np.testing.assert_array_equal(*found)


def test_a_factor(shell, photo, clean, quick, tmp_path):
    """The coarse slice is the mean of the clean one's blocks, and its errors are those against the clean one."""
    out = tmp_path / "out"
    done = shell("try", photo, "--corrupt", "x4", "--out", out, *quick, "--pixel-mm", "2")
    assert done.exit_code == 0, (done.output, done.exception)
    found = Restoration.load(out / "a_desc-brgmTrialSuperresPicture_image.safetensors")
    assert found.estimate.shape == (32, 32)
    blocks = [image.reshape(8, 4, 8, 4).mean(axis=(1, 3)) for image in (found.estimate, clean.astype(float))]
    np.testing.assert_allclose(*blocks, atol=0.1)
    record = json.loads((out / "a_desc-brgmTrialSuperresEstimate_image.json").read_text())
    figures = record["slices"][0]["errors"]
    assert figures["rmse"] == pytest.approx(np.sqrt(np.mean((found.estimate - clean) ** 2)), rel=1e-5)
    assert "rmse_hidden" not in figures and record["corruption"]["factor"] == [4.0, 4.0]
    assert "the picture: RMSE" in done.stderr and "hidden" not in done.stderr


def test_a_slice_that_the_factor_does_not_divide(shell, save, head, quick, tmp_path):
    """A scan keeps its place: the finer slice lies where the clean one lay."""
    affine = np.diag([-1.5, -1.5, 5, 1])
    affine[:3, 3] = 40, 50, 0
    scan, out = save("sub-01_T1w.nii", head[:59, :70], affine), tmp_path / "out"
    done = shell("try", scan, "--corrupt", "x4,2", "--index", 1, "--out", out, *quick)
    assert done.exit_code == 0, (done.output, done.exception)
    assert "note: axial slice 1 is cut from 70 x 59 to 68 x 58 pixels, whole coarse ones" in done.stderr
    (fine,) = read_scan(out / "sub-01_desc-brgmTrialSuperresEstimate_T1w.nii.gz")
    clean, found = read_scan(scan)[0].slice("axial", 1), fine.slice("axial", 0)
    np.testing.assert_allclose(found.affine[:, [0, 1, 3]], clean.affine[:, [0, 1, 3]], atol=1e-5)
    assert np.corrcoef(found.image.ravel(), clean.image[:68, :58].ravel())[0, 1] > 0.8


def test_a_mask_on_a_scans_grid(shell, scan, save, quick, tmp_path):
    missing = np.zeros((60, 72, 3))
    missing[20:32, 30:40, :2] = 1
    out = tmp_path / "out"
    done = shell("try", scan, "--corrupt", save("mask.nii", missing), "--out", out, *quick)
    assert done.exit_code == 0, (done.output, done.exception)
    for index in (0, 1):
        assert f"axial slice {index}: RMSE " in done.stderr
    assert " a.u. in hidden pixels" in done.stderr
    restored, given = (nib.load(p).get_fdata() for p in (out / "sub-01_desc-brgmTrialInpaintEstimate_T1w.nii.gz", scan))
    np.testing.assert_array_equal(restored[missing == 0], given[missing == 0])


@pytest.mark.parametrize(
    ("corrupt", "more", "words"),
    [
        ("nothing.png", [], "--corrupt is the file of a mask, or a factor such as x8; there is no file nothing.png"),
        ("x", [], "there is no file x"),
        ("xray.png", [], "there is no file xray.png"),
        ("x1", [], "factor must be above 1"),
        ("x2,2,2", [], "--corrupt is one number such as x8, or two for rows and columns"),
        ("x40", [], "has 32 x 32 pixels, too few to make them so much coarser"),
        ("x4", ["--invert-mask"], "--invert-mask is about a mask; leave it out of x4"),
        ("x4", ["--yes"], "--yes is about a mask"),
    ],
)
def test_what_cannot_be_done(shell, photo, quick, tmp_path, corrupt, more, words):
    assert words in shell.refused("try", photo, "--corrupt", corrupt, "--out", tmp_path / "out", *quick, *more)
    assert not (tmp_path / "out").exists()


def test_figures_that_are_not_defined():
    flat = np.full((8, 8), 3.0)
    assert errors_of(flat, flat, None) == {"rmse": 0.0, "psnr": None, "ssim": None, "range": 0.0}
    holed = np.where(np.eye(16) > 0, np.nan, np.arange(16.0))
    found = errors_of(np.zeros((16, 16)), holed, np.eye(16, dtype=bool))
    assert found["ssim"] is None and found["rmse_hidden"] is None and found["range"] == 15 and found["rmse"] > 0
    colours = np.random.default_rng(0).random((16, 16, 3))
    same = errors_of(colours, colours, np.eye(16, dtype=bool))
    assert same["ssim"] == pytest.approx(1, abs=1e-4) and same["rmse_hidden"] == 0
