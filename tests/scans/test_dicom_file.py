"""Which files are DICOM: the magic, a bare dataset, gzip, an index."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom
from napari_brgm.scans.dicom_file import looks_like_dicom, opening

MR_SMALL = Path(get_testdata_file("MR_small.dcm", download=False))


def test_dataset_without_preamble_and_meta_is_read(write_dicom, tmp_path):
    path = write_dicom("whole", np.arange(12, dtype=np.uint16).reshape(3, 4))
    content = path.read_bytes()
    bare = tmp_path / "bare"
    bare.write_bytes(content[content.index(b"\x08\x00\x16\x00") :])  # from SOPClassUID on
    np.testing.assert_array_equal(read_dicom(bare)[0].array, read_dicom(path)[0].array)


def test_gzipped_file_is_read(tmp_path):
    path = tmp_path / "image.dcm.gz"
    path.write_bytes(gzip.compress(MR_SMALL.read_bytes()))
    np.testing.assert_array_equal(read_dicom(path)[0].array, read_dicom(MR_SMALL)[0].array)


@pytest.mark.parametrize("content", [b"", b"\x08\x00", b"\x08\x00\x99\x99" + bytes(200), b"text" * 50, b"\x1f\x8b\x08"])
def test_other_bytes_are_not_dicom(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert not looks_like_dicom(opening(path))
    with pytest.raises(ScanError, match="file is not a DICOM file"):
        read_dicom(path)


def test_chance_bytes_that_begin_like_a_dataset_are_one_sentence(tmp_path):
    path = tmp_path / "file"
    for seed in range(50):
        path.write_bytes(b"\x08\x00\x05\x00" + np.random.default_rng(seed).bytes(400))
        with pytest.raises(ScanError):
            read_dicom(path)


def test_index_of_files_points_to_the_folder():
    path = Path(get_testdata_file("DICOMDIR-nooffset", download=False) or "")
    if not path.is_file():
        pytest.skip("pydicom ships no DICOMDIR here")
    with pytest.raises(ScanError, match="index of DICOM files; open the folder"):
        read_dicom(path)
