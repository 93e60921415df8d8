"""What is written reads back, whole or not at all, and never over something."""

import json
import os
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_brgm.errors import OutputError
from napari_brgm.scan import Scan
from napari_brgm.scans.export import sidecar_of, write_nifti
from napari_brgm.scans.nifti import read_nifti

ROTATED = np.array([[-1.8, 0.0, 1.2, 90.25], [0.0, 3.0, 0.0, -126.5], [1.2, 0.0, 0.8 / 0.4444444444444444, -72.125]])
ROTATED = np.vstack([ROTATED, [0, 0, 0, 1]])  # orthogonal columns, unequal lengths
SHEARED = ROTATED + np.diag([0, 0, 0.7, 0])


@pytest.fixture
def array():
    return np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32) * 1e3


@pytest.mark.parametrize("affine", [ROTATED, SHEARED, np.diag([-1.0, -2, 3, 1])], ids=["rotated", "sheared", "plain"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_reads_back(tmp_path, array, affine, suffix):
    path = write_nifti(Scan(array, affine), tmp_path / f"out{suffix}")
    back = read_nifti(path)
    np.testing.assert_allclose(back.affine, affine, atol=1e-5)
    np.testing.assert_array_equal(back.array, array)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_qform_only_where_it_is_true(tmp_path, array):
    rotated = nib.load(write_nifti(Scan(array, ROTATED), tmp_path / "a.nii"))
    np.testing.assert_allclose(rotated.get_qform(), ROTATED, atol=1e-4)
    assert (rotated.header["sform_code"], rotated.header["qform_code"]) == (1, 1)
    sheared = nib.load(write_nifti(Scan(array, SHEARED), tmp_path / "b.nii"))
    assert (sheared.header["sform_code"], sheared.header["qform_code"]) == (1, 0)
    np.testing.assert_allclose(sheared.header.get_zooms(), np.linalg.norm(SHEARED[:3, :3], axis=0), rtol=1e-6)


def test_time_between_volumes_is_kept(tmp_path, array):
    source = nib.Nifti1Image(np.zeros((3, 4, 5, 2), np.float32), ROTATED)
    source.header.set_zooms((1, 1, 1, 2.5))
    source.header.set_xyzt_units("mm", "sec")
    nib.save(source, tmp_path / "in.nii")
    back = nib.load(write_nifti(read_nifti(tmp_path / "in.nii"), tmp_path / "out.nii"))
    assert back.header.get_zooms()[3] == 2.5
    assert back.header.get_xyzt_units() == ("mm", "sec")
    assert back.shape == (3, 4, 5, 2)


def test_sidecar_holds_the_provenance(tmp_path, array):
    provenance = {"prior": "brain", "steps": 100}
    path = write_nifti(Scan(array, ROTATED), tmp_path / "out.nii.gz", provenance)
    assert json.loads(sidecar_of(path).read_text()) == provenance
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.json", "out.nii.gz"]


@pytest.mark.parametrize("existing", ["out.nii", "out.json"])
def test_never_overwrites_silently(tmp_path, array, existing):
    (tmp_path / existing).write_text("precious")
    scan = Scan(array, ROTATED)
    with pytest.raises(OutputError, match=f"{existing} exists already"):
        write_nifti(scan, tmp_path / "out.nii", {})
    assert (tmp_path / existing).read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1
    write_nifti(scan, tmp_path / "out.nii", {}, overwrite=True)
    np.testing.assert_array_equal(read_nifti(tmp_path / "out.nii").array, array)


def test_failure_leaves_nothing_behind(tmp_path, array, monkeypatch):
    def full(image, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", full)
    with pytest.raises(OutputError, match=r"cannot write out\.nii .*No space left"):
        write_nifti(Scan(array, ROTATED), tmp_path / "out.nii", {})
    assert list(tmp_path.iterdir()) == []


def test_read_only_folder_is_one_sentence(tmp_path, array):
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        with pytest.raises(OutputError, match="Permission denied"):
            write_nifti(Scan(array, ROTATED), tmp_path / "out.nii")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "provenance", "words"),
    [
        ("out.mgz", None, r"must end in \.nii or \.nii\.gz"),
        ("gone/out.nii", None, "there is no folder"),
        ("out.nii", {"loss": float("nan")}, "plain finite values"),
        ("out.nii", {"x": object()}, "plain finite values"),
    ],
)
def test_bad_output_is_one_sentence(tmp_path, array, name, provenance, words):
    with pytest.raises(OutputError, match=words) as caught:
        write_nifti(Scan(array, ROTATED), tmp_path / name, provenance)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_too_long_an_axis_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="at most 32767"):
        write_nifti(Scan(np.zeros((32768, 1, 1), np.float32), np.eye(4)), tmp_path / "out.nii")


NIBABEL = Path(nib.__file__).parent / "tests" / "data"


@pytest.mark.parametrize("name", ["example4d.nii.gz", "anatomical.nii"])
def test_grid_of_the_source_is_kept_bit_for_bit(tmp_path, name):
    if not (NIBABEL / name).is_file():
        pytest.skip("nibabel is installed without its test data")
    scan = read_nifti(NIBABEL / name)
    back = read_nifti(write_nifti(replace(scan, array=scan.array + np.float32(0.5)), tmp_path / name))
    np.testing.assert_array_equal(back.affine, scan.affine)
    np.testing.assert_array_equal(back.array, scan.array + np.float32(0.5))
    np.testing.assert_array_equal(back.header["pixdim"][:4], scan.header["pixdim"][:4])
    for field in ("sform_code", "qform_code", "srow_x", "quatern_b", "qoffset_x"):
        np.testing.assert_array_equal(back.header[field], scan.header[field])


@pytest.mark.parametrize("factor", [(2, 2, 1), (1, 1, 3)], ids=["in plane", "through plane"])
def test_finer_grid_lies_in_the_space_of_its_source(tmp_path, factor):
    source = nib.Nifti1Image(np.zeros((3, 4, 5), np.float32), ROTATED)
    source.set_sform(ROTATED, code=4)
    nib.save(source, tmp_path / "in.nii")
    scan = read_nifti(tmp_path / "in.nii")
    index = np.diag([*(1 / np.array(factor)), 1])
    index[:3, 3] = (1 / np.array(factor) - 1) / 2
    fine = replace(scan, array=np.zeros(np.array(scan.shape) * factor, np.float32), affine=scan.affine @ index)
    back = read_nifti(write_nifti(fine, tmp_path / "out.nii"))
    np.testing.assert_allclose(back.affine, fine.affine, atol=1e-4)
    assert back.header["sform_code"] == 4


def test_integers_beyond_float32_stay_exact(tmp_path):
    array = np.array([2**24 + 1, 3, 2**31 - 1]).reshape(3, 1, 1)
    nib.save(nib.Nifti1Image(array.astype(np.int32), np.eye(4)), tmp_path / "in.nii")
    scan = read_nifti(tmp_path / "in.nii")
    back = read_nifti(write_nifti(scan, tmp_path / "out.nii"))
    np.testing.assert_array_equal(back.array, array)
