"""Rows of a CSV or YAML file."""

from __future__ import annotations

import pytest

from napari_brgm.batch.job_file import read_job
from napari_brgm.batch.row import BatchRow, check_names
from napari_brgm.errors import InputError

CSV = "scan,mask,name,index\na/t1.nii.gz,m.png,first,80\nb.nii,m2.nii,,\n"
YAML = """
- {scan: a/t1.nii.gz, mask: m.png, name: first, index: 80}
- {scan: b.nii, mask: m2.nii, invert_mask: true, alone: false}
"""


def test_csv_and_yaml_give_rows(tmp_path):
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "rows.yaml").write_text(YAML)
    first, second = read_job(tmp_path / "rows.csv")
    assert first == BatchRow("first", tmp_path / "a/t1.nii.gz", tmp_path / "m.png", ("--index", "80"))
    assert second == BatchRow("b", tmp_path / "b.nii", tmp_path / "m2.nii")
    again, other = read_job(tmp_path / "rows.yaml")
    assert again == first and other.options == ("--invert-mask", "--no-alone")
    assert first.arguments("inpaint", ["--samples", "4"], tmp_path / "out") == [
        "inpaint", str(tmp_path / "a/t1.nii.gz"), "--mask", str(tmp_path / "m.png"), "--out",
        str(tmp_path / "out/first"), "--resume", "--samples", "4", "--index", "80",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "mask\nx\n", "row 1 of a.csv has no scan"),
        ("a.csv", "", "holds no rows"),
        ("a.yaml", "scan: x", "holds no rows"),
        ("a.yaml", "- [", "is no CSV or YAML file"),
        ("a.yaml", "- {scan: x, out: /etc}", "'out' is no option for one scan"),
        ("a.csv", "scan,--prior\nx,y\n", "'--prior' is no option"),
        ("a.csv", "scan;mask\nx;y\n", "parted by semicolons"),
        ("a.csv", "scan,mask\nx,y,z\n", "row 1 of a.csv has more cells than there are columns"),
        ("none.csv", None, "none.csv cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, name, text, sentence):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_job(tmp_path / name)


@pytest.mark.parametrize("names", [("a/b", "A/b"), ("..",), ("a/../../b",), (".hidden",), ("",)])
def test_names_that_clash_or_lead_elsewhere_are_refused(tmp_path, names):
    with pytest.raises(InputError, match=r"both lie in|is no name for a folder"):
        check_names([BatchRow(name, tmp_path / str(number)) for number, name in enumerate(names)])


def test_other_files_of_a_row_are_meant_from_its_folder_too_and_decide_whether_it_is_done(tmp_path):
    for name in ("a.nii", "m.nii", "labels.nii"):
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "rows.csv").write_text("scan,mask,roi,pseudonym\na.nii,m.nii,labels.nii,sub-01\n")
    (row,) = read_job(tmp_path / "rows.csv")
    assert row.options == ("--roi", str(tmp_path / "labels.nii")) and row.name == row.pseudonym == "sub-01"
    assert row.arguments("inpaint", [], tmp_path)[-4:] == ["--pseudonym", "sub-01", *row.options]
    before = row.stamp("inpaint", [], None)
    (tmp_path / "labels.nii").write_bytes(b"22")
    assert row.stamp("inpaint", [], None) not in ("", before)
    assert "a.nii" not in repr(row)  # which schedulers log
