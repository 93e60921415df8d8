"""Stacking: order, spacing from positions, gaps, repeats, stations."""

import itertools

import numpy as np
import pytest

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom


def plane(value):
    return np.full((3, 4), value, np.uint16)


@pytest.fixture
def series(write_dicom, tmp_path):
    """Write one plane a position, in the order given, with wrong slice thickness and distance."""

    def write(positions, **elements):
        for number, position in enumerate(positions):
            changed = {key: value[number] if isinstance(value, list) else value for key, value in elements.items()}
            write_dicom(
                f"{number:03}", plane(number), tmp_path / "s", ImagePositionPatient=list(position), SliceThickness=99,
                SpacingBetweenSlices=77, **{"InstanceNumber": number + 1, **changed},
            )  # fmt: skip
        return tmp_path / "s"

    return write


def test_affine_maps_lps_to_ras_with_row_and_column_spacing(series):
    (scan,) = read_dicom(series([(-10, -20, 30), (-10, -20, 34), (-10, -20, 38)]))
    expected = [[-0.5, 0, 0, 10], [0, -2, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]]  # PixelSpacing is 2 (rows), 0.5
    np.testing.assert_allclose(scan.affine, expected, atol=1e-12)
    assert scan.shape == (4, 3, 3)
    np.testing.assert_array_equal(scan.array[0, 0], [0, 1, 2])
    assert scan.slice("axial", 0).image.shape == (3, 4)


def test_pixels_lie_as_in_the_file(write_dicom):
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    (scan,) = read_dicom(write_dicom("one", pixels))
    np.testing.assert_array_equal(scan.slice("axial", 0).image, pixels)  # supine, head first: shown as stored
    assert scan.plane == "axial"


def test_slices_are_sorted_along_the_normal_whatever_the_instance_number(series):
    (scan,) = read_dicom(series([(0, 0, z) for z in (6.0, 0.0, 4.0, 2.0)]))
    np.testing.assert_array_equal(scan.array[0, 0], [1, 3, 2, 0])
    np.testing.assert_allclose(scan.affine[:3, 2], [0, 0, 2])
    assert scan.notes == ()


def test_tilted_gantry_keeps_its_shear(series):
    (scan,) = read_dicom(series([(0, 0.3 * k, 2.0 * k) for k in range(4)]))
    np.testing.assert_allclose(scan.affine[:3, 2], [0, -0.3, 2], atol=1e-12)


def test_rounded_positions_are_one_stack(series):
    (scan,) = read_dicom(series([(0, 0, z) for z in (0.0, 0.6, 1.3, 1.9, 2.5)]))  # 0.625 mm, rounded to 0.1
    assert scan.spacing[2] == pytest.approx(0.625)
    assert scan.notes == ()


def test_missing_slice_splits_the_stack_and_says_so(series):
    first, second = read_dicom(series([(0, 0, float(z)) for z in (0, 2, 4, 6, 10, 12)]))
    assert (first.shape[2], second.shape[2]) == (4, 2)
    np.testing.assert_array_equal(first.array[0, 0], [0, 1, 2, 3])
    np.testing.assert_allclose([first.affine[2, 3], second.affine[2, 3]], [0, 10])
    np.testing.assert_allclose([first.spacing[2], second.spacing[2]], [2, 2])
    assert "slices are missing or unevenly spaced (2 to 4 mm apart)" in first.notes[0]
    assert (first.name, second.name) == ("7 made up (1)", "7 made up (2)")


def test_change_of_slice_distance_splits_the_stack(series):
    scans = read_dicom(series([(0, 0, float(z)) for z in (0, 5, 10, 15, 16, 17, 18, 19, 20)]))
    assert [scan.shape[2] for scan in scans] == [3, 6]
    np.testing.assert_allclose([scan.spacing[2] for scan in scans], [5, 1])


def test_repeated_positions_become_times(series):
    positions = [(0, 0, 3.0 * k) for _ in range(3) for k in (1, 0)]
    (scan,) = read_dicom(series(positions))
    assert scan.shape == (4, 3, 2, 3)
    np.testing.assert_array_equal(scan.array[0, 0], [[1, 3, 5], [0, 2, 4]])


def test_temporal_position_goes_before_the_instance_number(series):
    positions = [(0, 0, 3.0 * k) for k in (0, 1) for _ in range(2)]
    (scan,) = read_dicom(series(positions, TemporalPositionIdentifier=[2, 1, 2, 1]))
    np.testing.assert_array_equal(scan.array[0, 0], [[1, 0], [3, 2]])


def test_run_stopped_early_loses_its_last_volume_only(series):
    positions = [(0, 0, 3.0 * k) for _ in range(3) for k in range(3)][:-1]
    (scan,) = read_dicom(series(positions))
    assert scan.shape == (4, 3, 3, 2)
    assert scan.notes == ("the last volume is incomplete and was left out",)


