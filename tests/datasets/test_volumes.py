"""Volumes: a mirrored, upside-down or wrongly scaled slice would train a prior of no patient."""

import numpy as np
import pytest

from napari_brgm.datasets import Framing, read_slices
from napari_brgm.errors import InputError, ScanError

RAS = np.diag([1.0, 1.0, 1.0, 1.0])
FLIPPED = np.array([[-1.0, 0, 0, 15], [0, 1, 0, 0], [0, 0, -1, 23], [0, 0, 0, 1]])


def head(shape=(16, 20, 24)):
    """Level 1000 with a bright right anterior corner; brighter towards the head."""
    volume = np.full(shape, 500.0, np.float32)
    volume += 10 * np.arange(shape[2])
    volume[-4:, -5:] = 1000
    return volume


def test_display_orientation_and_spacing_of_the_header(tmp_path, write_nifti):
    path = write_nifti(tmp_path / "a.nii", head(), np.diag([2.0, 1.0, 3.0, 1.0]))
    found = read_slices(path, Framing(40, 1.0))
    assert found.images.shape == (24, 1, 40, 40)
    image = found.images[3, 0].astype(float)
    rows, columns = np.nonzero(image > 0.9 * image.max())
    assert (rows.min(), columns.max()) == (10, pytest.approx(11, abs=1))  # anterior at the top, right at the left
    assert np.count_nonzero(image[20]) == pytest.approx(32, abs=2)  # 16 voxels of 2 mm
    assert np.count_nonzero(image[:, 20]) == pytest.approx(20, abs=2)
    assert found.names[3] == "a.nii axial 003"
    assert read_slices(path, Framing(40, 1.0), plane="coronal").images.shape == (20, 1, 40, 40)


def test_a_range_means_the_same_anatomy_however_it_is_stored(tmp_path, write_nifti):
    volume = head()
    write_nifti(tmp_path / "set" / "s1" / "a.nii.gz", volume, RAS)
    write_nifti(tmp_path / "set" / "s2" / "a.nii.gz", volume[::-1, :, ::-1].copy(), FLIPPED)
    found = read_slices(tmp_path / "set", Framing(24), slices=(4, 9))
    assert found.subject_names == ("s1", "s2")
    assert np.array_equal(found.images[:5], found.images[5:])
    centre = found.images[:5, 0, 12, 12].astype(int)
    assert (np.diff(centre) > 0).all()  # from the feet to the head
    assert read_slices(tmp_path / "set", Framing(24), slices=(4, 9), stride=4).names == (
        "s1/a.nii.gz axial 004", "s1/a.nii.gz axial 008", "s2/a.nii.gz axial 007",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"4 to 99 lie outside the 24 axial ones of s1/a\.nii\.gz"):
        read_slices(tmp_path / "set", Framing(24), slices=(4, 99))


def test_levels_are_set_by_volume_and_kept(tmp_path, write_nifti):
    rng = np.random.default_rng(0)
    tissue = rng.uniform(300, 1000, (16, 20, 24)).astype(np.float32)
    tissue[:, :4] = 0
    dim = 0.01 * tissue
    dim[0, -1, 0] = np.nan
    write_nifti(tmp_path / "a.nii", tissue, RAS)
    write_nifti(tmp_path / "b.nii", dim, RAS)
    ringing = tissue.copy()
    ringing[0, -1, :3] = -40  # overshoot of a resampling: black stays at 0
    write_nifti(tmp_path / "c.nii", ringing, RAS)
    found = read_slices(tmp_path, Framing(24))
    assert found.images.dtype == np.uint16
    for name, low, high in found.windows:
        scale = 0.01 if name == "b.nii" else 1.0
        assert low == 0
        assert high == pytest.approx(scale * 993 * 255 / 230, rel=5e-3), name
    a, b = (found.images[found.subjects == i].astype(int) for i in (0, 1))
    assert np.abs(a - b)[1:].max() < 300  # of 65535
    assert b[0].max() < 65535  # the voxel without a value is black, not white
    assert "99th percentile" in found.levels


def test_an_even_volume_is_blank(tmp_path, write_nifti):
    write_nifti(tmp_path / "a.nii", np.full((16, 16, 16), -3.0, np.float32), RAS)
    with pytest.raises(ScanError, match="one even grey level"):
        read_slices(tmp_path, Framing(16))


