"""Derived series of sources as they come: order kept, nothing merged by UID, no zeros, no place that was a guess."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from napari_brgm.scans.dicom import read_dicom
from napari_brgm.scans.dicom_export import write_dicom as write_series

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)
RECORD = {
    "software": {"name": "napari-brgm", "version": "0.1.0"}, "prior": {"name": "p", "sha256": "ab" * 32},
    "method": "map", "task": "in-paint", "role": "restored", "notes": [],
}  # fmt: skip
BOTH = {"ImagePositionPatient": None, "ImageOrientationPatient": None}


def exported(scan, folder, **changes):
    """Files of the derived series, and the scan read back from them."""
    files = write_series(replace(scan, provenance=RECORD, **changes), folder)
    (back,) = read_dicom(folder)
    return [pydicom.dcmread(file) for file in files], back


def finer(scan):
    """Twice as fine in the plane, edges kept."""
    index = np.diag([0.5, 0.5, 1, 1])
    index[:2, 3] = -0.25
    return np.repeat(np.repeat(scan.array, 2, 0), 2, 1), scan.affine @ index


@pytest.mark.parametrize("number", [lambda k, t: 3 * k + t + 1, lambda k, t: 5 * t + k + 1])
def test_order_of_volumes_survives(write_dicom, tmp_path, number):
    for k in range(5):
        for t in range(3):
            write_dicom(
                f"{k}{t}", PIXELS + 100 * t + k, tmp_path / "s", ImagePositionPatient=[0, 0, 3.0 * k],
                InstanceNumber=number(k, t), AcquisitionNumber=19 if (k, t) in ((1, 2), (3, 1)) else 22,
                DiffusionBValue=1000.0 * bool(t), DiffusionGradientOrientation=[float(t == n) for n in range(3)],
            )  # fmt: skip
    (scan,) = read_dicom(tmp_path / "s")
    np.testing.assert_array_equal(scan.array[0, 0, 0], [0, 100, 200])
    files, back = exported(scan, tmp_path / "out")
    np.testing.assert_array_equal(back.array, scan.array)
    np.testing.assert_array_equal(back.affine, scan.affine)
    assert [int(file.InstanceNumber) for file in files] == list(range(1, 16))


def test_one_volume_of_a_jumbled_series_has_its_own_sources(write_dicom, tmp_path):
    """``--volume 1``: the 3-D result refers to the images of that volume, whatever their acquisition numbers."""
    for k in range(3):
        for t in range(2):
            write_dicom(
                f"{k}{t}", PIXELS + 100 * t, tmp_path / "s", ImagePositionPatient=[0, 0, 3.0 * k],
                InstanceNumber=2 * k + t + 1, AcquisitionNumber=(k + t) % 2, TemporalPositionIdentifier=t + 1,
            )  # fmt: skip
    (scan,) = read_dicom(tmp_path / "s")
    record = {**RECORD, "slices": [{"index": [1, 0, 0, 0]}]}
    files = write_series(replace(scan, array=scan.array[..., 1], provenance=record), tmp_path / "out")
    sources = [pydicom.dcmread(file).SourceImageSequence[0].ReferencedSOPInstanceUID for file in files]
    assert sources == [scan.header.stack.frames[1][k].dataset.SOPInstanceUID for k in range(3)]


def test_sources_that_share_a_uid_are_not_merged(write_dicom, tmp_path):
    for k in range(4):
        write_dicom(
            f"{k}", PIXELS + k, tmp_path / "s", ImagePositionPatient=[0, 0, 3.0 * k], SOPInstanceUID="1.2.826.0.1"
        )
    (scan,) = read_dicom(tmp_path / "s")
    files, back = exported(scan, tmp_path / "out")
    np.testing.assert_array_equal(back.array, scan.array)
    assert len({file.SOPInstanceUID for file in files}) == 4


def test_slope_of_zero_is_not_written_again(write_dicom, tmp_path):
    (scan,) = read_dicom(write_dicom("zero", PIXELS, RescaleSlope="0", RescaleIntercept="-5"))
    (file,), back = exported(scan, tmp_path / "out")
    assert (file.RescaleSlope, file.RescaleIntercept) == (1, 0)
    np.testing.assert_array_equal(file.pixel_array, PIXELS)
    assert back.notes == ()


def test_place_that_was_a_guess_is_not_written(write_dicom, tmp_path):
    for k in range(3):
        write_dicom(f"{k}", PIXELS + k, tmp_path / "s", **BOTH, InstanceNumber=k + 1, SliceLocation=4.0 * k)
    (scan,) = read_dicom(tmp_path / "s")
    array, affine = finer(scan)
    files, back = exported(scan, tmp_path / "out", array=array, affine=affine)
    assert not any(keyword in file for file in files for keyword in BOTH)
    assert [float(file.SliceLocation) for file in files] == [0, 4, 8]
    np.testing.assert_allclose(back.spacing, [0.25, 1, 4])
    np.testing.assert_array_equal(back.array, array)


def test_tiles_become_placed_images(write_dicom, tmp_path):
    path = write_dicom("vframe", np.kron([[1, 2], [3, 4]], np.ones((8, 8))).astype(np.uint16), **BOTH)
    dataset = pydicom.dcmread(path)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "VFRAME"]
    places = []
    for k in range(4):
        item = Dataset()
        item.ImagePositionPatient, item.ImageOrientationPatient = [-14, -14, 4.0 * k], [1, 0, 0, 0, 1, 0]
        places.append(item)
    dataset.private_block(0x0065, "Image Private Header", create=True).add_new(0x51, "SQ", places)
    dataset.save_as(path)
    (scan,) = read_dicom(path)
    files, back = exported(scan, tmp_path / "out")
    assert all("VFRAME" not in file.ImageType for file in files)
    np.testing.assert_array_equal(back.array, scan.array)
    np.testing.assert_allclose(back.affine, scan.affine)


def test_geometry_of_nuclear_medicine_stays_with_its_detector(write_dicom, tmp_path):
    item = Dataset()
    item.ImagePositionPatient, item.ImageOrientationPatient = [-10, -20, 5], [1, 0, 0, 0, 1, 0]
    path = write_dicom(
        "nm", PIXELS, **BOTH, Modality="NM", SOPClassUID="1.2.840.10008.5.1.4.1.1.20", SliceThickness=3,
        DetectorInformationSequence=[item],
    )  # fmt: skip
    (scan,) = read_dicom(path)
    array, affine = finer(scan)
    (file,), back = exported(scan, tmp_path / "out", array=array, affine=affine)
    assert "ImagePositionPatient" not in file
    np.testing.assert_allclose(back.affine[:, :2], affine[:, :2])
    np.testing.assert_allclose(back.affine[:, 3], affine[:, 3])


def test_shape_of_pixels_follows_a_finer_grid(write_dicom, tmp_path):
    path = write_dicom("film", PIXELS, **BOTH, Modality="DX", PixelSpacing=None, PixelAspectRatio=[2, 1])
    (scan,) = read_dicom(path)
    index = np.diag([1, 0.5, 1, 1])
    index[1, 3] = -0.25
    (file,), back = exported(scan, tmp_path / "out", array=np.repeat(scan.array, 2, 1), affine=scan.affine @ index)
    assert float(file.PixelAspectRatio[0]) == float(file.PixelAspectRatio[1])
    np.testing.assert_allclose(back.spacing[:2], [1, 1])
