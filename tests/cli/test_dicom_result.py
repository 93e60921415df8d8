"""What the shell restores of a DICOM series is there as DICOM too: estimate, standard deviation, what is synthetic."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_sources import errors, oblique, radiograph
from pydicom.uid import ParametricMapStorage, SegmentationStorage

from napari_brgm.scans import read_scan

if TYPE_CHECKING:
    from pathlib import Path


def parts(folder: Path) -> dict[str, list[pydicom.Dataset]]:
    """Datasets by the folder that they are in; each is valid, and for its owner alone."""
    found: dict[str, list[pydicom.Dataset]] = {}
    for file in sorted(folder.rglob("*.dcm")):
        assert errors(file) == []
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        found.setdefault(file.parent.name, []).append(pydicom.dcmread(file))
    return found


@pytest.fixture
def series(tmp_path: Path) -> Path:
    oblique(tmp_path / "series", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    return tmp_path / "series"


def test_in_painted_slices(shell, series: Path, quick, tmp_path: Path) -> None:
    (scan,) = read_scan(series)
    missing = np.zeros(scan.shape, bool)
    missing[25:33, 30:44, 1:3] = True
    nib.save(nib.Nifti1Image(missing.astype(np.uint8), scan.affine), tmp_path / "mask.nii")
    done = shell("inpaint", series, "--mask", tmp_path / "mask.nii", "--out", tmp_path / "out", *quick)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1].endswith("series-1_desc-brgmInpaintDicom_image")
    made = parts(tmp_path / "out/series-1_desc-brgmInpaintDicom_image")
    assert {name: len(found) for name, found in made.items()} == {"estimate": 5, "std": 1, "synthetic": 1}
    (back,) = read_scan(tmp_path / "out/series-1_desc-brgmInpaintDicom_image/estimate")
    np.testing.assert_array_equal(back.array[~missing], scan.array[~missing])
    (segments,), (spread,) = made["synthetic"], made["std"]
    assert (segments.SOPClassUID, spread.SOPClassUID) == (SegmentationStorage, ParametricMapStorage)
    assert segments.pixel_array.sum() == missing.sum()
    variance = read_scan(tmp_path / "out/series-1_desc-brgmInpaintVariance_image.nii.gz")[0].array
    (std,) = read_scan(tmp_path / "out/series-1_desc-brgmInpaintDicom_image/std")
    np.testing.assert_array_equal(std.array, np.sqrt(variance[..., 1:3]))
    assert back.provenance["task"] == "in-paint" and "slices" not in back.provenance
    assert "series" not in segments.ContentDescription


def test_finer_slice_is_synthetic_throughout(shell, series: Path, quick, tmp_path: Path) -> None:
    done = shell("superres", series, "--factor", 2, "--index", 3, "--out", tmp_path / "out", *quick)
    assert done.exit_code == 0, done.output
    made = parts(tmp_path / "out/series-1_desc-brgmSuperresDicom_image")
    (image,), (segments,), (spread,) = made["estimate"], made["synthetic"], made["std"]
    assert image.Rows == segments.Rows == spread.Rows == 128
    assert segments.pixel_array.all() and (spread.pixel_array > 0).any()
    (fine,) = read_scan(tmp_path / "out/series-1_desc-brgmSuperresEstimate_image.nii.gz")
    (frame,) = segments.PerFrameFunctionalGroupsSequence
    corners = fine.affine @ [[0, 127, 0, 127], [0, 0, 127, 127], [0, 0, 0, 0], [1, 1, 1, 1]]
    place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float) * [-1, -1, 1]
    assert np.linalg.norm(corners[:3].T - place, axis=1).min() < 1e-4


def test_a_second_run_takes_the_place_of_the_first(shell, series: Path, quick, tmp_path: Path) -> None:
    """Whole: no file of the first stays beside those of the second."""
    command = ("superres", series, "--factor", 2, "--index", 3, "--out", tmp_path / "out", "--overwrite", *quick)
    folder = tmp_path / "out/series-1_desc-brgmSuperresDicom_image"
    uids = []
    for _ in range(2):
        assert shell(*command).exit_code == 0
        uids.append({one.SOPInstanceUID for found in parts(folder).values() for one in found})
    assert len(uids[0]) == len(uids[1]) == 3 and uids[0].isdisjoint(uids[1])
    assert "exists already" in shell.refused(*command[: -1 - len(quick)], *quick)


def test_cleaned_radiograph(shell, quick, tmp_path: Path) -> None:
    radiograph(tmp_path / "film")
    done = shell("clean", tmp_path / "film", "--noise-sigma", 30, "--out", tmp_path / "out", *quick)
    assert done.exit_code == 0, done.output
    made = parts(tmp_path / "out/series-2_desc-brgmCleanDicom_image")
    assert {name: len(found) for name, found in made.items()} == {"estimate": 1, "std": 1, "synthetic": 1}
    assert made["synthetic"][0].pixel_array.all()


def test_trials_and_samples_stay_out(shell, series: Path, quick, tmp_path: Path) -> None:
    done = shell("inpaint", series, "--missing-share", 0.5, "--out", tmp_path / "out", *quick)
    assert done.exit_code == 0, done.output
    assert not list((tmp_path / "out").rglob("*.dcm"))


def test_where_dicom_has_no_place_nifti_is_there_all_the_same(shell, quick, tmp_path: Path) -> None:
    oblique(tmp_path / "series", SOPClassUID="", ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    done = shell("superres", tmp_path / "series", "--factor", 2, "--out", tmp_path / "out", *quick)
    assert done.exit_code == 0, done.output
    assert "there is no result as DICOM: " in done.stderr
    assert list((tmp_path / "out").glob("*.nii.gz")) and not list((tmp_path / "out").rglob("*.dcm"))
