"""Mosaics are taken apart or refused; the geometry is tested on real ones in test_dicom."""

import numpy as np
import pytest

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom


def test_mosaic_without_private_header_is_refused(write_dicom):
    path = write_dicom("mosaic", np.zeros((8, 8), np.uint16), ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
    with pytest.raises(ScanError, match="Siemens mosaic without the private header"):
        read_dicom(path)


@pytest.mark.shared
def test_mosaic_whose_tiles_do_not_fit_is_refused(unpacked):
    with pytest.raises(ScanError, match="mosaic of 7 x 7 tiles but 256 x 256 pixels"):
        read_dicom(unpacked("nibabel") / "nicom" / "0.dcm")
