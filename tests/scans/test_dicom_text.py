"""Words of a file are shown without control characters, and bytes of a file are never quoted raw."""

from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGLSLossless

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def assert_plain(text):
    assert text.isprintable(), text


def test_series_description_with_escape_sequences(write_dicom):
    (scan,) = read_dicom(write_dicom("red", PIXELS, SeriesDescription="t1 \x1b[31mred\r\n\x07  end"))
    assert_plain(scan.name)
    assert scan.name.startswith("7 t1 ")


def test_units_modality_and_image_type_with_escape_sequences(write_dicom, tmp_path):
    for k, word in enumerate(("A\x1b[2J", "B\x07")):
        write_dicom(
            f"{k}", PIXELS, tmp_path / "s", RescaleType="HU\x1b[0m", RescaleSlope="2", RescaleIntercept="0",
            Modality="MR\x1b]0;", ImageType=["O", "P", word],
        )  # fmt: skip
    for scan in read_dicom(tmp_path / "s"):
        for text in (scan.name, scan.units, scan.modality, *scan.notes):
            assert_plain(text)


def test_transfer_syntax_that_is_no_uid_is_not_quoted_raw(tmp_path):
    content = Path(get_testdata_file("MR_small_jpeg_ls_lossless.dcm", download=False)).read_bytes()
    path = tmp_path / "odd.dcm"
    path.write_bytes(content.replace(str(JPEGLSLossless).encode(), b"1.2.8\x1b[31m.1008.1.2.4"))
    with pytest.raises(ScanError) as caught:
        read_dicom(path)
    assert_plain(str(caught.value))
