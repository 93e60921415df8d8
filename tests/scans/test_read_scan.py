"""read_scan decides by content."""

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from napari_brgm.errors import ScanError
from napari_brgm.scans import read_scan

DATA = Path(nib.__file__).parent / "tests" / "data"


def test_suffix_does_not_matter(tmp_path):
    shutil.copy(DATA / "anatomical.nii", tmp_path / "a.dcm")
    shutil.copy(DATA / "example4d.nii.gz", tmp_path / "b")
    shutil.copy(get_testdata_file("CT_small.dcm", download=False), tmp_path / "c.nii")
    assert [read_scan(str(tmp_path / name))[0].shape for name in ("a.dcm", "b", "c.nii")] == [
        (33, 41, 25),
        (128, 96, 24, 2),
        (128, 128, 1),
    ]


def test_folder_is_dicom(write_dicom, tmp_path):
    for k in range(2):
        write_dicom(str(k), np.zeros((3, 4), np.uint16), tmp_path / "s", ImagePositionPatient=[0, 0, k])
    assert [scan.shape for scan in read_scan(tmp_path / "s")] == [(4, 3, 2)]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "there is no file or folder x"), (b"", "x is empty"), (b"text" * 99, "neither a NIfTI nor a DICOM file")],
)
def test_what_cannot_be_read(tmp_path, content, words):
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    with pytest.raises(ScanError, match=words):
        read_scan(tmp_path / "x")


def test_import_stays_light():
    code = "import sys, napari_brgm.scans; print([m for m in ('nibabel', 'pydicom', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