def test_planes_across_thick_slices_are_refused(tmp_path, write_nifti):
    write_nifti(tmp_path / "thick.nii", head(), np.diag([1.0, 1.0, 5.0, 1.0]))
    with pytest.raises(ScanError, match="coronal pixels of 5 x 1 mm; choose the plane axial"):
        read_slices(tmp_path, Framing(24), plane="coronal")
    write_nifti(tmp_path / "whole.nii", head(), RAS)
    found = read_slices(tmp_path, Framing(24), plane="coronal")
    assert found.subject_names == ("whole",)
    assert found.notes[0].startswith("left out: thick.nii")


def test_time_series_give_their_first_volume(tmp_path, write_nifti):
    series = np.stack([head(), 3 * head()], axis=-1)
    write_nifti(tmp_path / "a.nii", series, RAS)
    found = read_slices(tmp_path, Framing(24))
    assert len(found) == 24
    assert found.windows[0][2] < 1200
    assert "first of 2 volumes" in found.notes[0]


def test_a_damaged_volume_is_named(tmp_path, write_nifti):
    path = write_nifti(tmp_path / "a.nii", head(), RAS)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ScanError, match=r"a\.nii ends too early"):
        read_slices(tmp_path, Framing(24))


@pytest.fixture
def ct_series(tmp_path):
    """Write a series of CT slices of a patient into a folder."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def write(folder, patient, brightness):
        series = generate_uid()
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for k in range(4):
            pixels = np.full((20, 16), brightness + k, np.int16)
            pixels[:6] = -3024  # padding outside the field of view, below air
            pixels[6:10] = -1000
            dataset = Dataset()
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", generate_uid()
            dataset.SeriesInstanceUID, dataset.PatientID, dataset.PatientName = series, patient, "Secret^Person"
            dataset.Modality, dataset.Rows, dataset.Columns = "CT", 20, 16
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
            dataset.PixelSpacing, dataset.ImageOrientationPatient = [2.0, 2.0], [1, 0, 0, 0, 1, 0]
            dataset.ImagePositionPatient = [0.0, 0.0, 3.0 * k]
            dataset.PixelData = pixels.tobytes()
            dataset.save_as(tmp_path / folder / f"{patient}-{k}.dcm", enforce_file_format=True)

    return write


def test_hounsfield_units_and_series_folders(tmp_path, ct_series):
    ct_series("set/p1/series", "A", 100)
    ct_series("set/p2/series", "B", 300)
    found = read_slices(tmp_path / "set", Framing(16, 2.0))
    assert found.subject_names == ("p1", "p2")
    assert len(found) == 8
    for (_, low, high), top in zip(found.windows, (103, 303), strict=True):
        assert low == -1000
        assert high == pytest.approx(-1000 + (top + 1000) * 255 / 230, rel=1e-3)
    assert not found.images[:, 0, :8].any()  # padding and air are black
    assert found.images[:, 0, 12].min() / 65535 == pytest.approx(230 / 255, abs=0.01)


def test_loose_dicom_files_are_told_apart_by_patient(tmp_path, ct_series):
    """Each file as a subject of its own would put one head on both sides of a split."""
    ct_series("set", "A", 100)
    ct_series("set", "B", 300)
    found = read_slices(tmp_path / "set", Framing(16, 2.0))
    assert found.subject_names == ("patient 1", "patient 2")
    assert found.subjects.tolist() == [0] * 4 + [1] * 4
    assert "Secret" not in "".join(found.names + found.notes)


@pytest.mark.shared
def test_real_head(shared_data, tmp_path):
    """Public-domain T1, double oblique, 0.67 x 0.70 mm pixels."""
    import lzma
    import tarfile

    archive = shared_data / "dicom_nifti" / "example_dicom_structural.tar.xz"
    with lzma.open(archive) as stream, tarfile.open(fileobj=stream) as content:
        content.extractall(tmp_path, filter="data")
    found = read_slices(tmp_path / "example_dicom_structural", Framing(128, 1.5), slices=(8, 40), stride=8)
    assert found.images.shape == (4, 1, 128, 128)
    image = found.images[2, 0] / 257
    rows, columns = np.nonzero(image > 40)
    width, height = np.ptp(columns) * 1.5, np.ptp(rows) * 1.5
    assert 120 < width < 190
    assert 160 < height < 194
    assert 50 < image[40:90, 40:90].mean() < 160
