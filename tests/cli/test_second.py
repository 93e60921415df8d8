"""``--second``: what another scan of the patient saw of a hole, wherever its voxels lie."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from napari_brgm.scan import Scan
from napari_brgm.scans.resampled import resampled_onto

QUICK = ("--steps", 3, "--samples", 2, "--device", "cpu", "--alone")


@pytest.fixture
def hole(save):
    missing = np.zeros((60, 72, 3))
    missing[24:36, 30:42, 1] = 1
    return missing > 0, save("hole.nii.gz", missing)


@pytest.fixture
def second(scan, tmp_path):
    """The head in other voxels, turned by 5 degrees, in other units."""
    first = nib.load(scan)
    turn = np.eye(4)
    c, s = np.cos(np.radians(5)), np.sin(np.radians(5))
    turn[:2, :2] = [[c, -s], [s, c]]
    affine = turn @ first.affine @ np.diag([0.8, 0.8, 1, 1])
    there = resampled_onto(Scan(first.get_fdata(), first.affine), Scan(np.zeros((75, 90, 3)), affine))
    path = tmp_path / "second.nii.gz"
    nib.save(nib.Nifti1Image((0.4 * np.nan_to_num(there.array) + 7).astype(np.float32), affine), path)
    return path


def test_it_is_brought_to_the_first_and_told(shell, scan, hole, second, tmp_path, shipped_weights):
    missing, mask = hole
    source = nib.load(scan).get_fdata(dtype=np.float32)
    spoilt = tmp_path / "spoilt.nii.gz"
    values = np.where(missing, 0, source)
    nib.save(nib.Nifti1Image(values, nib.load(scan).affine, nib.load(scan).header), spoilt)
    found = {}
    for name, more in (("alone", ()), ("both", ("--second", second))):
        done = shell("inpaint", spoilt, "--mask", mask, "--out", tmp_path / name, *QUICK, *more)
        assert done.exit_code == 0, done.output
        (image,) = (tmp_path / name).glob("*Estimate*.nii.gz")
        found[name] = nib.load(image).get_fdata(dtype=np.float32)
        np.testing.assert_array_equal(found[name][~missing], values[~missing])
    assert "the second scan was matched to the first near the holes" in done.stderr
    assert "as if nothing had changed between the two" in done.stderr
    alone, both = (np.sqrt(np.mean((found[name] - source)[missing] ** 2)) for name in ("alone", "both"))
    assert both < 0.5 * alone
    record = json.loads(next((tmp_path / "both").glob("*Estimate*.json")).read_text())
    assert record["second"]["gain"] == pytest.approx(2.5, rel=0.1)
    assert [one["name"] for one in record["inputs"]] == ["spoilt.nii.gz", "hole.nii.gz", "second.nii.gz"]
    path = next((tmp_path / "both").glob("*Estimate*.json"))
    again = ("replay", path, "--scan", spoilt, "--mask", mask, "--out", tmp_path / "again", "--device", "cpu")
    assert "two scans of one patient; give the other one as --second" in shell(*again).stderr
    done = shell(*again, "--second", second)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "bit-identical"


def test_what_does_not_go_with_it_is_one_sentence(shell, scan, hole, save, tmp_path, shipped_weights):
    _, mask = hole
    far = nib.load(scan)
    away = far.affine.copy()
    away[0, 3] += 900
    path = tmp_path / "far.nii.gz"
    nib.save(nib.Nifti1Image(far.get_fdata(dtype=np.float32), away), path)
    done = shell("inpaint", scan, "--mask", mask, "--out", tmp_path / "a", *QUICK, "--second", path)
    assert done.exit_code == 2
    assert "the two scans have no place in common" in done.stderr
    noise = save("noise.nii.gz", np.random.default_rng(0).normal(size=(60, 72, 3)))
    done = shell("inpaint", scan, "--mask", mask, "--out", tmp_path / "a", *QUICK, "--second", noise)
    assert done.exit_code == 2
    assert "does not look like the first near the hole" in done.stderr
    assert not (tmp_path / "a").exists()