@pytest.mark.parametrize("step", [(0, 0, 0.25), (0, 0, 0.45), (0, 0, 1 / 3), (0, -0.1, 0.24), (0.03, 0, -0.25)])
def test_even_positions_that_were_rounded_are_one_scan_with_a_note(series, step):
    places = [[round(at + k * by, 1) for at, by in zip((-8, 5.3, 40), step, strict=True)] for k in range(12)]
    (scan,) = read_dicom(series(places))
    assert scan.shape == (4, 3, 12)
    np.testing.assert_allclose(scan.spacing[2], np.linalg.norm(step), atol=0.1 / 11)
    assert "positions are rounded to 0.1 mm: slices 0." in scan.notes[0]


def test_slice_missing_among_rounded_positions_splits_them(series):
    heights = [round(0.25 * k, 1) for k in range(12) if k != 6]
    scans = read_dicom(series([(0, 0, z) for z in heights]))
    assert [scan.shape[2] for scan in scans] == [6, 5]
    assert "slices are missing or unevenly spaced (0.2 to 0.6 mm apart)" in scans[0].notes[0]
    assert "positions are rounded to 0.1 mm" in scans[0].notes[1]


@pytest.mark.parametrize("heights", [[0, 2, 6, 8], [0, 2, 4, 6, 9, 12, 15], [0, 1, 2, 4, 5], [0.0, 0.2, 0.4, 0.8]])
def test_uneven_positions_are_not_taken_for_rounded_ones(series, heights):
    scans = read_dicom(series([(0, 0, z) for z in heights]))
    assert len(scans) > 1


def test_image_missing_inside_a_run_is_refused(series):
    positions = [
        (0, 0, 3.0 * k) for k in range(3) for _ in range(3)
    ]  # slice after slice: no telling which time is gone
    with pytest.raises(ScanError, match="8 images at 3 slice positions, between 2 and 3 at each"):
        read_dicom(series(positions[:4] + positions[5:]))


@pytest.mark.parametrize("numbered", [True, False])
def test_echoes_are_in_their_order_whatever_the_files_are_called_and_say_which_they_are(series, numbered):
    echoes = [10.0, 5.0] * 3
    elements = {"EchoNumbers": [2, 1] * 3} if numbered else {}
    scans = read_dicom(series([(0, 0, 3.0 * (n // 2)) for n in range(6)], EchoTime=echoes, **elements))
    np.testing.assert_array_equal([scan.array[0, 0] for scan in scans], [[1, 3, 5], [0, 2, 4]])
    for scan, number, time in zip(scans, (1, 2), (5, 10), strict=True):
        own = f"echo number {number} and echo time {time} ms" if numbered else f"echo time {time} ms"
        assert scan.notes[0].endswith(f"echo time (5 to 10 ms); this one has {own}")


def test_echoes_orientations_and_types_are_scans_of_their_own(series):
    positions = [(0, 0, 2.0 * k) for k in (0, 1)] * 3
    scans = read_dicom(
        series(
            positions,
            EchoTime=[5, 5, 9, 9, 5, 5],
            ImageType=[["ORIGINAL", "PRIMARY", kind] for kind in "MMMMPP"],
        )
    )
    assert [scan.shape for scan in scans] == [(4, 3, 2)] * 3
    assert [scan.array[0, 0, 0] for scan in scans] == [0, 2, 4]


def test_localizer_planes_are_apart(series):
    axes = [[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1]]
    scans = read_dicom(series([(0, 0, 0)] * 3, ImageOrientationPatient=axes))
    assert [scan.plane for scan in scans] == ["axial", "coronal", "sagittal"]


def test_stations_side_by_side_are_not_times(series):
    positions = [(x, 0, 2.0 * k) for x, k in itertools.product((0, 100), range(3))]
    scans = read_dicom(series(positions))
    assert [scan.shape for scan in scans] == [(4, 3, 3)] * 2
    assert [scan.affine[0, 3] for scan in scans] == [0, -100]


@pytest.mark.parametrize(
    "elements",
    [
        {"ImagePositionPatient": [1e9, 0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"PixelSpacing": [0, 1]},
        {"PixelSpacing": [-1, 1]},
    ],
)
def test_impossible_geometry_is_refused(write_dicom, elements):
    with pytest.raises(ScanError, match="impossible position, orientation or pixel size"):
        read_dicom(write_dicom("bad", plane(0), **elements))


def test_images_in_one_place_with_other_slice_locations_are_told(series):
    (scan,) = read_dicom(series([(0, 0, 0)] * 3, SliceLocation=[0, 3, 6]))
    assert scan.shape == (4, 3, 1, 3)
    assert "one position and different slice locations" in scan.notes[0]


def test_shifts_about_the_tolerance_end(series):
    """Images at -0.2, 0 and 0.2 mm, half a pixel being 0.25: the outer two are too far apart, either is near 0."""
    scans = read_dicom(series([(x, 0, 2.0 * k) for x in (0, 0.2, -0.2) for k in range(2)]))
    assert sum(scan.volumes for scan in scans) == 3
