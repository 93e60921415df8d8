"""Tiled images are told by what places their tiles, not by one maker's word."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom

TILES = np.kron(np.array([[1, 2], [3, 4]], np.uint16), np.ones((8, 8), np.uint16))
BARE = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": [3.5, 3.0]}


@pytest.fixture
def united(write_dicom):
    """A United Imaging volume of four tiles, with another number of places or in another encoding."""

    def write(places=4, count="4", word="VFRAME", edit=lambda dataset: None, **elements):
        path = write_dicom("vframe", TILES, **{**BARE, "ImageType": ["ORIGINAL", "PRIMARY", "M", word], **elements})
        dataset = pydicom.dcmread(path)
        block = dataset.private_block(0x0065, "Image Private Header", create=True)
        block.add_new(0x50, "DS", count)
        items = []
        for k in range(places):
            item = Dataset()
            item.ImagePositionPatient, item.ImageOrientationPatient = [-14, -14, -4.2 * k], [1, 0, 0, 0, 1, 0]
            items.append(item)
        if items:
            block.add_new(0x51, "SQ", items)
        edit(dataset)
        dataset.save_as(path)
        return path

    return write


@pytest.mark.parametrize("word", ["VFRAME", "NORM"])
def test_tiles_lie_where_their_places_say(united, word):
    (scan,) = read_dicom(united(word=word))
    assert (scan.shape, scan.notes) == ((8, 8, 4), ())
    np.testing.assert_array_equal(scan.array[0, 0], [4, 3, 2, 1])  # the places run to the feet
    np.testing.assert_allclose(scan.affine, [[-3, 0, 0, 14], [0, -3.5, 0, 14], [0, 0, 4.2, -12.6], [0, 0, 0, 1]])


def test_places_are_found_in_a_file_that_went_through_implicit_vr(united, tmp_path):
    def implicit(dataset):
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    path = united(edit=implicit)
    dataset = pydicom.dcmread(path)
    dataset.save_as(path, implicit_vr=True)
    assert read_dicom(path)[0].shape == (8, 8, 4)


def test_series_of_tiled_volumes_has_times(united, tmp_path):
    for t in range(2):
        path = united(InstanceNumber=t + 1, SOPInstanceUID=f"1.2.3.{t}", SeriesInstanceUID="1.2.3.4.5")
        (tmp_path / "s").mkdir(exist_ok=True)
        path.rename(tmp_path / "s" / str(t))
    assert read_dicom(tmp_path / "s")[0].shape == (8, 8, 4, 2)


@pytest.mark.parametrize("changed", [{"places": 0}, {"places": 3}])
def test_tiles_without_all_places_are_refused(united, changed):
    with pytest.raises(ScanError, match="tiled without the private elements that place its 4 slices"):
        read_dicom(united(**changed))


def test_tiles_that_do_not_fit_are_refused(united):
    with pytest.raises(ScanError, match="mosaic of 3 x 3 tiles but 16 x 16 pixels"):
        read_dicom(united(places=5, count="5"))


@pytest.fixture
def united_grid(united):
    """A United Imaging volume of tiles with the values 1, 2, ... row by row in any grid."""

    def write(count, rows, columns, tile=(8, 8), **elements):
        values = np.arange(1, rows * columns + 1, dtype=np.uint16).reshape(rows, columns)
        values[values > count] = 0
        pixels = np.kron(values, np.ones(tile, np.uint16))
        return united(
            places=count, count=str(count), Rows=pixels.shape[0], Columns=pixels.shape[1], PixelData=pixels.tobytes(),
            PixelSpacing=[2, 2], **elements,
        )  # fmt: skip

    return write


@pytest.mark.parametrize(
    ("grid", "tile", "elements"),
    [
        ((12, 4, 3), (8, 8), {"AcquisitionMatrix": [8, 0, 0, 8]}),
        ((12, 4, 3), (8, 8), {"AcquisitionMatrix": [0, 8, 7, 0]}),
        ((12, 4, 4), (8, 6), {"AcquisitionMatrix": [8, 0, 0, 6]}),
        ((6, 2, 3), (8, 8), {}),
        ((6, 3, 2), (8, 8), {}),
        ((6, 2, 3), (8, 6), {"AcquisitionMatrix": [8, 0, 0, 6]}),
        ((5, 3, 3), (8, 8), {}),
        ((5, 3, 3), (8, 6), {}),
        ((9, 3, 3), (16, 16), {"AcquisitionMatrix": [8, 0, 0, 6]}),  # interpolated
    ],
)
def test_tiles_are_cut_on_the_grid_that_fits(united_grid, grid, tile, elements):
    (scan,) = read_dicom(united_grid(*grid, tile, **elements))
    assert scan.shape == (*tile[::-1], grid[0])
    expected = np.arange(grid[0], 0, -1)  # the places run to the feet
    np.testing.assert_array_equal(scan.array, np.broadcast_to(expected, scan.shape))


def test_tiles_that_two_grids_could_hold_are_refused(united_grid):
    told = "12 tiles in 32 x 24 pixels, which may be 4 x 4 tiles of 8 x 6 or 4 x 3 tiles of 8 x 8, and no acquisition"
    with pytest.raises(ScanError, match=told):
        read_dicom(united_grid(12, 4, 3))


def test_tiles_that_contradict_the_acquisition_matrix_are_refused(united_grid):
    with pytest.raises(ScanError, match="no grid gives each the 16 x 16 pixels that were acquired"):
        read_dicom(united_grid(4, 2, 2, AcquisitionMatrix=[16, 0, 0, 16]))


@pytest.mark.parametrize(
    ("group", "element", "kind", "value"), [(0x0019, 0x0A, "US", 4), (0x0051, 0x16, "LO", "p2 M/ND/MOSAIC")]
)
def test_siemens_mosaic_is_known_by_private_elements_too(write_dicom, group, element, kind, value):
    path = write_dicom("mosaic", TILES, ImageType=["ORIGINAL", "PRIMARY", "M"])
    dataset = pydicom.dcmread(path)
    dataset.private_block(group, "SIEMENS MR HEADER", create=True).add_new(element, kind, value)
    dataset.save_as(path)
    with pytest.raises(ScanError, match="Siemens mosaic without the private header"):
        read_dicom(path)


def test_image_larger_than_a_magnet_is_refused(write_dicom):
    path = write_dicom("large", np.zeros((256, 256), np.uint16), PixelSpacing=[3, 3], AcquisitionMatrix=[64, 0, 0, 64])
    with pytest.raises(ScanError, match="looks like tiles"):
        read_dicom(path)


@pytest.mark.parametrize("matrix", [None, [0, 0, 0, 0]])
def test_image_larger_than_a_magnet_is_refused_without_its_acquisition_matrix(write_dicom, matrix):
    elements = {} if matrix is None else {"AcquisitionMatrix": matrix}
    path = write_dicom("large", np.zeros((48, 48), np.uint16), PixelSpacing=[27.5, 27.5], **elements)
    with pytest.raises(ScanError, match="1320 x 1320 mm large, more than a magnet holds: it looks like tiles"):
        read_dicom(path)


def test_large_matrix_of_unknown_pixel_size_is_one_slice(write_dicom):
    assert read_dicom(write_dicom("bare", np.zeros((640, 640), np.uint16), PixelSpacing=None))[0].shape[2] == 1


def test_interpolated_image_of_usual_size_is_one_slice(write_dicom):
    path = write_dicom("fine", np.zeros((256, 256), np.uint16), PixelSpacing=[1, 1], AcquisitionMatrix=[64, 0, 0, 64])
    assert read_dicom(path)[0].shape == (256, 256, 1)


@pytest.mark.parametrize("organization", ["TILED_FULL", "TILED_SPARSE"])
def test_tiles_of_a_slide_are_not_taken_for_times(write_dicom, organization):
    path = write_dicom(
        "slide", np.zeros((4, 24, 24), np.uint16), SOPClassUID="1.2.840.10008.5.1.4.1.1.77.1.6", Modality="SM",
        DimensionOrganizationType=organization, TotalPixelMatrixRows=48, TotalPixelMatrixColumns=40, NumberOfFrames=4,
    )  # fmt: skip
    with pytest.raises(ScanError, match="a slide of 40 x 48 pixels cut into 4 tiles of 24 x 24, not a scan"):
        read_dicom(path)


@pytest.mark.shared
def test_real_mosaic_whose_image_type_was_cleaned_is_taken_apart(unpacked, tmp_path):
    source = next((unpacked("dcm_qa") / "In/Orientation/ax/axasc35").glob("MR.*"))
    whole = read_dicom(source)[0]
    dataset = pydicom.dcmread(source)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.save_as(tmp_path / "cleaned.dcm")
    (scan,) = read_dicom(tmp_path / "cleaned.dcm")
    np.testing.assert_array_equal(scan.array, whole.array)
    np.testing.assert_array_equal(scan.affine, whole.affine)
