"""A slope of 0 or NaN is none, with a note; values that are no numbers are told. One rule for all readers."""

import numpy as np
import pytest

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom

PIXELS = np.arange(10, 22, dtype=np.uint16).reshape(3, 4)


@pytest.mark.parametrize("slope", ["0", "0.0", "NaN"])
def test_slope_that_is_none_leaves_the_stored_values(write_dicom, slope):
    (scan,) = read_dicom(write_dicom("zero", PIXELS, RescaleSlope=slope, RescaleIntercept="-1024"))
    np.testing.assert_array_equal(scan.array[..., 0].T, PIXELS)
    assert "which is none: they are read as stored" in scan.notes[0]


def test_intercept_that_is_no_number_is_zero(write_dicom):
    (scan,) = read_dicom(write_dicom("nan", PIXELS, RescaleSlope="2", RescaleIntercept="NaN"))
    np.testing.assert_array_equal(scan.array[..., 0].T, 2.0 * PIXELS)
    assert "taken as 0" in scan.notes[0]


def test_slope_that_makes_infinities_is_told(write_dicom):
    (scan,) = read_dicom(write_dicom("huge", PIXELS, RescaleSlope="1e308", RescaleIntercept="0"))
    assert "12 of its 12 values are infinite or no number" in scan.notes[0]


def test_slope_that_is_no_number_is_said_to_be_that(write_dicom):
    path = write_dicom("word", PIXELS, RescaleSlope="7.5", RescaleIntercept="0")
    path.write_bytes(path.read_bytes().replace(b"DS\x04\x007.5 ", b"DS\x04\x00none"))
    with pytest.raises(ScanError, match="has a RescaleSlope that is no number"):
        read_dicom(path)
