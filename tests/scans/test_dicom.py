"""Real DICOM against the NIfTI that dcm2niix made of it, and what a folder may hold."""

import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.data import get_testdata_file

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom import read_dicom
from napari_brgm.scans.dicom_pixels import stored_pixels

PAIRS = [
    ("dcm_qa_nih", "In/20180918GE/mr_0004", "DCM2NIIX_regression_test_4"),
    ("dcm_qa_nih", "In/20180918GE/mr_0006", "DCM2NIIX_regression_test_6"),
    ("dcm_qa_nih", "In/20180918Si/mr_0003", "EPI_PE=AP_3"),
    ("dcm_qa_nih", "In/20180918Si/mr_0006", "EPI_PE=LR_6"),
    ("dcm_qa", "In/Orientation/ax/axasc35", "ax_asc_35sl_6"),
    ("dcm_qa", "In/Orientation/ax/axdesc35", "ax_desc_35sl_7"),
    ("dcm_qa", "In/Orientation/cor/corasc35", "cor_asc_35sl_16"),
    ("dcm_qa", "In/Orientation/sag/sagasc35", "sag_asc_35sl_22"),
    ("dcm_qa", "In/Orientation/axmb/AxAsc36mb2a", "fMRI_MB_asc_25"),
    ("dcm_qa", "In/Orientation/axmb/AxInt36mb", "fMRI_MB_int_26"),
    ("dcm_qa_12bit", "In/12bitUnsigned.dcm", "2"),
    ("dcm_qa_12bit", "In/12bitUnsigned_0x0F0F.dcm", "3"),
    ("dcm_qa_12bit", "In/12bitSigned_0x0F0F.dcm", "4"),
    ("dcm_qa_enh", "In/Siemens/XA10", "Siemens_REST1_w_SMS_PF7-8_6"),
]


def canonical(array, affine):
    image = nib.as_closest_canonical(nib.Nifti1Image(array, affine))
    return np.asarray(image.dataobj), image.affine


def reference(folder: Path, name: str):
    return nib.as_closest_canonical(nib.load(folder / "Ref" / f"{name}.nii"))


@pytest.mark.shared
@pytest.mark.parametrize(("archive", "source", "name"), PAIRS, ids=[pair[2] for pair in PAIRS])
def test_agrees_with_dcm2niix(unpacked, archive, source, name):
    folder = unpacked(archive)
    (scan,) = read_dicom(folder / source)
    array, affine = canonical(scan.array, scan.affine)
    expected = reference(folder, name)
    np.testing.assert_allclose(affine, expected.affine, atol=1e-3)
    np.testing.assert_array_equal(array, np.asarray(expected.dataobj))
    assert scan.notes == ()


@pytest.mark.shared
def test_enhanced_philips_frames_are_split_by_type(unpacked):
    """dcm2niix writes the vendor's "precise" values; ours are the file's own rescale, so stored values are compared."""
    folder = unpacked("dcm_qa_enh")
    magnitude, field_map = read_dicom(folder / "In" / "Philips")
    assert (magnitude.name, field_map.name) == ("801 B0 NS M", "801 B0 NS FIELD_MAP")
    cases = [
        (magnitude, "Philips_WIP_B0_NS_801_e1", 1.27985347985347, 0),
        (field_map, "Philips_WIP_B0_NS_801_e2_fieldmaphz", 0.24420024420024, -500),
    ]
    for scan, name, slope, intercept in cases:
        array, affine = canonical(scan.array, scan.affine)
        expected = reference(folder, name)
        np.testing.assert_allclose(affine, expected.affine, atol=1e-3)
        stored = np.asarray(nib.load(folder / "Ref" / f"{name}.nii").dataobj.get_unscaled())
        stored = canonical(stored, nib.load(folder / "Ref" / f"{name}.nii").affine)[0]
        np.testing.assert_array_equal(array, stored * np.float64(slope) + intercept)


