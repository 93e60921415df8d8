"""Cross-sections whose files do not say where they lie are stacked and told; projections lie upright without a word."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_brgm.scans.dicom import read_dicom

BOTH = ("ImagePositionPatient", "ImageOrientationPatient")


@pytest.fixture
def series(write_dicom, tmp_path):
    """Five slices, each of one value, that lack some elements; ``elements`` may be functions of k."""

    def write(lacking, order=range(5), **elements):
        for k in order:
            own = {name: value(k) if callable(value) else value for name, value in elements.items()}
            own = {"ImagePositionPatient": [0, 0, 3.0 * k], **own, **dict.fromkeys(lacking)}
            write_dicom(
                f"{order.index(k)}", np.full((3, 4), k, np.uint16), tmp_path / "s", SliceThickness=3,
                **{"InstanceNumber": k + 1, **own},
            )  # fmt: skip
        return tmp_path / "s"

    return write


@pytest.mark.parametrize("modality", ["MR", "CT", "PT", "NM"])
def test_sections_without_a_place_are_one_axial_stack(series, modality):
    uid = {"MR": "4", "CT": "2", "PT": "128", "NM": "20"}[modality]
    path = series(BOTH, [3, 1, 4, 0, 2], Modality=modality, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{uid}")
    (scan,) = read_dicom(path)
    assert (scan.shape, scan.plane) == ((4, 3, 5), "axial")
    np.testing.assert_array_equal(scan.array[0, 0], range(5))
    np.testing.assert_allclose(scan.spacing, [0.5, 2, 3])
    assert "neither position nor orientation of their slices: axial ones are assumed" in scan.notes[0]
    assert "instance numbers, 3 mm apart; where they lie is a guess" in scan.notes[0]


def test_a_modality_that_was_cleaned_leaves_the_sop_class(series):
    (scan,) = read_dicom(series(BOTH, Modality=""))
    assert scan.shape == (4, 3, 5)


def test_slice_locations_go_before_instance_numbers(series):
    (scan,) = read_dicom(series(BOTH, SliceLocation=lambda k: -2.5 * k))
    np.testing.assert_array_equal(scan.array[0, 0], [4, 3, 2, 1, 0])
    assert scan.spacing[2] == pytest.approx(2.5)
    assert "slice locations, 2.5 mm apart" in scan.notes[0]


def test_positions_are_kept_where_only_the_orientation_is_missing(series):
    (scan,) = read_dicom(series(("ImageOrientationPatient",), ImagePositionPatient=lambda k: [-10.0, 5.0 * k, 30.0]))
    assert (scan.shape, scan.plane) == ((4, 3, 5), "coronal")  # the plane across the line of the positions
    np.testing.assert_allclose(scan.affine[:3, 2:].T, [[0, -5, 0], [10, 0, 30]])
    assert "give positions but no orientation" in scan.notes[0]


def test_orientation_is_kept_where_only_the_position_is_missing(series):
    (scan,) = read_dicom(
        series(("ImagePositionPatient",), ImageOrientationPatient=[0, 1, 0, 0, 0, -1], SliceLocation=lambda k: 4.0 * k)
    )
    assert (scan.shape, scan.plane) == ((4, 3, 5), "sagittal")
    assert "give no positions of their slices: in the order of their slice locations" in scan.notes[0]


def test_patient_orientation_says_the_plane(series):
    (scan,) = read_dicom(series(BOTH, PatientOrientation=["L", "F"]))
    assert (scan.shape, scan.plane) == ((4, 3, 5), "coronal")


def test_images_with_and_without_a_place_are_not_mixed(series):
    scans = read_dicom(series((), ImagePositionPatient=lambda k: None if k == 4 else [0, 0, 3.0 * k]))
    assert [scan.shape[2] for scan in scans] == [4, 1]
    assert "its series holds 2 scans, which differ in their position (some have none)" in scans[0].notes


@pytest.mark.parametrize("elements", [{"Modality": "CR"}, {"Modality": "CT", "ImageType": ["O", "P", "LOCALIZER"]}])
def test_projections_are_not_stacked_and_not_told(series, elements):
    scans = read_dicom(series(BOTH, SOPClassUID="1.2.840.10008.5.1.4.1.1.2", **elements))
    assert [(scan.shape, scan.plane) for scan in scans] == [((4, 3, 1), "coronal")] * 5
    assert scans[0].notes == ()


def test_ultrasound_is_told_to_be_placed_by_assumption(series):
    scans = read_dicom(series(BOTH, Modality="US", SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1"))
    assert len(scans) == 5
    assert "an upright frontal view is assumed" in scans[0].notes[0]


@pytest.mark.parametrize(
    ("distance", "vector", "expected"),
    [(4, [1, 2, 3, 4], [0, 1, 2, 3]), (4, [4, 3, 2, 1], [3, 2, 1, 0]), (-4, [1, 2, 3, 4], [3, 2, 1, 0])],
)
def test_slices_of_nuclear_medicine_without_a_position_follow_their_slice_vector(
    write_dicom, distance, vector, expected
):
    detector = Dataset()
    detector.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    pixels = np.arange(4, dtype=np.uint16)[:, None, None] * np.ones((1, 3, 4), np.uint16)
    path = write_dicom(
        "recon", pixels, SOPClassUID="1.2.840.10008.5.1.4.1.1.20", Modality="NM", NumberOfFrames=4,
        ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"], SliceVector=vector, SpacingBetweenSlices=distance,
        DetectorInformationSequence=[detector], **dict.fromkeys(BOTH),
    )  # fmt: skip
    (scan,) = read_dicom(path)
    np.testing.assert_array_equal(scan.array[0, 0], expected)
    np.testing.assert_allclose(scan.spacing, [0.5, 2, 4])
    assert scan.notes == (
        "the files give no positions of their slices: in the order of their slice vector, 4 mm apart; "
        "where they lie is a guess",
    )
