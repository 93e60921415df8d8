"""Every place where the standard lets position, orientation and pixel size stand."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)
NM = {"Modality": "NM", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.20", "ImageType": ["ORIGINAL", "PRIMARY", "RECON TOMO"]}
BARE = {"ImagePositionPatient": None, "ImageOrientationPatient": None}


def items(**elements):
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return [dataset]


def detector(z=5.0):
    return items(ImagePositionPatient=[-10, -20, z], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])


def test_nuclear_medicine_keeps_its_geometry_in_the_detector(write_dicom, tmp_path):
    for k in range(3):
        write_dicom(f"{k}", PIXELS + k, tmp_path / "s", **NM, **BARE, DetectorInformationSequence=detector(4.0 * k))
    (scan,) = read_dicom(tmp_path / "s")
    np.testing.assert_allclose(scan.affine, [[-0.5, 0, 0, 10], [0, -2, 0, 20], [0, 0, 4, 0], [0, 0, 0, 1]])
    assert scan.notes == ()


@pytest.mark.parametrize("distance", [4.0, -4.0])
def test_frames_of_a_reconstruction_are_slices_along_the_normal(write_dicom, distance):
    """A positive distance stacks along the normal of rows and columns (PS3.3 C.8.4.15), a negative one against it."""
    pixels = np.stack([PIXELS, PIXELS + 100, PIXELS + 200])
    path = write_dicom(
        "tomo", pixels, **NM, **BARE, NumberOfFrames=3, SpacingBetweenSlices=distance, SliceVector=[1, 2, 3],
        DetectorInformationSequence=detector(),
    )  # fmt: skip
    (scan,) = read_dicom(path)
    assert (scan.shape, scan.notes) == ((4, 3, 3), ())
    np.testing.assert_allclose(scan.affine[2, 2:], [4, 5 if distance > 0 else -3])
    first, last = (0, 200) if distance > 0 else (200, 0)
    np.testing.assert_array_equal(scan.array[0, 0, [0, 2]], [first, last])


def test_gated_reconstruction_has_times(write_dicom):
    pixels = np.stack([PIXELS + 10 * n for n in range(4)])
    path = write_dicom(
        "gated", pixels, **{**NM, "ImageType": ["ORIGINAL", "PRIMARY", "RECON GATED TOMO"]}, **BARE, NumberOfFrames=4,
        SpacingBetweenSlices=4, SliceVector=[1, 1, 2, 2], TimeSlotVector=[2, 1, 2, 1],
        DetectorInformationSequence=detector(),
    )  # fmt: skip
    (scan,) = read_dicom(path)
    np.testing.assert_array_equal(scan.array[0, 0], [[10, 0], [30, 20]])


@pytest.mark.parametrize("keyword", ["GridFrameOffsetVector", "SliceLocationVector"])
def test_offsets_of_frames_make_slices(write_dicom, keyword):
    path = write_dicom("many", np.stack([PIXELS, PIXELS + 100]), NumberOfFrames=2, **{keyword: [0.0, 2.5]})
    (scan,) = read_dicom(path)
    assert scan.shape == (4, 3, 2)
    assert scan.spacing[2] == pytest.approx(2.5)


def test_volume_of_ultrasound_is_placed_and_told(write_dicom):
    frames = [items(PlanePositionVolumeSequence=items(ImagePositionVolume=[0, 0, 2.0 * k]))[0] for k in range(2)]
    shared = items(
        PlaneOrientationVolumeSequence=items(ImageOrientationVolume=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=items(PixelSpacing=[2.0, 0.5]),
    )
    path = write_dicom(
        "us", np.stack([PIXELS, PIXELS + 1]), Modality="US", SOPClassUID="1.2.840.10008.5.1.4.1.1.6.2", **BARE,
        PixelSpacing=None, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=frames,
        SharedFunctionalGroupsSequence=shared,
    )  # fmt: skip
    (scan,) = read_dicom(path)
    np.testing.assert_allclose(scan.spacing, [0.5, 2, 2])
    assert "placed in the ultrasound volume, not in the patient" in scan.notes[0]


def test_enhanced_projection_without_positions_is_a_film(write_dicom):
    frames = [items(FrameContentSequence=items(FrameAcquisitionNumber=k))[0] for k in range(2)]
    path = write_dicom(
        "xa", np.stack([PIXELS, PIXELS + 1]), Modality="XA", SOPClassUID="1.2.840.10008.5.1.4.1.1.12.1.1", **BARE,
        NumberOfFrames=2, PerFrameFunctionalGroupsSequence=frames,
    )  # fmt: skip
    (scan,) = read_dicom(path)
    assert scan.shape == (4, 3, 1, 2)
    assert "taken as times" in scan.notes[0]


def test_enhanced_section_without_positions_is_refused(write_dicom):
    frames = [items(FrameContentSequence=items(FrameAcquisitionNumber=k))[0] for k in range(2)]
    path = write_dicom(
        "mr", np.stack([PIXELS, PIXELS]), **BARE, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=frames
    )
    with pytest.raises(ScanError, match="does not say where its frames lie"):
        read_dicom(path)


def test_enhanced_section_with_numbers_in_the_stack_is_stacked_and_told(write_dicom):
    frames = [items(FrameContentSequence=items(InStackPositionNumber=k))[0] for k in (2, 1, 3)]
    path = write_dicom(
        "mr", np.stack([PIXELS, PIXELS + 50, PIXELS + 90]), **BARE, NumberOfFrames=3, SliceThickness=5,
        PerFrameFunctionalGroupsSequence=frames,
    )  # fmt: skip
    (scan,) = read_dicom(path)
    np.testing.assert_array_equal(scan.array[0, 0], [50, 0, 90])
    assert scan.spacing[2] == 5
    assert "where they lie is a guess" in scan.notes[0]


def region(dy, dx, unit=3):
    return items(PhysicalUnitsXDirection=unit, PhysicalUnitsYDirection=unit, PhysicalDeltaX=dx, PhysicalDeltaY=dy)[0]


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"NominalScannedPixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"Modality": "RTIMAGE", "ImagePlanePixelSpacing": [0.2, 0.1]}, (0.2, 0.1)),
        ({"Modality": "US", "SequenceOfUltrasoundRegions": [region(0.02, 0.01)]}, (0.2, 0.1)),
        ({"SharedFunctionalGroupsSequence": items(PixelMeasuresSequence=items(PixelSpacing=[0.2, 0.1]))}, (0.2, 0.1)),
    ],
)
def test_pixel_size_is_found_where_it_stands(write_dicom, elements, spacing):
    (scan,) = read_dicom(write_dicom("film", PIXELS, **{"Modality": "DX", **BARE, "PixelSpacing": None, **elements}))
    assert scan.slice("coronal", 0).spacing == pytest.approx(spacing)
    assert not any("pixel size" in note for note in scan.notes)


def test_ultrasound_regions_of_other_units_or_sizes_say_no_pixel_size(write_dicom):
    regions = [region(0.02, 0.01), region(0.03, 0.01), region(1, 1, unit=4)]  # 4: seconds
    path = write_dicom("us", PIXELS, Modality="US", **BARE, PixelSpacing=None, SequenceOfUltrasoundRegions=regions)
    notes = read_dicom(path)[0].notes
    assert "its ultrasound regions differ in their pixel size" in notes
    assert "no pixel size is known: 1 mm is assumed" in notes


def test_shape_of_pixels_is_kept_where_their_size_is_not_known(write_dicom):
    path = write_dicom("film", PIXELS, Modality="DX", **BARE, PixelSpacing=None, PixelAspectRatio=[3, 2])
    (scan,) = read_dicom(path)
    rows, columns = scan.slice("coronal", 0).spacing
    assert rows / columns == pytest.approx(1.5)  # vertical to horizontal
    assert scan.notes[0] == "no pixel size is known: 1 mm is assumed"
    assert "1.5 times as high as wide" in scan.notes[1]


def test_pixel_size_that_is_one_number_is_said_to_be_that(write_dicom):
    with pytest.raises(ScanError, match="PixelSpacing that is not 2 numbers"):
        read_dicom(write_dicom("one", PIXELS, PixelSpacing="0.5"))
