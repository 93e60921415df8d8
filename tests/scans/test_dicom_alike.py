"""Headers round and patients move: what counts as equal scales with the image, and what is split says why."""

import numpy as np
import pytest

from napari_brgm.scans.dicom import read_dicom
from napari_brgm.scans.dicom_alike import labels_of


@pytest.fixture
def volumes(write_dicom, tmp_path):
    """Six slices at each of four times; ``place(k, t)`` is a position, other elements may be functions of (k, t)."""

    def write(place, slices=6, times=4, **elements):
        for t in range(times):
            for k in range(slices):
                own = {name: value(k, t) if callable(value) else value for name, value in elements.items()}
                write_dicom(
                    f"{t}{k}", np.full((16, 16), 10 * t + k, np.uint16), tmp_path / "s",
                    ImagePositionPatient=[round(float(x), 6) for x in place(k, t)],
                    **{"InstanceNumber": slices * t + k + 1, "SliceThickness": 3, "PixelSpacing": [2, 2], **own},
                )  # fmt: skip
        return read_dicom(tmp_path / "s")

    return write


@pytest.mark.parametrize(
    "elements",
    [
        {"PixelSpacing": lambda k, t: [0.488281, 0.488281] if k % 2 else [0.48828125, 0.48828125]},
        {"EchoTime": lambda k, t: 4.76 if k % 2 else 4.7600002},
        {"ImageOrientationPatient": lambda k, t: [1, 0.0004 * (k % 2), 0, -0.0004 * (k % 2), 1, 0]},
        {"ImagePositionPatient": None},
    ],
)
def test_rounding_does_not_split_a_series(volumes, elements):
    elements.pop("ImagePositionPatient", None)
    (scan,) = volumes(lambda k, t: (0, 0, 3 * k), times=1, **elements)
    assert (scan.shape, scan.notes) == ((16, 16, 6), ())


def test_other_pixel_size_or_echo_is_another_scan_and_told(volumes):
    scans = volumes(lambda k, t: (0, 0, 3 * k), times=2, PixelSpacing=lambda k, t: [2, 2] if t else [2.1, 2.1])
    assert [scan.shape for scan in scans] == [(16, 16, 6)] * 2
    assert scans[0].notes == ("its series holds 2 scans, which differ in their pixel size (2 to 2.1 mm between rows)",)


@pytest.mark.parametrize("thickness", [3, 77])  # 77: wrong, so that only the order of the instances tells
def test_volumes_moved_by_motion_correction_are_one_series(volumes, thickness):
    (scan,) = volumes(lambda k, t: (0, 0.03 * t, 3 * k + 0.05 * t), SliceThickness=thickness)
    assert scan.shape == (16, 16, 6, 4)
    np.testing.assert_array_equal(scan.array[0, 0], [[10 * t + k for t in range(4)] for k in range(6)])
    np.testing.assert_allclose(scan.spacing, [2, 2, 3])
    assert scan.affine[2, 3] == 0  # of the first volume
    assert "moved by up to 0.15 mm along the normal, as motion correction does" in scan.notes[0]


def test_volumes_moved_in_their_plane_and_turned_are_one_series_and_told(volumes):
    (scan,) = volumes(
        lambda k, t: (0.2 * t, 0, 3 * k), ImageOrientationPatient=lambda k, t: [1, 0.001 * t, 0, -0.001 * t, 1, 0]
    )
    assert scan.shape == (16, 16, 6, 4)
    assert "turned against each other by up to 0.17 degrees" in scan.notes[0]


def test_volumes_moved_by_more_than_a_quarter_of_the_distance_are_scans_of_their_own(volumes):
    scans = volumes(lambda k, t: (0, 0, 3 * k + 1.1 * t), times=2, TemporalPositionIdentifier=lambda k, t: t + 1)
    assert [scan.shape for scan in scans] == [(16, 16, 6)] * 2
    np.testing.assert_array_equal(scans[1].array[0, 0], range(10, 16))
    assert "its volumes lie too far apart for one grid" in scans[0].notes[0]


def test_slices_of_two_slabs_are_not_times(volumes):
    """Pairs of slices 1 mm apart, 20 mm between pairs, numbered pair by pair: near each other, but no repetitions."""
    scans = volumes(lambda k, t: (0, 0, 20 * t + k), slices=2, SliceThickness=1)
    assert [scan.shape for scan in scans] == [(16, 16, 2)] * 4


def test_slices_of_a_microscope_are_not_times(volumes):
    (scan,) = volumes(lambda k, t: (0, 0, 0.004 * k), times=1, PixelSpacing=[0.004, 0.004], SliceThickness=0.004)
    assert scan.shape == (16, 16, 6)
    np.testing.assert_allclose(scan.spacing, 0.004)


def test_groups_are_counted_from_their_first_member():
    """No chain: 0, 0.9 and 1.8 are two groups although each is near the next."""
    assert labels_of(np.array([[0.0], [0.9], [1.8]])).tolist() == [0, 0, 1]


def test_many_groups_take_no_pairs():
    points = np.random.default_rng(0).uniform(0, 100, (20000, 6))
    assert labels_of(points).max() > 10000
