"""The two places of a NIfTI file: which is taken, and what is told where they disagree."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nifti_bytes import AFFINE, ARRAY, patched

from napari_brgm.scans.nifti import read_nifti
from napari_brgm.scans.nifti_place import other_place


@pytest.fixture
def placed(tmp_path):
    def write(qform, unit="mm"):
        image = nib.Nifti1Image(ARRAY, AFFINE)
        image.set_qform(qform, 1)
        image.set_sform(AFFINE, 2)
        image.header.set_xyzt_units(unit)
        nib.save(image, tmp_path / "x.nii")
        return read_nifti(tmp_path / "x.nii")

    return write


def test_a_shift_between_the_forms_is_told_in_mm(placed):
    moved = AFFINE.copy()
    moved[0, 3] += 2
    scan = placed(moved)
    (note,) = scan.notes
    assert "sform and qform, 2 mm apart" in note and "swapped" not in note
    np.testing.assert_allclose(scan.affine, AFFINE)
    np.testing.assert_allclose(other_place(scan.header), moved, atol=1e-5)


@pytest.mark.parametrize(
    ("flip", "words"),
    [((-1, 1, 1), "left and right swapped"), ((1, -1, 1), "front and back swapped"), ((1, 1, -1), "top")],
)
def test_swapped_sides_are_named(placed, flip, words):
    (note,) = placed(np.diag([*flip, 1]) @ AFFINE).notes
    assert words in note


def test_forms_that_agree_have_no_note(placed):
    near = AFFINE.copy()
    near[0, 3] += 0.01  # of a voxel of 1.5 mm
    assert placed(near).notes == ()


def test_the_distance_is_in_mm_whatever_the_unit(placed):
    moved = AFFINE.copy()
    moved[0, 3] += 2
    scan = placed(moved, "meter")
    assert "2e+03 mm apart" in scan.notes[0]
    np.testing.assert_allclose(other_place(scan.header)[:3], 1000 * moved[:3], rtol=1e-5)


def test_one_form_has_no_other(tmp_path):
    assert other_place(read_nifti(patched(tmp_path / "x.nii")).header) is None


@pytest.mark.parametrize("row", [(0, 0, 0, 0), (float("nan"), 0, 0, 10)])
def test_an_sform_that_is_no_grid_gives_way_to_the_qform(tmp_path, row):
    path = patched(tmp_path / "x.nii", srow_x=row, qform_code=1)
    scan = read_nifti(path)
    np.testing.assert_allclose(scan.affine, AFFINE, atol=1e-5)
    assert any("srow_x" in note and "qform is taken" in note for note in scan.notes)
