"""Halves of pairs: found by either name, and the missing one is named."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
from nifti_bytes import AFFINE, ARRAY

from napari_brgm.errors import ScanError
from napari_brgm.scans import read_scan


@pytest.fixture
def pair(tmp_path):
    nib.save(nib.Nifti1Pair(ARRAY, AFFINE), tmp_path / "x.img")
    return tmp_path


@pytest.mark.parametrize(("kept", "missing"), [("x.img", "x.hdr"), ("x.hdr", "x.img")])
def test_the_missing_half_is_named(pair, kept, missing):
    (pair / missing).unlink()
    with pytest.raises(ScanError, match=f"^{missing} beside it is missing"):
        read_scan(pair / kept)


def test_the_header_of_a_pair_called_nii_says_what_it_lacks(pair):
    (pair / "x.hdr").rename(pair / "y.nii")
    with pytest.raises(ScanError, match=r"^y\.img beside it is missing"):
        read_scan(pair / "y.nii")


def test_halves_may_be_packed_and_in_capitals(pair):
    (pair / "x.img.gz").write_bytes(gzip.compress((pair / "x.img").read_bytes()))
    (pair / "x.img").unlink()
    (pair / "x.hdr").rename(pair / "x.HDR")
    for name in ("x.img.gz", "x.HDR"):
        np.testing.assert_array_equal(read_scan(pair / name)[0].array, ARRAY)


def test_voxels_that_are_cut_short_are_counted(pair):
    (pair / "x.img").write_bytes((pair / "x.img").read_bytes()[:-1])
    with pytest.raises(ScanError, match="959 bytes are there, and the header asks for 960"):
        read_scan(pair / "x.hdr")
