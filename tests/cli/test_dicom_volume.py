"""``--volume N`` of a DICOM series is the Nth volume as it was acquired, whatever number a scanner wrote into it."""

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from napari_brgm.cli.inputs import open_scan


@pytest.fixture
def folder(tmp_path):
    """Three slices of two directions; the acquisition number of one image is another's."""
    source = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
    for k in range(3):
        for t in range(2):
            source.SOPInstanceUID, source.InstanceNumber = generate_uid(), 2 * k + t + 1
            source.AcquisitionNumber, source.DiffusionBValue = 1 + (k == 1 and t == 0), 1000.0 * t
            source.ImagePositionPatient = [0, 0, 3 * k]
            source.PixelData = np.full((64, 64), 100 * t + k, "<i2").tobytes()
            source.save_as(tmp_path / f"{k}{t}.dcm")
    return tmp_path


@pytest.mark.parametrize("volume", [0, 1])
def test_volume_holds_its_own_slices(folder, volume):
    scan = open_scan(folder, None, volume)
    assert scan.volumes == 1
    assert np.unique(scan.array).tolist() == [100 * volume + k for k in range(3)]
