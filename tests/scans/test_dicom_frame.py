"""Files without positions, colour, multi-frame files."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)
NOWHERE = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "Modality": "DX"}


def test_chest_film_is_upright_as_a_coronal_slice(write_dicom):
    (scan,) = read_dicom(write_dicom("film", PIXELS, **NOWHERE, PixelSpacing=None, ImagerPixelSpacing=[0.2, 0.1]))
    piece = scan.slice("coronal", 0)
    np.testing.assert_array_equal(piece.image, PIXELS)
    assert piece.spacing == pytest.approx((0.2, 0.1))
    assert (scan.plane, scan.shape, scan.notes) == ("coronal", (4, 3, 1), ())
    np.testing.assert_allclose(scan.affine[:3, 0], [-0.1, 0, 0])  # columns to the patient's left
    np.testing.assert_allclose(scan.affine[:3, 1], [0, 0, -0.2])  # rows to the feet


def test_patient_orientation_is_followed(write_dicom):
    (lateral,) = read_dicom(write_dicom("lateral", PIXELS, **NOWHERE, PatientOrientation=["P", "F"]))
    np.testing.assert_array_equal(lateral.slice("sagittal", 0).image, PIXELS)
    (mirrored,) = read_dicom(write_dicom("mirrored", PIXELS, **NOWHERE, PatientOrientation=["R", "F"]))
    np.testing.assert_array_equal(mirrored.slice("coronal", 0).image, PIXELS[:, ::-1])


def test_unknown_pixel_size_is_noted(write_dicom):
    (scan,) = read_dicom(write_dicom("film", PIXELS, **NOWHERE, PixelSpacing=None))
    assert scan.notes == ("no pixel size is known: 1 mm is assumed",)


def test_films_of_one_series_are_not_stacked(write_dicom, tmp_path):
    for name in ("a", "b"):
        write_dicom(name, PIXELS, tmp_path / "films", **NOWHERE)
    assert [scan.shape for scan in read_dicom(tmp_path / "films")] == [(4, 3, 1)] * 2


def test_frames_without_places_are_times(write_dicom):
    path = write_dicom("cine", np.stack([PIXELS, PIXELS + 1]), NumberOfFrames=2, **NOWHERE)
    (scan,) = read_dicom(path)
    assert scan.shape == (4, 3, 1, 2)
    np.testing.assert_array_equal(scan.slice("coronal", 0, 1).image, PIXELS + 1)
    assert "taken as times" in scan.notes[0]


def enhanced(places, slopes):
    """Functional groups: shared orientation and pixel size, position and rescale for each frame."""

    def item(**elements):
        dataset = Dataset()
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        return [dataset]

    shared = item(
        PixelMeasuresSequence=item(PixelSpacing=[2.0, 0.5], SliceThickness=9),
        PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    frames = [
        item(
            PlanePositionSequence=item(ImagePositionPatient=[0, 0, z]),
            PixelValueTransformationSequence=item(RescaleSlope=slope, RescaleIntercept=-1, RescaleType="US"),
        )[0]
        for z, slope in zip(places, slopes, strict=True)
    ]
    return {
        "SharedFunctionalGroupsSequence": shared, "PerFrameFunctionalGroupsSequence": frames,
        "NumberOfFrames": len(frames), "PixelSpacing": None, "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
    }  # fmt: skip


def test_enhanced_frames_have_their_own_place_and_rescale(write_dicom):
    pixels = np.stack([PIXELS, PIXELS, PIXELS])
    (scan,) = read_dicom(write_dicom("enhanced", pixels, **enhanced([4.0, 0.0, 2.0], [1, 2, 3])))
    np.testing.assert_allclose(scan.spacing, [0.5, 2, 2])
    np.testing.assert_array_equal(scan.array[1, 1], PIXELS[1, 1] * np.array([2, 3, 1]) - 1)


def test_enhanced_file_with_frames_missing_is_refused(write_dicom):
    elements = {**enhanced([0.0, 2.0], [1, 1]), "NumberOfFrames": 3}
    with pytest.raises(ScanError, match="describes 2 of its 3 frames"):
        read_dicom(write_dicom("short", np.stack([PIXELS] * 3), **elements))


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "colour image"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "through a palette"),
        ({"Modality": "SEG"}, "a segmentation, not a scan"),
        ({"Rows": None}, "holds no image"),
    ],
)
def test_what_is_no_grey_image_is_refused(write_dicom, elements, words):
    with pytest.raises(ScanError, match=words):
        read_dicom(write_dicom("other", PIXELS, **elements))
