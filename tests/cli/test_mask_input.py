"""A mask painted at the other of two places of a scan is taken, one painted elsewhere is not."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nifti_bytes import AFFINE, ARRAY

from napari_brgm.cli.mask_input import read_mask
from napari_brgm.errors import InputError
from napari_brgm.scans.nifti import read_nifti

SHIFTED = AFFINE + np.array([[0, 0, 0, 2.0], [0] * 4, [0] * 4, [0] * 4])
FLIPPED = np.diag([-1, 1, 1, 1.0]) @ AFFINE


def write(path, array, sform, qform=None):
    image = nib.Nifti1Image(array, sform)
    image.set_sform(sform, 2)
    if qform is not None:
        image.set_qform(qform, 1)
    nib.save(image, path)
    return path


@pytest.fixture
def painted():
    mask = np.zeros(ARRAY.shape, np.uint8)
    mask[3:5, 3:5, 2] = 1
    return mask


@pytest.mark.parametrize("other", [SHIFTED, FLIPPED], ids=["shifted", "left and right swapped"])
def test_a_mask_where_the_qform_has_it(tmp_path, painted, other, capsys):
    """As ITK software writes it, whose grid is that of the qform."""
    scan = read_nifti(write(tmp_path / "scan.nii", ARRAY, AFFINE, other))
    found = read_mask(write(tmp_path / "mask.nii", painted, other), scan, "axial", None)
    assert list(found.missing) == [2] and found.missing[2].sum() == 4
    assert "lies where the scan's qform has it" in capsys.readouterr().err


def test_a_mask_whose_own_qform_is_that_of_the_scan(tmp_path, painted, capsys):
    scan = read_nifti(write(tmp_path / "scan.nii", ARRAY, AFFINE))
    read_mask(write(tmp_path / "mask.nii", painted, SHIFTED, AFFINE), scan, "axial", None)
    assert "the mask's qform" in capsys.readouterr().err


def test_a_mask_at_neither_place(tmp_path, painted):
    scan = read_nifti(write(tmp_path / "scan.nii", ARRAY, AFFINE, SHIFTED))
    elsewhere = SHIFTED + np.array([[0, 0, 0, 5.0], [0] * 4, [0] * 4, [0] * 4])
    with pytest.raises(InputError, match=r"differ, by 7 mm.*at neither"):
        read_mask(write(tmp_path / "mask.nii", painted, elsewhere), scan, "axial", None)


def test_a_mask_at_the_place_that_is_taken_has_no_note(tmp_path, painted, capsys):
    scan = read_nifti(write(tmp_path / "scan.nii", ARRAY, AFFINE, SHIFTED))
    read_mask(write(tmp_path / "mask.nii", painted, AFFINE), scan, "axial", None)
    assert "qform" not in capsys.readouterr().err
