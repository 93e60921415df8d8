"""Which mask belongs to which scan."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from napari_brgm.batch.pairing import entities_of, paired, scans_below
from napari_brgm.errors import InputError


@pytest.fixture
def tree(tmp_path):
    """``tree("scans/a.nii", ...)``: makes empty files."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def pairs(found) -> dict[str, str]:
    return {row.name: row.mask.name for row in found.rows}


@pytest.mark.parametrize(
    ("scan", "mask"),
    [
        ("a/t1.nii.gz", "a/t1.nii.gz"),
        ("a/t1.nii.gz", "a/t1_mask.nii.gz"),
        ("a/t1.nii.gz", "t1-mask.png"),
        ("film.png", "film_roi.npy"),
        ("sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz", "sub-01/ses-2/sub-01_ses-2_desc-artefact_mask.nii.gz"),
    ],
)
def test_names_and_entities_pair(tree, scan, mask):
    folder = tree(f"scans/{scan}", f"masks/{mask}", "scans/other.nii", "masks/stray_mask.nii")
    found = paired(folder / "scans", folder / "masks")
    assert [row.mask.name for row in found.rows] == [Path(mask).name]
    assert [name for name, _ in found.unpaired] == ["other", "stray_mask"]


def test_entities_of_another_session_do_not_pair(tree):
    folder = tree(
        "s/sub-01_ses-1_T1w.nii", "s/sub-01_ses-2_T1w.nii", "m/sub-01_ses-2_desc-hole_mask.nii",
    )  # fmt: skip
    assert pairs(paired(folder / "s", folder / "m")) == {"sub-01_ses-2_T1w": "sub-01_ses-2_desc-hole_mask.nii"}


def test_scans_and_masks_may_lie_side_by_side(tree):
    folder = tree("a.nii.gz", "a_mask.nii.gz", "b.nii.gz")
    found = paired(folder, folder)
    assert pairs(found) == {"a": "a_mask.nii.gz"} and [name for name, _ in found.unpaired] == ["b"]


def test_several_masks_of_a_scan_are_told(tree):
    folder = tree("s/a.nii", "s/b.nii", "m/1/a.nii", "m/2/a.nii", "m/b.nii")
    found = paired(folder / "s", folder / "m")
    assert list(pairs(found)) == ["b"]
    assert found.unpaired == (("a", "2 masks fit: 1/a, 2/a"),)


def test_a_folder_of_dicom_slices_is_one_scan(tmp_path):
    source = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    for name in ("p1/one.dcm", "p1/two", "p2/single.dcm"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(source)
    (tmp_path / "p3").mkdir()
    (tmp_path / "p3" / "alone.dcm").write_bytes(source)
    (tmp_path / "p3" / "other.nii").touch()
    assert scans_below(tmp_path) == {
        "p1": tmp_path / "p1", "p2": tmp_path / "p2", "p3/other": tmp_path / "p3" / "other.nii",
        "p3/alone": tmp_path / "p3" / "alone.dcm",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "there is no folder"),
        (("s/notes.txt", "m/a.nii"), "no mask in .* fits a scan"),
        (("s/a.nii", "s/a.png", "m/a.nii"), "have one name but for the ending"),
    ],
)
def test_what_cannot_be_paired_is_said(tree, names, sentence):
    folder = tree(*names)
    with pytest.raises(InputError, match=sentence):
        paired(folder / "s", folder / "m")


def test_other_names_have_no_entities():
    assert entities_of("acq-1_scan") == {} == entities_of("t1")


def test_names_are_on_one_line(tmp_path):
    for name in ("a\nb.nii.gz", "a\nb_mask.nii.gz"):
        (tmp_path / name).touch()
    (row,) = paired(tmp_path, tmp_path).rows
    assert row.name == "a_b" and row.scan.name == "a\nb.nii.gz"
