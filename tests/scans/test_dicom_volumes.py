"""Which image at a position belongs to which volume: a key is taken only where it parts the images into whole ones."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_brgm.scans.dicom import read_dicom

SLICES, TIMES = 3, 4


def items(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return [dataset]


@pytest.fixture
def series(write_dicom, tmp_path):
    """Write an image for each slice and time, its pixels 100 t; elements are functions of (k, t, number)."""

    def write(instance=lambda k, t: TIMES * k + t + 1, private=None, **elements):
        for k in range(SLICES):
            for t in range(TIMES):
                own = {name: value(k, t) if callable(value) else value for name, value in elements.items()}
                own = {name: value for name, value in own.items() if value is not None}
                write_dicom(
                    f"{k}{t}", np.full((3, 4), 100 * t, np.uint16), tmp_path / "s", InstanceNumber=instance(k, t),
                    ImagePositionPatient=[0, 0, 3.0 * k], **own,
                )  # fmt: skip
        return tmp_path / "s"

    return write


def assert_sorted(scan, order=range(TIMES)):
    assert scan.array.shape == (4, 3, SLICES, TIMES)
    np.testing.assert_array_equal(scan.array[0, 0].T, np.repeat(100.0 * np.array(order)[:, None], SLICES, axis=1))


def jumbled(k, t):
    """An instance number that says nothing about the time: reversed at every other position."""
    return TIMES * k + (t if k % 2 else TIMES - t) + 1


def test_acquisition_number_that_lacks_positions_is_not_trusted(series):
    (scan,) = read_dicom(series(AcquisitionNumber=lambda k, t: 19 if (k, t) in ((1, 2), (2, 1)) else 22))
    assert_sorted(scan)
    assert "differ in their acquisition number: volumes were put together by instance number" in scan.notes[0]


def test_acquisition_number_that_parts_the_volumes_is_trusted(series):
    (scan,) = read_dicom(series(jumbled, AcquisitionNumber=lambda k, t: t + 1))
    assert_sorted(scan)
    assert scan.notes == ()


def test_acquisition_number_of_each_slice_is_no_volume_and_no_fault(series):
    (scan,) = read_dicom(series(AcquisitionNumber=lambda k, t: k + 1))
    assert_sorted(scan)
    assert scan.notes == ()


def test_temporal_position_goes_before_an_acquisition_number_that_contradicts_it(series):
    (scan,) = read_dicom(
        series(jumbled, TemporalPositionIdentifier=lambda k, t: t + 1, AcquisitionNumber=lambda k, t: TIMES - t)
    )
    assert_sorted(scan)


def test_temporal_position_that_lacks_positions_is_told_and_not_trusted(series):
    (scan,) = read_dicom(series(TemporalPositionIdentifier=lambda k, t: 9 if (k, t) == (1, 2) else t + 1))
    assert_sorted(scan)
    assert "images of one volume differ in their temporal index" in scan.notes[0]


DIRECTIONS = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0.6, 0.8]]


def test_gradients_keep_volumes_together_whatever_the_instance_number(series):
    path = series(
        lambda k, t: TIMES * k + (t if k != 1 or not t else TIMES - t) + 1,  # the weighted ones reversed in one slice
        DiffusionBValue=lambda k, t: 1000.0 * bool(t),
        DiffusionGradientOrientation=lambda k, t: DIRECTIONS[t],
    )
    (scan,) = read_dicom(path)
    assert_sorted(scan)


def test_volumes_without_weighting_stay_where_they_were_between_the_others(series):
    """Volume 2 has b = 0 as volume 0 has: both would come first if b-values put volumes in order."""
    b, along = [0.0, 1000.0, 0.0, 1000.0], [0, 1, 0, 2]
    (scan,) = read_dicom(
        series(DiffusionBValue=lambda k, t: b[t], DiffusionGradientOrientation=lambda k, t: DIRECTIONS[along[t]])
    )
    assert_sorted(scan)


def test_one_image_with_another_b_value_is_told(series):
    (scan,) = read_dicom(series(DiffusionBValue=lambda k, t: 700.0 if (k, t) == (1, 3) else 1000.0 * bool(t)))
    assert_sorted(scan)
    assert "differ in their b-value or gradient" in scan.notes[0]


def test_trigger_times_rank_the_images_of_each_position(series):
    """Beats differ from slice to slice, so that no two slices share a trigger time."""
    (scan,) = read_dicom(series(jumbled, TriggerTime=lambda k, t: (20.5 + k) * t + k))
    assert_sorted(scan)


def test_frame_reference_times_of_a_dynamic_pet_part_its_volumes(series):
    (scan,) = read_dicom(series(jumbled, Modality="PT", FrameReferenceTime=lambda k, t: 5000.0 * t))
    assert_sorted(scan)


def test_inversion_times_part_volumes_in_the_order_of_the_instances(series):
    """Two volumes at each of two inversion times."""
    (scan,) = read_dicom(series(InversionTime=lambda k, t: [900, 300, 900, 300][t]))
    assert_sorted(scan)


def test_images_without_instance_numbers_go_by_acquisition_time(series):
    (scan,) = read_dicom(series(lambda k, t: 1, AcquisitionTime=lambda k, t: f"12000{t}.5"))
    assert_sorted(scan)


def test_images_that_nothing_else_tells_apart_go_by_content_time(series):
    (scan,) = read_dicom(series(lambda k, t: 1, ContentTime=lambda k, t: f"12000{(3, 1, 2, 0)[t]}.{k:02d}"))
    assert_sorted(scan, (3, 1, 2, 0))
    assert scan.notes == ()


def test_acquisition_time_goes_before_content_time(series):
    clocks = {"AcquisitionTime": lambda k, t: f"12000{t}", "ContentTime": lambda k, t: f"12000{9 - t}"}
    (scan,) = read_dicom(series(lambda k, t: 1, **clocks))
    assert_sorted(scan)


def test_order_that_nothing_tells_is_told(series):
    (scan,) = read_dicom(series(lambda k, t: 1))
    assert "nothing in the files says which" in scan.notes[0]


def test_volume_that_lacks_a_slice_is_left_out_by_its_temporal_index(series):
    path = series(jumbled, TemporalPositionIdentifier=lambda k, t: t + 1)
    (path / "11").unlink()
    (scan,) = read_dicom(path)
    np.testing.assert_array_equal(scan.array[0, 0, 0], [0, 200, 300])
    assert "1 volumes (by temporal index) are incomplete: their 2 images were left out" in scan.notes[0]


def enhanced(write_dicom, order, indices, pointers=(0x00209057, 0x00189087), groups=lambda v: {}):
    """Frames of ``order`` (slice, volume) in one file; ``indices(k, v)`` are its dimension index values."""
    frames = [
        items(
            PlanePositionSequence=items(ImagePositionPatient=[0, 0, 3.0 * k]),
            FrameContentSequence=items(InStackPositionNumber=k + 1, **indices(k, v)),
            **groups(v),
        )[0]
        for k, v in order
    ]
    shared = items(
        PixelMeasuresSequence=items(PixelSpacing=[1, 1]),
        PlaneOrientationSequence=items(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    elements = {
        "PerFrameFunctionalGroupsSequence": frames,
        "SharedFunctionalGroupsSequence": shared,
        "DimensionIndexSequence": [items(DimensionIndexPointer=pointer)[0] for pointer in pointers],
        **dict.fromkeys(("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")),
    }
    pixels = np.array([np.full((3, 4), 100 * v, np.uint16) for _, v in order])
    (scan,) = read_dicom(write_dicom("enhanced", pixels, NumberOfFrames=len(order), **elements))
    return scan.array[0, 0].T


JUMBLED = [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize(
    ("indices", "pointers"),
    [
        (lambda k, v: {"DimensionIndexValues": [k + 1, v + 1]}, (0x00209057, 0x00189087)),
        (lambda k, v: {"DimensionIndexValues": [v + 1, 1, k + 1]}, (0x00189087, 0x00209056, 0x00209057)),
        (lambda k, v: {"DimensionIndexValues": [7 * k + 1, v + 1]}, ()),  # nothing says what they number
        (lambda k, v: {"TemporalPositionIndex": v + 1}, ()),
    ],
)
def test_dimension_and_temporal_indices_say_the_volume(write_dicom, indices, pointers):
    got = enhanced(write_dicom, JUMBLED, indices, pointers)
    np.testing.assert_array_equal(got, [[0, 0, 0], [100, 100, 100]])


@pytest.mark.parametrize(
    "groups",
    [
        lambda v: {"MRDiffusionSequence": items(DiffusionBValue=1000.0 * v)},
        lambda v: {"MRArterialSpinLabelingSequence": items(ASLContext=("CONTROL", "LABEL")[v])},
        lambda v: {"CardiacSynchronizationSequence": items(NominalCardiacTriggerDelayTime=40.0 * v)},
    ],
)
def test_frames_without_indices_go_by_what_was_measured(write_dicom, groups):
    got = enhanced(write_dicom, JUMBLED, lambda k, v: {}, (), groups)
    np.testing.assert_array_equal(got, [[0, 0, 0], [100, 100, 100]])
