"""The record must come back the same from any file, must not carry folders, and must not be found in others' files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_brgm.errors import OutputError
from napari_brgm.scan import Scan
from napari_brgm.scans.export import write_nifti
from napari_brgm.scans.nifti import read_nifti
from napari_brgm.scans.record import described, plain, record_of, sidecar, sidecar_of

RECORD = {
    "notice": "Synthetic.", "software": {"name": "napari-brgm", "version": "1.2"}, "task": "in-paint",
    "role": "variance", "prior": {"name": "brain", "sha256": "ab"}, "slices": [{"index": [3, None, None], "seed": 1}],
    "run": "abc", "text": "Grüße \\ \"quoted\"", "nothing": None, "flag": True, "tiny": 1e-300,
}  # fmt: skip


def test_written_and_read_it_is_the_same(tmp_path: Path) -> None:
    scan = Scan(np.ones((2, 3, 4), np.float32), np.eye(4), "HU^2", provenance=RECORD)
    text = sidecar(scan, sources=["/home/someone/sub-01_T1w.nii.gz"])
    back = read_nifti(write_nifti(scan, tmp_path / "a.nii.gz", text))
    assert back.provenance == RECORD
    assert back.units == "HU^2"
    assert not back.notes
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["Sources"] == ["sub-01_T1w.nii.gz"]
    assert content["SpatialReference"] == "orig"
    assert content["Units"] == "HU^2"
    assert "variance" in content["Description"]
    assert "Resolution" in sidecar(scan, same_grid=False)


def test_plain_values_without_folders() -> None:
    record = {
        "a": (1, np.float32(0.5)), "b": np.arange(2), "file": Path("/home/someone/x.nii"), "c": float("nan"),
        "path": "/home/someone/x.nii", "windows": r"C:\\Users\\someone\\x.nii", "ratio": "1/2",
        "word": "/", "d": {1: None},
    }  # fmt: skip
    assert plain(record) == {
        "a": [1, 0.5], "b": [0, 1], "file": "x.nii", "c": "nan", "path": "x.nii", "windows": "x.nii", "ratio": "1/2",
        "word": "/", "d": {"1": None},
    }  # fmt: skip
    with pytest.raises(OutputError, match="plain"):
        plain({"x": object()})
    with pytest.raises(OutputError, match="small letter"):
        sidecar(Scan(np.zeros((1, 1, 1)), np.eye(4), provenance={"Units": 1}))


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (json.dumps({"RepetitionTime": 2.0, "Manufacturer": "x", "notice": "hello"}), False),
        (json.dumps({"software": {"name": "another"}}), False),
        ("[1, 2]", False),
        ('{"software": {"name": "napari-brgm"', True),
        ("[" * 100000, True),
        (b"\xff\xfe\x00".decode("latin1"), True),
    ],
    ids=["bids", "other software", "list", "cut short", "deep", "binary"],
)
def test_foreign_and_damaged_sidecars_do_not_count(tmp_path: Path, text: str, note: bool) -> None:
    path = write_nifti(Scan(np.ones((2, 2, 2), np.float32), np.eye(4)), tmp_path / "a.nii")
    sidecar_of(path).write_text(text, encoding="latin1")
    scan = read_nifti(path)
    assert scan.provenance is None
    assert scan.units == "a.u."
    assert bool(scan.notes) is note
    assert record_of(tmp_path / "none.nii") == (None, None, ())


def test_descriptions_say_what_it_is() -> None:
    assert described(RECORD).startswith("Posterior variance of an image, in-painted by napari-brgm 1.2")
    assert "Not for diagnosis" in described({"task": "super-resolve"})
    assert described({"prior": None, "software": "odd"}).startswith("Computed")
