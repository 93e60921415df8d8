"""Odd header fields: what other readers read is read and noted, the rest is refused by the name of its field."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
from nifti_bytes import AFFINE, ARRAY, patched

from napari_brgm.errors import ScanError
from napari_brgm.scans.export import write_nifti
from napari_brgm.scans.nifti import read_nifti

QFORM = {"sform_code": 0, "qform_code": 1}
ROUNDED = [(0.70710699, 0.70710699, 0.0), (0.7071070, 0.7071070, 0.0008), (1.0000004, 0, 0), (0, 0, 5.0)]


@pytest.mark.parametrize("turn", ROUNDED)
def test_a_quaternion_longer_than_1_is_a_half_turn(tmp_path, turn):
    """As nifti_clib has it: b, c, d are normalised and a is 0."""
    scan = read_nifti(patched(tmp_path / "x.nii", quaternion=turn, **QFORM))
    axis = np.array(turn) / np.linalg.norm(turn)
    rotation = 2 * np.outer(axis, axis) - np.eye(3)
    np.testing.assert_allclose(scan.affine[:3, :3], rotation * [1.5, 2, -3], atol=1e-5)  # pixdim[0] is -1
    assert any("quaternion" in note and "shortened" in note for note in scan.notes)


def test_a_whole_quaternion_has_no_note(tmp_path):
    half = float(np.float32(np.sqrt(0.5)))
    assert read_nifti(patched(tmp_path / "x.nii", quaternion=(half, half, 0), **QFORM)).notes == ()


def test_a_mended_header_can_be_written_again(tmp_path):
    """Catches nibabel raising when it is asked for the affine of the header later."""
    scan = read_nifti(
        patched(tmp_path / "x.nii", quaternion=ROUNDED[1], xyzt_units=7, pixdim=[5, 1.5, 2, 0, 1, 1, 1, 1], **QFORM)
    )
    write_nifti(scan, tmp_path / "again.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "again.nii").affine, scan.affine, atol=1e-5)


@pytest.mark.parametrize("code", [4, 5, 6, 7, 7 | 8, 7 | 64])
def test_an_unknown_unit_is_mm_with_a_note(tmp_path, code):
    scan = read_nifti(patched(tmp_path / "x.nii", xyzt_units=code))
    np.testing.assert_allclose(scan.affine, AFFINE)
    assert any(f"xyzt_units {code}" in note and "mm is assumed" in note for note in scan.notes)


@pytest.mark.parametrize("code", [0, 2, 10])
def test_known_units_have_no_note(tmp_path, code):
    assert read_nifti(patched(tmp_path / "x.nii", xyzt_units=code)).notes == ()


@pytest.mark.parametrize("inter", [float("nan"), float("inf")])
def test_an_intercept_that_is_no_number_is_0(tmp_path, inter):
    scan = read_nifti(patched(tmp_path / "x.nii", scl_slope=2.0, scl_inter=inter))
    np.testing.assert_array_equal(scan.array, 2.0 * ARRAY)
    assert any("intercept" in note for note in scan.notes)


@pytest.mark.parametrize("slope", [0.0, float("nan")])
def test_no_slope_is_no_note(tmp_path, slope):
    scan = read_nifti(patched(tmp_path / "x.nii", scl_slope=slope, scl_inter=7.0))
    np.testing.assert_array_equal(scan.array, ARRAY)
    assert scan.notes == ()


@pytest.mark.parametrize(("size", "taken"), [(0.0, 1.0), (-3.0, 3.0), (float("nan"), 1.0), (float("inf"), 1.0)])
@pytest.mark.parametrize("codes", [QFORM, {"sform_code": 0, "qform_code": 0}])
def test_a_pixel_size_that_is_none_is_noted(tmp_path, size, taken, codes):
    scan = read_nifti(patched(tmp_path / "x.nii", pixdim=[1, 1.5, 2, size, 1, 1, 1, 1], **codes))
    np.testing.assert_allclose(scan.spacing, [1.5, 2, taken])
    assert sum("pixel size along axis 3" in note for note in scan.notes) == 1


def test_pixel_sizes_that_are_not_used_have_no_note(tmp_path):
    scan = read_nifti(patched(tmp_path / "x.nii", pixdim=[1, 0, 0, 0, 1, 1, 1, 1]))
    np.testing.assert_allclose(scan.affine, AFFINE)
    assert scan.notes == ()


def test_the_thickness_that_a_plane_image_lacks_has_no_note(tmp_path):
    plane = ARRAY[..., 0]
    scan = read_nifti(patched(tmp_path / "x.nii", plane, pixdim=[1, 1.5, 2, 0, 0, 0, 0, 0], **QFORM))
    assert scan.shape == (8, 10, 1) and scan.notes == ()


def test_axes_without_voxels_count_one(tmp_path):
    scan = read_nifti(patched(tmp_path / "x.nii", dim=[4, 8, 10, 6, 0, 1, 1, 1]))
    assert scan.shape == (8, 10, 6, 1) and any("dim[4]" in note for note in scan.notes)


def test_voxels_within_the_header_begin_behind_it(tmp_path):
    scan = read_nifti(patched(tmp_path / "x.nii", vox_offset=0.0))
    np.testing.assert_array_equal(scan.array, ARRAY)
    assert any("vox_offset 0" in note for note in scan.notes)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"datatype": 0}, "datatype 0"), ({"datatype": 77}, "datatype 77"),
        ({"datatype": 1}, r"single bits \(datatype 1\)"),
        ({"datatype": 2304}, r"colours \(datatype 2304\)"), ({"datatype": 1792}, r"complex numbers \(datatype 1792\)"),
        ({"dim": [3, 0, 10, 6, 1, 1, 1, 1]}, r"dim\[1\]"), ({"dim": [3, -2, 10, 6, 1, 1, 1, 1]}, r"dim\[1\]"),
        ({"vox_offset": float("nan")}, "vox_offset"), ({"vox_offset": -352.0}, "vox_offset"),
        ({"vox_offset": 3e9}, "vox_offset"),
        ({"srow_x": [float("nan")] * 4}, "srow_x"), ({"quaternion": [float("nan")] * 3, **QFORM}, "quatern_b"),
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "ends too early: .* bytes are there"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_by_its_field(tmp_path, fields, field):
    with pytest.raises(ScanError, match=field) as told:
        read_nifti(patched(tmp_path / "x.nii", **fields))
    assert "damaged" not in str(told.value)


def test_both_versions_and_byte_orders(tmp_path):
    for kind in (nib.Nifti1Image, nib.Nifti2Image):
        for endian in "<>":
            image = kind(ARRAY, AFFINE, kind.header_class(endianness=endian), dtype=np.int16)
            nib.save(image, tmp_path / "x.nii")
            scan = read_nifti(tmp_path / "x.nii")
            np.testing.assert_array_equal(scan.array, ARRAY)
            np.testing.assert_allclose(scan.affine, AFFINE)


@pytest.mark.parametrize("code", [-254, -1, 77])
@pytest.mark.parametrize("form", ["sform_code", "qform_code"])
def test_codes_of_spaces_that_are_none(tmp_path, code, form):
    """Catches a KeyError of nibabel when the result is written."""
    scan = read_nifti(patched(tmp_path / "x.nii", **{"sform_code": 0, "qform_code": 1, form: code}))
    write_nifti(scan, tmp_path / "again.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "again.nii").affine, scan.affine, atol=1e-5)


def test_half_a_voxel_at_the_end_is_counted(tmp_path):
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(patched(tmp_path / "x.nii").read_bytes()[:-1]))
    with pytest.raises(ScanError, match="ends too early: 959 of 960 bytes of its voxels are there"):
        read_nifti(path)


def test_a_file_without_the_mark_of_nifti_is_not_called_analyze_for_certain(tmp_path):
    content = bytearray(patched(tmp_path / "x.nii").read_bytes())
    content[344:348] = b"n\0+1"
    (tmp_path / "x.nii").write_bytes(content)
    with pytest.raises(ScanError, match=r"no mark of NIfTI in its header \(magic\).*may be in Analyze"):
        read_nifti(tmp_path / "x.nii")