@pytest.mark.shared
def test_oblique_series_with_unequal_pixel_spacing(unpacked):
    (scan,) = read_dicom(unpacked("example_dicom_structural") / "dicoms")
    assert scan.shape == (274, 384, 48)
    np.testing.assert_allclose(scan.spacing, [0.69999, 0.66667, 0.66667], atol=1e-4)
    nearest = np.abs(scan.affine[:3, :3] / scan.spacing).max(axis=0)
    assert (nearest < 0.9999).all()  # double oblique
    assert len(scan.header) == 48
    assert not any("PixelData" in dataset for dataset in scan.header)


@pytest.mark.shared
def test_rescale_of_a_phase_image(unpacked):
    folder = unpacked("nichart_trio_b17") / "gre_field_mapping_3"
    (scan,) = read_dicom(folder)
    first = stored_pixels(folder / "00001.dcm")[0].T * 2.0 - 4096
    assert any(np.array_equal(scan.array[..., k], first) for k in range(scan.shape[2]))
    np.testing.assert_allclose(scan.spacing, [3, 3, 3.6], atol=1e-3)


@pytest.mark.shared
@pytest.mark.parametrize("archive", ["pydicom_test_files", "nibabel/nicom"])
def test_odd_real_files_give_a_scan_or_one_sentence(unpacked, archive):
    folder = unpacked(archive.split("/")[0]) / "/".join(archive.split("/")[1:])
    read = 0
    for path in sorted(folder.iterdir()):
        try:
            read += len(read_dicom(path))
        except ScanError as error:
            assert "\n" not in str(error)
    assert read >= 5


@pytest.mark.parametrize("name", ["RLE", "bigendian", "expb", "implicit", "jp2klossless", "padded"])
def test_one_image_in_many_encodings(name):
    plain = read_dicom(get_testdata_file("MR_small.dcm", download=False))[0]
    other = read_dicom(get_testdata_file(f"MR_small_{name}.dcm", download=False))[0]
    np.testing.assert_array_equal(plain.array, other.array)
    np.testing.assert_array_equal(plain.affine, other.affine)


def test_ct_is_in_hounsfield_units():
    (scan,) = read_dicom(get_testdata_file("CT_small.dcm", download=False))
    assert (scan.units, scan.modality, scan.shape) == ("HU", "CT", (128, 128, 1))
    assert scan.array.min() == -896
    assert scan.array.dtype == np.float32


def test_folder_skips_what_is_not_dicom_and_tells_what_is_damaged(write_dicom, tmp_path):
    folder = tmp_path / "study"
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    for k in range(3):
        write_dicom(f"series/{k}", pixels + k, folder, ImagePositionPatient=[0, 0, 5.0 * k])
    shutil.copy(folder / "series" / "2", folder / "copy")  # the same image under a second name
    damaged = write_dicom("damaged", pixels, folder, SeriesInstanceUID="1.2.9")
    damaged.write_bytes(damaged.read_bytes()[:-8])
    (folder / "notes.txt").write_text("no image")
    (scan,) = read_dicom(folder)
    assert scan.shape == (4, 3, 3)
    assert scan.name == "7 made up"
    assert len(scan.notes) == 2
    assert "left out: damaged is damaged or cut short: 3 x 4 pixels take 24 bytes and it holds 16" in scan.notes[0]
    assert scan.notes[1].startswith("left out: 1 file holds the image of another file again")


def test_no_patient_in_messages_or_names(write_dicom):
    path = write_dicom("cut", np.zeros((3, 4), np.uint16))
    assert "Secret" not in repr(read_dicom(path))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ScanError) as caught:
        read_dicom(path)
    assert "Secret" not in str(caught.value)


def test_empty_and_missing_folders_say_so(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing")
    with pytest.raises(ScanError, match="has no DICOM image"):
        read_dicom(tmp_path)
    with pytest.raises(ScanError, match="there is no file or folder nowhere"):
        read_dicom(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"])
def test_truncated_files_give_a_scan_or_one_sentence(tmp_path, name):
    content = Path(get_testdata_file(name, download=False)).read_bytes()
    path = tmp_path / name
    sentences = 0
    for length in [*range(0, len(content), len(content) // 60), len(content) - 1]:
        path.write_bytes(content[:length])
        try:
            assert read_dicom(path)[0].shape == (64, 64, 1)
        except ScanError as error:
            sentences += 1
            assert "\n" not in str(error)
    assert sentences > 50
