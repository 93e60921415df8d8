"""``napari-brgm superres``: a finer slice in the right place."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

QUICK = ("--steps", 3, "--samples", 2, "--device", "cpu")


def test_the_finer_slice_lies_where_the_coarse_one_did(shell, save, head, tmp_path, shipped_weights):
    coarse = head.reshape(15, 4, 18, 4, 3).mean(axis=(1, 3))
    affine = np.array([[-12.0, 0, 0, 85], [0, 12.0, 0, -110], [0, 0, 5, 10], [0, 0, 0, 1]])
    out = tmp_path / "out"
    done = shell("superres", save("sub-01_T1w.nii.gz", coarse, affine), "--factor", 4, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    fine = nib.load(out / "sub-01_desc-brgmSuperresEstimate_T1w.nii.gz")
    assert fine.shape == (72, 60, 1)  # rows, columns of the display
    corners = np.array([[-0.5, -0.5, 0, 1], [71.5, 59.5, 0, 1]]) @ fine.affine.T
    expected = np.array([[14.5, 17.5, 1, 1], [-0.5, -0.5, 1, 1]]) @ affine.T  # outer edges of the middle slice
    ends = np.sort(corners[:, :3], axis=0), np.sort(expected[:, :3], axis=0)
    np.testing.assert_allclose(*ends, atol=1e-4)
    # averaged again, the fine slice is the coarse one: front at the top, the patient's right on the left
    values = fine.get_fdata()[..., 0].reshape(18, 4, 15, 4).mean(axis=(1, 3))
    shown = coarse[:, ::-1, 1].T  # affine[0, 0] < 0: the first column is the patient's right already
    assert np.corrcoef(values.ravel(), shown.ravel())[0, 1] > 0.99
    variance = nib.load(out / "sub-01_desc-brgmSuperresVariance_T1w.nii.gz")
    np.testing.assert_array_equal(variance.affine, fine.affine)
    assert (variance.get_fdata() > 0).any()
    record = json.loads((out / "sub-01_desc-brgmSuperresVariance_T1w.json").read_text())
    assert record["Units"] == "a.u.^2" and record["corruption"]["factor"] == [4.0, 4.0]
    assert record["slices"][0]["index"] == 1


def test_a_factor_for_each_axis(shell, scan, tmp_path, shipped_weights):
    out = tmp_path / "out"
    done = shell("superres", scan, "--factor", "2,1", "--index", 0, "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    assert nib.load(out / "sub-01_desc-brgmSuperresEstimate_T1w.nii.gz").shape == (144, 60, 1)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--factor", "four"], "--factor"),
        (["--factor", "2,2,2"], "--factor"),
        (["--factor", "1"], "factor must be above 1"),
        (["--factor", "nan"], "factor"),
        (["--index", 3], "there is no axial slice 3"),
    ],
)
def test_what_cannot_be_done(shell, scan, tmp_path, more, words, shipped_weights):
    assert words in shell.refused("superres", scan, "--out", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


def test_another_plane_than_the_priors_is_told(shell, scan, tmp_path, shipped_weights):
    done = shell("superres", scan, "--out", tmp_path / "out", "--plane", "sagittal", "--factor", "2", *QUICK)
    assert "note: the prior brain-axial-128 was made from axial slices, this one is sagittal" in done.stderr
