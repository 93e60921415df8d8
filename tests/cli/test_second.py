"""``--second``: what another scan of the patient saw of a hole, wherever its voxels lie."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from dicom_sources import oblique

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


def test_a_destroyed_slice_beside_is_not_compared(shell, scan, hole, tmp_path, shipped_weights):
    """With --index, what the mask hides in the next slice is hidden still: it is no noise of the second scan."""
    missing, _ = hole
    both = missing | np.roll(missing, 1, axis=2)
    source = nib.load(scan)
    spoilt, wide = tmp_path / "spoilt.nii.gz", tmp_path / "wide.nii.gz"
    values = np.where(both, -9000, source.get_fdata()).astype(np.float32)
    nib.save(nib.Nifti1Image(values, source.affine), spoilt)
    nib.save(nib.Nifti1Image(both.astype(np.uint8), source.affine), wide)
    done = shell(
        "inpaint", spoilt, "--mask", wide, "--index", 1, "--out", tmp_path / "a", *QUICK, "--second", scan
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    record = json.loads(next((tmp_path / "a").glob("*Estimate*.json")).read_text())
    assert record["second"]["noise"] < 1


def test_several_volumes_or_series_say_what_to_do(shell, scan, hole, tmp_path, shipped_weights):
    """--volume and --series are about the first scan; and a description may name a patient."""
    _, mask = hole
    values = nib.load(scan).get_fdata(dtype=np.float32)
    times, one = tmp_path / "times.nii.gz", tmp_path / "one.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([values, values], axis=-1), nib.load(scan).affine), times)
    nib.save(nib.Nifti1Image(values[..., None], nib.load(scan).affine), one)
    given = ("inpaint", scan, "--mask", mask, "--out", tmp_path / "a", *QUICK, "--second")
    assert "is 4-D with 2 volumes, and --second takes one; write it to a file of its own" in shell(*given, times).stderr
    for number in (1, 2):
        oblique(
            tmp_path / "two" / str(number),
            SeriesNumber=number,
            SeriesDescription="PLANTED",
            SeriesInstanceUID=f"1.{number}",
        )
    said = shell(*given, tmp_path / "two").stderr
    assert "two holds 2 scans, and --second takes one" in said
    said = shell("inpaint", tmp_path / "two", "--mask", mask, "--out", tmp_path / "b").stderr
    assert "1 = series 1, 2 = series 2); choose one with --series N" in said
    assert "PLANTED" not in said
    assert (
        "1 PLANTED"
        in shell("inpaint", tmp_path / "two", "--mask", mask, "--out", tmp_path / "b", "--with-description").stderr
    )
    assert shell(*given, one).exit_code == 0
