"""``napari-brgm clean``: the slice in its place, and every file says that all of it is an estimate."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from napari_brgm import Jpeg, Restoration, read_scan

QUICK = ("--steps", 3, "--samples", 2, "--device", "cpu")


@pytest.mark.parametrize(("how", "name"), [(("--jpeg-quality", 10), "Jpeg"), (("--noise-sigma", 40), "Identity")])
def test_files_of_a_cleaned_slice(shell, save, head, tmp_path, shipped_weights, how, name):
    spoilt = np.stack([Jpeg(10).compress(head[..., k], 0, 1000) for k in range(3)], axis=-1)
    source = save("sub-01_T1w.nii.gz", spoilt)
    out = tmp_path / "out"
    done = shell("clean", source, *how, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    cleaned = read_scan(out / "sub-01_desc-brgmCleanEstimate_T1w.nii.gz")[0]
    given = read_scan(source)[0].slice("axial", 1)
    np.testing.assert_allclose(cleaned.affine, given.affine, atol=1e-4)
    assert cleaned.array.shape[:2] == given.image.shape
    assert np.corrcoef(cleaned.array[..., 0].ravel(), given.image.ravel())[0, 1] > 0.9
    inside = given.image > 300
    assert (cleaned.array[..., 0] != given.image)[inside].mean() > 0.9  # nothing is kept as measured
    variance = nib.load(out / "sub-01_desc-brgmCleanVariance_T1w.nii.gz").get_fdata()[..., 0]
    assert (variance[inside] > 0).all()
    for role in ("Estimate", "Variance"):
        record = json.loads((out / f"sub-01_desc-brgmClean{role}_T1w.json").read_text())
        assert "every pixel is an estimate" in record["Description"] and "every pixel" in record["notice"]
        assert record["corruption"]["name"] == name and record["slices"][0]["index"] == 1
    posterior = Restoration.load(out / "sub-01_desc-brgmCleanAxial001_T1w.safetensors")
    assert not posterior.measured.any() and "every pixel is an estimate" in posterior.provenance["notice"]
    with Image.open(out / "sub-01_desc-brgmCleanSheet_T1w.png") as sheet:
        assert sheet.width > 600 and "every pixel is an estimate" in sheet.text["Description"]
    if name == "Identity":  # the scan's units, of which the frame makes grey levels
        gain = 255 / (posterior.provenance["window"]["high"] - posterior.provenance["window"]["low"])
        assert posterior.provenance["noise"]["measured"] == pytest.approx(40 * gain)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], "either --jpeg-quality or --noise-sigma"),
        (["--jpeg-quality", 10, "--noise-sigma", 3], "either --jpeg-quality or --noise-sigma"),
        (["--jpeg-quality", 0], "from 1 to 100"),
        (["--jpeg-quality", "ten"], "--jpeg-quality"),
        (["--noise-sigma", 0], "--noise-sigma must be above 0"),
        (["--noise-sigma", "inf"], "--noise-sigma must be above 0"),
        (["--jpeg-quality", 10, "--index", 3], "there is no axial slice 3"),
    ],
)
def test_what_cannot_be_cleaned(shell, scan, tmp_path, more, words, shipped_weights):
    assert words in shell.refused("clean", scan, "--out", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()
