"""A result as DICOM must come back whole: each frame at its slice and time, whatever else lies in the folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from dicom_sources import KINDS, RECORD, SLICES, oblique, result

from napari_brgm.scans import read_scan
from napari_brgm.scans.dicom_found_study import studies_of, study_folder
from napari_brgm.scans.dicom_study import write_study

if TYPE_CHECKING:
    from pathlib import Path


def found(folder: Path):
    return studies_of(read_scan(folder), folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [(1, 1, 1), (2, 3, 1)], ids=["same grid", "finer"])
def test_all_of_it_comes_back(tmp_path: Path, kind: str, factor: tuple[int, int, int]) -> None:
    """The map and the segmentation have fewer frames than the image; of radiographs they are other objects."""
    estimate, std, synthetic = result(kind, tmp_path / "in", factor)
    write_study(estimate, std, synthetic, tmp_path / "out")
    ((study,), others) = found(tmp_path / "out")
    assert others == []
    assert study.std is not None and study.synthetic is not None
    exact = 0 if kind not in ("CR", "DX") else float(std.array.max()) / 65535
    np.testing.assert_allclose(study.std.array, std.array, atol=exact)
    np.testing.assert_array_equal(study.synthetic.array, synthetic)
    for scan in (study.estimate, study.std, study.synthetic):
        if kind not in ("CR", "DX"):  # a radiograph has no place
            np.testing.assert_allclose(scan.affine, estimate.affine, atol=1e-9)
        assert scan.provenance is not None and scan.provenance["run"] == RECORD["run"]
    assert [one.provenance["role"] for one in (study.estimate, study.std, study.synthetic)] == [
        "restored", "std", "mask",
    ]  # fmt: skip


def test_times_are_kept_apart(tmp_path: Path) -> None:
    for t in range(3):
        oblique(tmp_path / f"in/{t}", TemporalPositionIdentifier=t + 1, NumberOfTemporalPositions=3)
    (scan,) = read_scan(tmp_path / "in")
    synthetic = np.zeros(scan.shape, bool)
    synthetic[5:8, 5:8, 2, 0] = synthetic[5:8, 5:9, 3:, 2] = True
    std = synthetic * np.random.default_rng(0).gamma(2.0, 3.7, scan.shape).astype(np.float32)
    write_study(replace(scan, provenance=RECORD), replace(scan, array=std), synthetic, tmp_path / "out")
    ((study,), _) = found(tmp_path / "out")
    assert study.synthetic is not None
    np.testing.assert_array_equal(study.synthetic.array, synthetic)
    assert study.std is not None
    np.testing.assert_array_equal(study.std.array, std)


def test_two_results_of_one_run_and_their_source_are_told_apart(tmp_path: Path) -> None:
    """In one folder without folders of their own, as an archive may hand them over."""
    estimate, std, synthetic = result("MR", tmp_path / "in")
    write_study(estimate, std, synthetic, tmp_path / "a")
    moved = np.roll(synthetic, 7, axis=0)
    write_study(estimate, replace(std, array=np.roll(std.array, 7, axis=0)), moved, tmp_path / "b")
    (tmp_path / "all").mkdir()
    for number, file in enumerate(sorted(tmp_path.rglob("*.dcm"))):
        shutil.copy(file, tmp_path / f"all/{number}")
    studies, (source,) = found(tmp_path / "all")
    assert source.provenance is None and source.shape[2] == SLICES
    masks = [study.synthetic.array for study in studies]
    assert len(masks) == 2 and not np.array_equal(*masks)
    for mask, study in zip(masks, studies, strict=True):
        np.testing.assert_array_equal(study.std.array > 0, mask)
        assert any(np.array_equal(mask, one) for one in (synthetic, moved))


@pytest.mark.parametrize("damage", ["more frames", "other size", "cut off", "no references"])
def test_a_segmentation_that_does_not_fit_is_left_out(tmp_path: Path, damage: str) -> None:
    write_study(*result("MR", tmp_path / "in"), tmp_path / "out")
    (file,) = (tmp_path / "out/synthetic").iterdir()
    image = pydicom.dcmread(file)
    if damage == "more frames":
        image.NumberOfFrames = 10_000
    elif damage == "other size":
        image.Rows = 65
    elif damage == "cut off":
        image.PixelData = image.PixelData[:100]
    else:
        for groups in image.PerFrameFunctionalGroupsSequence:
            del groups.DerivationImageSequence
    image.save_as(file)
    ((study,), _) = found(tmp_path / "out")
    assert study.synthetic is None and study.std is not None


@pytest.mark.parametrize("damage", ["no references", "no number", "no items"])
def test_a_damaged_map_is_a_scan_by_itself(tmp_path: Path, damage: str) -> None:
    write_study(*result("MR", tmp_path / "in"), tmp_path / "out")
    (file,) = (tmp_path / "out/std").iterdir()
    image = pydicom.dcmread(file)
    for groups in image.PerFrameFunctionalGroupsSequence:
        if damage == "no references":
            del groups.DerivationImageSequence
        elif damage == "no number":
            groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber = [7, 8]
        else:
            groups.DerivationImageSequence = []
    image.save_as(file)
    ((study,), (alone,)) = found(tmp_path / "out")
    assert study.std is None and study.synthetic is not None and alone.provenance["role"] == "std"


def test_what_is_no_result_stays_as_it_is(tmp_path: Path) -> None:
    oblique(tmp_path / "estimate")
    scans = read_scan(tmp_path / "estimate")
    assert studies_of(scans, tmp_path / "estimate") == ([], scans)
    assert study_folder(tmp_path / "estimate" / "0.dcm") == tmp_path
    assert study_folder(tmp_path / "other" / "0.dcm") is None
