"""Estimate, standard deviation and what is not measured must be valid, lie where the scan does, and know each other."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from dicom_sources import KINDS, RECORD, SLICES, errors, oblique, result
from pydicom.uid import ParametricMapStorage, SecondaryCaptureImageStorage, SegmentationStorage

from napari_brgm.errors import InputError, OutputError
from napari_brgm.scans import read_scan
from napari_brgm.scans.dicom_study import write_study

if TYPE_CHECKING:
    from pathlib import Path

LPS = np.diag([-1.0, -1.0, 1.0])


def headers(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(file) for file in sorted(folder.iterdir())]


def points(image: pydicom.Dataset, chosen: np.ndarray) -> np.ndarray:
    """LPS mm of the chosen pixels (frames, rows, columns), as a workstation computes them from the file alone."""
    (shared,) = image.SharedFunctionalGroupsSequence
    along, down = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    found = []
    for groups, pixels in zip(image.PerFrameFunctionalGroupsSequence, chosen, strict=True):
        first = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(pixels)
        found.append(first + np.outer(columns, along * between_columns) + np.outer(rows, down * between_rows))
    return np.concatenate(found)


def in_order(places: np.ndarray) -> np.ndarray:
    return places[np.lexsort(places.round(3).T)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_object_has_an_error(tmp_path: Path, kind: str) -> None:
    files = write_study(*result(kind, tmp_path / "in"), tmp_path / "out")
    assert {file.parent.name for file in files} == {"estimate", "std", "synthetic"}
    assert {str(file.relative_to(tmp_path)): found for file in files if (found := errors(file))} == {}


@pytest.mark.parametrize("step", [3.0, -3.0], ids=["along the normal", "against it"])
@pytest.mark.parametrize("factor", [(1, 1, 1), (2, 3, 1), (1, 1, 4)], ids=["same grid", "finer", "thinner"])
def test_pixels_lie_where_the_scan_s_do(tmp_path: Path, monkeypatch, factor, step: float) -> None:
    """Flips, transposed axes, reversed slices and shifts by half a pixel."""
    monkeypatch.setitem(KINDS, "MR", lambda folder: oblique(folder, step))
    estimate, std, synthetic = result("MR", tmp_path / "in", factor)
    write_study(estimate, std, synthetic, tmp_path / "out")
    indices = np.argwhere(synthetic)
    wanted = (estimate.affine @ np.c_[indices, np.ones(len(indices))].T)[:3].T @ LPS
    (segments,), (spread,) = headers(tmp_path / "out/synthetic"), headers(tmp_path / "out/std")
    flags = segments.pixel_array.astype(bool)
    assert flags.sum() == synthetic.sum()
    np.testing.assert_allclose(in_order(points(segments, flags)), in_order(wanted), atol=1e-6)
    values = spread.pixel_array
    order = np.lexsort(points(spread, values > 0).round(3).T)
    np.testing.assert_allclose(points(spread, values > 0)[order], in_order(wanted), atol=1e-6)
    np.testing.assert_array_equal(values[values > 0][order], std.array[synthetic][np.lexsort(wanted.round(3).T)])
    assert not errors(tmp_path / "out/synthetic/0001.dcm") and not errors(tmp_path / "out/std/0001.dcm")
    for image in (segments, spread):  # from the first slice with something synthetic to the last
        assert image.NumberOfFrames == np.ptp(indices[:, 2]) + 1


@pytest.mark.parametrize("kind", ["MR", "enhanced"])
def test_they_are_of_one_study_and_refer_to_each_other(tmp_path: Path, kind: str) -> None:
    estimate, std, synthetic = result(kind, tmp_path / "in")
    write_study(estimate, std, synthetic, tmp_path / "out")
    images = headers(tmp_path / "out/estimate")
    (spread,), (segments,) = headers(tmp_path / "out/std"), headers(tmp_path / "out/synthetic")
    sources = {dataset.SOPInstanceUID for dataset in estimate.header}
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID", "StudyDate"):
        assert {image.get(keyword) for image in (*images, spread, segments)} == {estimate.header[0].get(keyword)}
    assert len({image.SeriesInstanceUID for image in (images[0], spread, segments, estimate.header[0])}) == 4
    assert len({image.SeriesNumber for image in (images[0], spread, segments)}) == 3
    for image in images:
        groups = image if kind == "MR" else image.SharedFunctionalGroupsSequence[0]
        beside = {item.ReferencedSOPInstanceUID: item.ReferencedSOPClassUID for item in groups.ReferencedImageSequence}
        assert beside == {spread.SOPInstanceUID: ParametricMapStorage, segments.SOPInstanceUID: SegmentationStorage}
        assert {spread.SeriesInstanceUID, segments.SeriesInstanceUID} <= listed(image).keys()
    for image in (spread, segments):
        assert listed(image)[images[0].SeriesInstanceUID] <= {one.SOPInstanceUID for one in images}
        assert listed(image)[estimate.header[0].SeriesInstanceUID] <= sources
        for frame in image.PerFrameFunctionalGroupsSequence:
            derived, source = frame.DerivationImageSequence[0].SourceImageSequence
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            assert derived.SpatialLocationsPreserved == source.SpatialLocationsPreserved == "YES"
            for item, among in ((derived, images), (source, estimate.header)):
                assert placed_at(item, among) == pytest.approx([float(x) for x in position], abs=1e-9)


def listed(image: pydicom.Dataset) -> dict[str, set[str]]:
    return {
        series.SeriesInstanceUID: {one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence}
        for series in image.ReferencedSeriesSequence
    }


def placed_at(item: pydicom.Dataset, among: list[pydicom.Dataset]) -> list[float]:
    """Position of the image, or frame, that a reference is to."""
    (image,) = (one for one in among if one.SOPInstanceUID == item.ReferencedSOPInstanceUID)
    assert image.SOPClassUID == item.ReferencedSOPClassUID
    place = image
    if "NumberOfFrames" in image:
        (place,) = image.PerFrameFunctionalGroupsSequence[item.ReferencedFrameNumber - 1].PlanePositionSequence
    return [float(x) for x in place.ImagePositionPatient]


def test_what_a_segmentation_and_a_map_say(tmp_path: Path) -> None:
    estimate, std, synthetic = result("CT", tmp_path / "in")
    write_study(estimate, std, synthetic, tmp_path / "out", number=4)
    (spread,), (segments,) = headers(tmp_path / "out/std"), headers(tmp_path / "out/synthetic")
    (segment,) = segments.SegmentSequence
    assert (segments.SegmentationType, segment.SegmentLabel) == ("BINARY", "synthetic: not measured")
    assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("SEMIAUTOMATIC", "napari-brgm")
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "0.1.0"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "99BRGM"
    assert "99BRGM" in [one.CodingSchemeDesignator for one in segments.CodingSchemeIdentificationSequence]
    assert len(segment.RecommendedDisplayCIELabValue) == 3
    assert segments.SeriesDescription.endswith("[synthetic: not measured]")
    assert (spread.SeriesNumber, segments.SeriesNumber) == (1005, 1006)
    (mapping,) = spread.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "[hnsf'U]"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert spread.ImageType[3] == "STD_DEVIATION"
    scans = {scan.provenance["role"]: scan for scan in read_scan(tmp_path / "out")}
    assert scans.keys() == {"restored", "std"}  # a segmentation is no image
    np.testing.assert_array_equal(scans["std"].array, std.array)
    np.testing.assert_allclose(scans["std"].affine, estimate.affine, atol=1e-9)
    assert scans["std"].units == "HU"
    assert any("a segmentation" in note for scan in scans.values() for note in scan.notes)


def test_radiograph_has_a_segmentation_by_pixels_and_no_map(tmp_path: Path) -> None:
    estimate, std, synthetic = result("CR", tmp_path / "in")
    write_study(estimate, std, synthetic, tmp_path / "out")
    (image,), (spread,), (segments,) = (headers(tmp_path / "out" / name) for name in ("estimate", "std", "synthetic"))
    assert image.SOPClassUID == estimate.header[0].SOPClassUID != spread.SOPClassUID == SecondaryCaptureImageStorage
    (back,) = read_scan(tmp_path / "out/std")
    np.testing.assert_allclose(back.array, std.array, atol=std.array.max() / 65535)
    np.testing.assert_allclose(back.affine, estimate.affine)
    assert "FrameOfReferenceUID" not in segments
    (frame,) = segments.PerFrameFunctionalGroupsSequence
    assert "PlanePositionSequence" not in frame
    assert [one.ReferencedSOPInstanceUID for one in frame.DerivationImageSequence[0].SourceImageSequence] == [
        image.SOPInstanceUID, estimate.header[0].SOPInstanceUID,
    ]  # fmt: skip
    np.testing.assert_array_equal(segments.pixel_array.astype(bool), synthetic[..., 0].T)
    assert image.ReferencedImageSequence[0].ReferencedSOPInstanceUID == segments.SOPInstanceUID


def test_slices_that_lost_their_place_have_a_segmentation_each(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(KINDS, "MR", lambda folder: oblique(folder, ImagePositionPatient=None))
    estimate, std, synthetic = result("MR", tmp_path / "in")
    write_study(estimate, std, synthetic, tmp_path / "out")
    segments = headers(tmp_path / "out/synthetic")
    assert len(segments) == np.any(synthetic, axis=(0, 1)).sum() > 1
    assert len(headers(tmp_path / "out/std")) == SLICES
    images = {image.SOPInstanceUID: image for image in headers(tmp_path / "out/estimate")}
    for one in segments:
        item = one.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
        image = images[item.ReferencedSOPInstanceUID]
        assert [x.ReferencedSOPInstanceUID for x in image.ReferencedImageSequence] == [one.SOPInstanceUID]


def test_each_time_with_something_synthetic_has_its_own(tmp_path: Path) -> None:
    for t in range(3):
        oblique(tmp_path / f"in/{t}", TemporalPositionIdentifier=t + 1, NumberOfTemporalPositions=3)
    (scan,) = read_scan(tmp_path / "in")
    synthetic = np.zeros(scan.shape, bool)
    synthetic[5:8, 5:8, 2, 0] = synthetic[5:8, 5:9, 3:, 2] = True
    estimate = replace(scan, provenance=RECORD)
    write_study(estimate, replace(scan, array=synthetic * np.float32(2.5)), synthetic, tmp_path / "out")
    segments = headers(tmp_path / "out/synthetic")
    assert [one.NumberOfFrames for one in segments] == [1, 2]
    assert [one.InstanceNumber for one in segments] == [1, 2]
    assert len({one.SeriesInstanceUID for one in segments}) == 1
    assert not any(errors(file) for file in (tmp_path / "out/synthetic").iterdir())
    counted = [len(image.get("ReferencedImageSequence", ())) for image in headers(tmp_path / "out/estimate")]
    assert counted == [2] * SLICES + [0] * SLICES + [2] * SLICES


def test_files_without_a_frame_of_reference_share_a_new_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(KINDS, "MR", lambda folder: oblique(folder, FrameOfReferenceUID=None))
    write_study(*result("MR", tmp_path / "in"), tmp_path / "out")
    found = {one.FrameOfReferenceUID for folder in (tmp_path / "out").iterdir() for one in headers(folder)}
    assert len(found) == 1


def test_nobody_s_name_is_told(tmp_path: Path, monkeypatch, caplog, capfd) -> None:
    """highdicom logs names that it finds odd."""
    caplog.set_level(logging.DEBUG)
    odd = {"PatientName": "Secret Person Without Carets", "PatientSex": "X", "SpecificCharacterSet": "ISO_IR 100"}
    monkeypatch.setitem(KINDS, "MR", lambda folder: oblique(folder, **odd))
    write_study(*result("MR", tmp_path / "in"), tmp_path / "out")
    assert "Secret" not in caplog.text + "".join(capfd.readouterr())
    for one in headers(tmp_path / "out/synthetic") + headers(tmp_path / "out/std"):
        assert (one.PatientName, one.PatientSex) == (odd["PatientName"], odd["PatientSex"])


def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    estimate, std, synthetic = result("MR", tmp_path / "in")
    with pytest.raises(InputError, match="does not go with"):
        write_study(estimate, std, synthetic[1:], tmp_path / "out")
    with pytest.raises(OutputError, match="is not finite; save it as NIfTI instead"):
        write_study(estimate, replace(std, array=std.array * np.nan), synthetic, tmp_path / "out")
    with pytest.raises(OutputError, match="was not computed by this plugin"):
        write_study(replace(estimate, provenance=None), std, synthetic, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_spread_there_is_no_map(tmp_path: Path) -> None:
    estimate, _, synthetic = result("MR", tmp_path / "in")
    files = write_study(estimate, None, synthetic, tmp_path / "out")
    assert {file.parent.name for file in files} == {"estimate", "synthetic"}
