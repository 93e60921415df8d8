"""A SOP instance UID is no proof of identity; what is left out is counted."""

import numpy as np
import pytest

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)
ONE = "1.2.826.0.1"


@pytest.mark.parametrize("uid", [ONE, "1.2.826.0.1.anonymized"])
def test_slices_that_share_one_uid_are_all_read(write_dicom, tmp_path, uid):
    for k in range(4):
        write_dicom(f"{k}", PIXELS + k, tmp_path / "s", ImagePositionPatient=[0, 0, 3.0 * k], SOPInstanceUID=uid)
    (scan,) = read_dicom(tmp_path / "s")
    np.testing.assert_array_equal(scan.array[0, 0], range(4))
    assert scan.notes == ("3 files hold another image under the UID of one that is there already: all were read",)


def test_times_at_one_place_that_share_a_uid_are_all_read(write_dicom, tmp_path):
    for t in range(3):
        write_dicom(f"{t}", PIXELS + t, tmp_path / "s", InstanceNumber=t + 1, SOPInstanceUID=ONE)
    assert read_dicom(tmp_path / "s")[0].shape == (4, 3, 1, 3)


def test_equal_pixels_at_other_places_are_no_copies(write_dicom, tmp_path):
    for k in range(3):
        write_dicom(f"{k}", PIXELS, tmp_path / "s", ImagePositionPatient=[0, 0, 3.0 * k], SOPInstanceUID=ONE)
    assert read_dicom(tmp_path / "s")[0].shape == (4, 3, 3)


def test_copies_are_left_out_and_counted(write_dicom, tmp_path):
    for name in ("a", "b", "c"):
        write_dicom(name, PIXELS, tmp_path / "s", SOPInstanceUID=ONE)
    (scan,) = read_dicom(tmp_path / "s")
    assert scan.shape == (4, 3, 1)
    assert scan.notes == ("left out: 2 files hold the image of another file again (same UID, place and pixels)",)


def test_films_that_share_a_uid_are_not_stacked(write_dicom, tmp_path):
    for k in range(2):
        write_dicom(
            f"{k}", PIXELS + k, tmp_path / "s", Modality="DX", ImagePositionPatient=None, ImageOrientationPatient=None,
            SOPInstanceUID=ONE,
        )  # fmt: skip
    assert [scan.shape for scan in read_dicom(tmp_path / "s")] == [(4, 3, 1)] * 2


@pytest.mark.parametrize("changed", [{"SeriesNumber": 9}, {"PatientID": "other"}])
def test_series_and_patients_that_share_a_series_uid_are_not_mixed(write_dicom, tmp_path, changed):
    for k, own in enumerate(({"PatientID": "one"}, {"PatientID": "one", **changed})):
        write_dicom(f"{k}", PIXELS + k, tmp_path / "s", **own)
    scans = read_dicom(tmp_path / "s")
    assert [scan.shape for scan in scans] == [(4, 3, 1)] * 2
    assert "its series holds 2 scans, which differ in their" in scans[0].notes[0]


def test_series_without_a_uid_are_told_apart_by_description(write_dicom, tmp_path):
    for k, text in enumerate(("t1", "t2")):
        write_dicom(f"{k}", PIXELS, tmp_path / "s", SeriesInstanceUID="anonymized", SeriesDescription=text)
    assert [scan.name for scan in read_dicom(tmp_path / "s")] == ["7 t1", "7 t2"]


@pytest.fixture
def twice(write_dicom, tmp_path):
    """Four slices of a time 0 and those of ``again`` of a time 1, each with a UID of its own."""

    def write(again, pixels=lambda k, t: PIXELS + k, **elements):
        for k, t in [(k, 0) for k in range(4)] + [(k, 1) for k in again]:
            own = {name: value(k, t) for name, value in elements.items()}
            own = {"InstanceNumber": k + 1, "ImagePositionPatient": [0, 0, 3.0 * k], **own}
            write_dicom(f"{k}{t}", pixels(k, t), tmp_path / "s", **own)
        return tmp_path / "s"

    return write


@pytest.mark.parametrize(("again", "told"), [([1], "1 file holds"), ([0, 1, 2, 3], "4 files hold")])
def test_copies_under_other_uids_are_left_out_and_counted(twice, again, told):
    (scan,) = read_dicom(twice(again))
    np.testing.assert_array_equal(scan.array[0, 0], range(4))
    assert scan.notes == (
        f"left out: {told} the image of another file again under another UID (same place, instance number and pixels)",
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("InstanceNumber", lambda k, t: 4 * t + k + 1),
        ("TemporalPositionIdentifier", lambda k, t: t + 1),
        ("AcquisitionTime", lambda k, t: f"12000{t}"),
        ("InstanceNumber", lambda k, t: 0),
    ],
)
def test_equal_volumes_that_something_tells_apart_are_both_read(twice, name, value):
    (scan,) = read_dicom(twice(range(4), **{name: value}))
    assert scan.shape == (4, 3, 4, 2)


def test_empty_slice_of_two_volumes_that_nothing_tells_apart_is_no_copy(twice):
    (scan,) = read_dicom(twice(range(4), lambda k, t: PIXELS * 0 if k == 0 else PIXELS + 9 * t))
    assert scan.shape == (4, 3, 4, 2)


def test_two_images_that_differ_at_one_position_are_told_and_not_called_missing(twice):
    with pytest.raises(ScanError) as caught:
        read_dicom(twice([2], lambda k, t: PIXELS + t))
    assert "has 2 images that differ at its slice position 3 of 4 (ImagePositionPatient 0, 0, 6)" in str(caught.value)
    assert "missing" not in str(caught.value)
