"""A derived series must lie where it should, hold the measured values to the bit, and say what it is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian

from napari_brgm.errors import OutputError
from napari_brgm.scans import read_scan
from napari_brgm.scans.dicom_export import write_dicom as write_series

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.scan import Scan

RECORD = {
    "notice": "Synthetic: not measured. Not for diagnosis.",
    "software": {"name": "napari-brgm", "version": "0.1.0"},
    "prior": {"name": "brain-axial-128", "sha256": "ab" * 32, "spacing_mm": 1.5},
    "method": "map", "seed": 3, "samples": 32,
    "task": "in-paint", "role": "restored", "run": "0123456789ab",
    "notes": ["with \"quotes\", a \\ and Grüße"], "window": {"low": -0.1, "high": 1e-9},
}  # fmt: skip
# attributes of type 1 and 2 of the modules that these sources fill
COMMON = ("PatientName", "PatientID", "StudyInstanceUID", "StudyID", "AccessionNumber", "Modality", "SOPClassUID",
          "FrameOfReferenceUID", "Manufacturer", "ScanningSequence", "SequenceVariant", "EchoTime", "RepetitionTime",
          "KVP", "RescaleSlope", "RescaleIntercept", "PatientPosition", "AcquisitionDate")  # fmt: skip


def finer(scan: Scan, factor: tuple[int, int, int], **changes: object) -> Scan:
    """The same box on a finer grid, its values those of the nearest voxels and a bit between."""
    array = scan.array
    for axis, n in enumerate(factor):
        array = np.repeat(array, n, axis)
    index = np.eye(4)
    for axis, n in enumerate(factor):
        index[axis, axis], index[axis, 3] = 1 / n, (1 / n - 1) / 2
    return replace(scan, array=array, affine=scan.affine @ index, provenance=RECORD, **changes)


def assert_same_place(one: Scan, other: Scan, tolerance: float = 1e-3) -> None:
    assert one.shape == other.shape
    for corner in product(*((0, n - 1) for n in one.shape[:3])):
        np.testing.assert_allclose((one.affine @ [*corner, 1]), other.affine @ [*corner, 1], atol=tolerance)


def reread(scan: Scan, folder: Path) -> tuple[Scan, list[pydicom.Dataset]]:
    files = write_series(scan, folder)
    (back,) = read_scan(folder)
    return back, [pydicom.dcmread(file) for file in files]


def small(name: str) -> Scan:
    (scan,) = read_scan(get_testdata_file(name, download=False))
    return scan


@pytest.mark.parametrize("name", ["MR_small.dcm", "CT_small.dcm"])
def test_in_painted_pixels_and_what_the_file_says(tmp_path: Path, name: str) -> None:
    scan = small(name)
    source = pydicom.dcmread(get_testdata_file(name, download=False))
    array = scan.array.copy()
    array[10:20, 30:40] += 0.3  # synthetic values lie between the scan's own
    back, (written,) = reread(replace(scan, array=array, provenance=RECORD), tmp_path / "out")
    np.testing.assert_array_equal(back.affine, scan.affine)
    np.testing.assert_allclose(back.array, array, atol=0.5)
    hole = np.zeros(array.shape, bool)
    hole[10:20, 30:40] = True
    np.testing.assert_array_equal(back.array[~hole], scan.array[~hole])
    stored = written.pixel_array.T[..., None]
    np.testing.assert_array_equal(stored[~hole], source.pixel_array.T[..., None][~hole])
    assert back.units == scan.units
    assert back.provenance == RECORD

    assert written.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert written.file_meta.MediaStorageSOPClassUID == written.SOPClassUID == source.SOPClassUID
    assert written.file_meta.MediaStorageSOPInstanceUID == written.SOPInstanceUID
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"):
        assert written.get(keyword) != source.get(keyword), keyword
    for keyword in COMMON:
        assert written.get(keyword) == source.get(keyword), keyword
    assert list(written.ImageType[:2]) == ["DERIVED", "SECONDARY"]
    assert "Synthetic" in written.DerivationDescription
    assert "Not for diagnosis" in written.DerivationDescription
    assert written.BurnedInAnnotation == "NO"
    (reference,) = written.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert reference.ReferencedSOPClassUID == source.SOPClassUID
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
    equipment = written.ContributingEquipmentSequence[-1]
    assert (equipment.ManufacturerModelName, equipment.SoftwareVersions) == ("napari-brgm", "0.1.0")
    assert "ab" * 32 in equipment.ContributionDescription
    assert "brain-axial-128" in written.ImageComments
    assert {element.tag.group for element in written if element.tag.is_private} == {0x0099}
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue"):
        assert keyword not in written


def test_super_resolution_says_so_and_lies_right(tmp_path: Path) -> None:
    scan = small("CT_small.dcm")
    wanted = finer(scan, (2, 2, 1))
    wanted = replace(wanted, provenance=RECORD | {"task": "super-resolve", "role": "x2"})
    back, (written,) = reread(wanted, tmp_path / "out")
    assert_same_place(back, wanted)
    np.testing.assert_array_equal(back.array, wanted.array)
    derivation = written.DerivationCodeSequence[0]
    assert (derivation.CodeValue, derivation.CodingSchemeDesignator) == ("113085", "DCM")
    np.testing.assert_allclose(list(written.PixelSpacing), scan.spacing[:2] / 2, rtol=1e-12)
    assert written.SourceImageSequence[0].SpatialLocationsPreserved == "NO"


@pytest.mark.parametrize("role", ["variance", "std"])
def test_uncertainty_has_its_own_scale_and_units(tmp_path: Path, role: str) -> None:
    scan = small("CT_small.dcm")
    values = np.random.default_rng(0).gamma(0.5, 123.0, scan.shape).astype(np.float32)
    values[:50] = 0
    units = "HU^2" if role == "variance" else "HU"
    spread = replace(scan, array=values, units=units, provenance=RECORD | {"role": role})
    back, (written,) = reread(spread, tmp_path / "out")
    np.testing.assert_allclose(back.array, values, atol=0.51 * values.max() / 65535)
    assert not back.array[:50].any()
    assert back.units == units
    assert back.provenance["role"] == role
    assert role in written.SeriesDescription
    assert (written.BitsStored, written.PixelRepresentation) == (16, 0)
    assert "WindowCenter" not in written


def test_synthetic_values_beyond_the_bits_leave_the_measured_ones_exact(tmp_path: Path, write_dicom) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (6, 7)).astype(np.uint16)
    path = write_dicom("a.dcm", pixels, BitsStored=12, HighBit=11, RescaleSlope=0.1, RescaleIntercept=-7)
    (scan,) = read_scan(path)
    array = scan.array.copy()
    array[0, 0], array[1, 1] = -200.0, 600.0  # below and above what 12 bits hold
    back, (written,) = reread(replace(scan, array=array, provenance=RECORD), tmp_path / "out")
    measured = np.ones(array.shape, bool)
    measured[[0, 1], [0, 1]] = False
    np.testing.assert_array_equal(back.array[measured], scan.array[measured])
    np.testing.assert_allclose(back.array, array, atol=0.051)
    assert written.BitsStored == 16
    assert written.PixelRepresentation == 1


def test_inverted_film_comes_back_upright(tmp_path: Path, write_dicom) -> None:
    pixels = np.random.default_rng(0).integers(0, 900, (6, 7)).astype(np.uint16)
    changes = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 10, "HighBit": 9}
    (scan,) = read_scan(write_dicom("a.dcm", pixels, **changes))
    back, (written,) = reread(replace(scan, provenance=RECORD), tmp_path / "same")
    np.testing.assert_array_equal(back.array, scan.array)
    np.testing.assert_array_equal(written.pixel_array, pixels)
    assert written.PhotometricInterpretation == "MONOCHROME1"
    spread = replace(scan, array=scan.array / 7, provenance=RECORD | {"role": "variance"})
    back, (written,) = reread(spread, tmp_path / "variance")
    np.testing.assert_allclose(back.array, spread.array, atol=0.01)
    assert written.PhotometricInterpretation == "MONOCHROME2"


def test_values_through_a_lookup_table_come_back(tmp_path: Path, write_dicom) -> None:
    pixels = np.arange(42, dtype=np.uint16).reshape(6, 7)
    table = pydicom.Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [42, 0, 16], "US"
    table.add_new("LUTData", "US", [3 * n for n in range(42)])
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        path = write_dicom(f"{kind}.dcm", pixels, ModalityLUTSequence=[table], PhotometricInterpretation=kind)
        (scan,) = read_scan(path)
        back, (written,) = reread(replace(scan, provenance=RECORD), tmp_path / kind)
        np.testing.assert_array_equal(back.array, scan.array)
        assert "ModalityLUTSequence" not in written


def test_probability_is_not_rounded_to_the_scan_s_quantum(tmp_path: Path) -> None:
    scan = small("CT_small.dcm")
    values = np.random.default_rng(0).random(scan.shape).astype(np.float32)
    shown = replace(scan, array=values, units="1", provenance=RECORD | {"role": "probability"})
    back, _ = reread(shown, tmp_path / "out")
    np.testing.assert_allclose(back.array, values, atol=1e-5)
    assert back.units == "1"


def test_projection_without_a_place_keeps_its_pixel_size(tmp_path: Path, write_dicom) -> None:
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    path = write_dicom("x.dcm", np.arange(42, dtype=np.uint16).reshape(6, 7), ImagerPixelSpacing=[0.2, 0.1], **nowhere)
    (scan,) = read_scan(path)
    back, _ = reread(replace(scan, provenance=RECORD), tmp_path / "same")
    np.testing.assert_array_equal(back.affine, scan.affine)
    np.testing.assert_array_equal(back.array, scan.array)
    wanted = finer(scan, (2, 2, 1))
    back, (written,) = reread(wanted, tmp_path / "finer")
    np.testing.assert_allclose(back.spacing[:2], scan.spacing[:2] / 2)
    assert "ImagePositionPatient" not in written


def test_coronal_slice_of_an_axial_series_is_an_image_of_its_own(tmp_path: Path, write_dicom) -> None:
    for k in range(5):
        pixels = np.random.default_rng(k).integers(0, 900, (6, 7)).astype(np.uint16)
        write_dicom(f"{k}.dcm", pixels, tmp_path / "in", ImagePositionPatient=[1.0, 2.0, 3.0 * k], InstanceNumber=k)
    (scan,) = read_scan(tmp_path / "in")
    piece = finer(replace(scan, array=scan.array[:, 2:3], affine=scan.affine @ _shifted(2)), (2, 1, 3))
    back, (written,) = reread(piece, tmp_path / "out")
    assert (written.Rows, written.Columns) == (15, 14)
    assert len(written.SourceImageSequence) == 5
    for i, k in product((0, 13), (0, 14)):
        x = piece.affine @ [i, 0, k, 1]
        at = np.linalg.solve(back.affine, x)[:3]
        np.testing.assert_allclose(at, np.round(at), atol=1e-6)
        assert back.array[tuple(np.round(at).astype(int))] == piece.array[i, 0, k]


@pytest.mark.parametrize("thickness", [2, 4, None])
def test_thin_slices_of_thick_ones_say_how_thick_they_are_and_where(tmp_path: Path, write_dicom, thickness) -> None:
    """Whatever gap was between the thick ones; in the plane alone slices stay as they are."""
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 900, (6, 7)).astype(np.uint16)
        place = {"ImagePositionPatient": [1.0, 2.0, 4.0 * k], "SliceLocation": 4.0 * k, "InstanceNumber": k}
        place |= {} if thickness is None else {"SliceThickness": thickness}
        write_dicom(f"{k}.dcm", pixels, tmp_path / "in", SpacingBetweenSlices=4, **place)
    (scan,) = read_scan(tmp_path / "in")
    back, files = reread(wanted := finer(scan, (1, 1, 4)), tmp_path / "thin")
    assert_same_place(back, wanted, 1e-6)
    np.testing.assert_array_equal(back.array, wanted.array)
    assert [float(file.SliceThickness) for file in files] == [1.0] * 12
    assert [float(file.SpacingBetweenSlices) for file in files] == [1.0] * 12
    for i, file in enumerate(files):
        np.testing.assert_allclose(file.ImagePositionPatient, [1, 2, i - 1.5], atol=1e-9)
        assert float(file.SliceLocation) == pytest.approx(i - 1.5)
    _, files = reread(finer(scan, (2, 2, 1)), tmp_path / "fine")
    assert [file.get("SliceThickness") for file in files] == [thickness] * 3


def _shifted(row: int) -> np.ndarray:
    index = np.eye(4)
    index[1, 3] = row
    return index


REAL = ["example_dicom_structural", "dcm_qa_12bit", "dcm_qa_nih", "dcm_qa_enh"]


@cache
def _read_once(path: Path) -> list[Scan]:
    return read_scan(path)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("factor", [(1, 1, 1), (2, 2, 1), (1, 1, 3)], ids=["same", "in plane", "through plane"])
def test_real_series_of_all_kinds(tmp_path: Path, unpacked, name: str, factor: tuple[int, int, int]) -> None:
    scans = _read_once(unpacked(name))
    for number, scan in enumerate(scans[: 1 if name == "dcm_qa_nih" else None]):  # two alike, of 150 files each
        wanted = replace(scan, provenance=RECORD) if max(factor) == 1 else finer(scan, factor)
        back, files = reread(wanted, tmp_path / str(number))
        assert_same_place(back, wanted)
        np.testing.assert_array_equal(back.array, wanted.array)
        assert back.provenance == RECORD
        first, source = files[0], scan.header[0]
        assert len({file.SOPInstanceUID for file in files}) == len(files)
        assert {file.SeriesInstanceUID for file in files}.isdisjoint({d.SeriesInstanceUID for d in scan.header})
        for keyword in COMMON:
            assert first.get(keyword) == source.get(keyword), keyword
        if "PerFrameFunctionalGroupsSequence" in source:
            check_enhanced(files, scan, wanted)
        else:
            known = {dataset.SOPInstanceUID for dataset in scan.header}
            references = [item.ReferencedSOPInstanceUID for file in files for item in file.SourceImageSequence]
            assert set(references) == known
            if max(factor) == 1 and len(files) == len(scan.header):
                assert len(references) == len(files)


def check_enhanced(files: list[pydicom.Dataset], scan: Scan, wanted: Scan) -> None:
    (file,) = files
    frames = file.PerFrameFunctionalGroupsSequence
    (shared,) = file.SharedFunctionalGroupsSequence
    assert file.NumberOfFrames == len(frames) == wanted.shape[2] * wanted.volumes
    assert list(file.ImageType[:2]) == ["DERIVED", "PRIMARY"]
    for frame in frames:
        assert not set(frame.keys()) & set(shared.keys())  # a group is shared or per frame, not both
        assert len(frame.DerivationImageSequence[0].SourceImageSequence) >= 1
        assert "PlanePositionSequence" in frame
    values = [tuple(np.atleast_1d(f.FrameContentSequence[0].DimensionIndexValues)) for f in frames]
    assert len(set(values)) == len(values)
    evidence = file.SourceImageEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence
    assert {item.ReferencedSOPInstanceUID for item in evidence} == {d.SOPInstanceUID for d in scan.header}


def test_mosaic_becomes_slices(tmp_path: Path, unpacked) -> None:
    scans = [scan for name in ("dcm_qa_12bit", "nichart_trio_b17") for scan in read_scan(unpacked(name))]
    scan = next(scan for scan in scans if "MOSAIC" in scan.header[0].ImageType)
    back, files = reread(replace(scan, provenance=RECORD), tmp_path / "out")
    assert_same_place(back, scan)
    np.testing.assert_array_equal(back.array, scan.array)
    assert len(files) == scan.shape[2] * scan.volumes
    assert not any("MOSAIC" in file.ImageType for file in files)


def test_samples_films_and_others_are_refused_in_one_sentence(tmp_path: Path, write_dicom) -> None:
    scan = small("MR_small.dcm")
    result = replace(scan, provenance=RECORD)
    sheared = scan.affine + np.outer([0.1, 0.1, 0.1, 0], [0, 1, 0, 0])
    film = write_dicom(
        "film.dcm", np.zeros((3, 4, 5), np.uint16), NumberOfFrames=3, ImagePositionPatient=None,
        ImageOrientationPatient=None,
    )  # fmt: skip
    (cine,) = read_scan(film)
    for wrong in (
        scan,
        replace(result, array=np.zeros((64, 64, 1, 5), np.float32)),
        replace(result, header=None),
        replace(result, affine=sheared),
        replace(result, array=np.full(scan.shape, np.nan, np.float32)),
        replace(cine, provenance=RECORD),
    ):
        with pytest.raises(OutputError, match="save it as NIfTI instead") as caught:
            write_series(wrong, tmp_path / "out")
        assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["film.dcm"]


def test_nothing_is_overwritten_and_a_failure_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    result = replace(small("MR_small.dcm"), provenance=RECORD)
    (file,) = write_series(result, tmp_path / "one.dcm")
    assert file == tmp_path / "one.dcm"
    before = file.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_series(result, file)
    assert file.read_bytes() == before

    def full(self, path, **rest):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pydicom.Dataset, "save_as", full)
    with pytest.raises(OutputError, match="No space left"):
        write_series(result, tmp_path / "series")
    assert [p.name for p in tmp_path.iterdir()] == ["one.dcm"]


def test_damaged_record_does_not_stop_the_reading(tmp_path: Path) -> None:
    (file,) = write_series(replace(small("MR_small.dcm"), provenance=RECORD), tmp_path / "one.dcm")
    dataset = pydicom.dcmread(file)
    dataset.private_block(0x0099, "NAPARI-BRGM")[0x01].value = '{"half'
    dataset.save_as(file)
    (scan,) = read_scan(file)
    assert scan.provenance is None
    assert any("provenance" in note for note in scan.notes)
