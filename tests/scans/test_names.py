"""Names of results say nothing of a patient that the person has not asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_brgm.scan import Scan
from napari_brgm.scans.dicom_header import DicomHeader
from napari_brgm.scans.names import series_label, source_label, stem_of
from napari_brgm.scans.record import json_text, sidecar


def series(number: object) -> Scan:
    dataset = Dataset()
    if number is not None:
        dataset.SeriesNumber = number
    provenance = {"task": "in-paint", "role": "restored", "notice": "n", "source_layer": "3 Doe^Jane T1"}
    header = DicomHeader([dataset])
    return Scan(np.zeros((2, 2, 2)), np.eye(4), name="3 Doe^Jane T1", header=header, provenance=provenance)


def test_a_series_is_called_by_its_number(tmp_path: Path) -> None:
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    for path in (folder, folder / "doe.dcm"):
        assert stem_of(series(3), path) == "series-3" and source_label(series(3), path) == "series 3"


def test_its_description_is_taken_on_request(tmp_path: Path) -> None:
    assert stem_of(series(3), tmp_path, described=True) == "3-Doe-Jane-T1"


@pytest.mark.parametrize("number", [None, ""])
def test_a_series_without_number_is_a_series(number: object) -> None:
    assert series_label(series(number).header) == "series"


def test_records_of_a_series_name_no_layer() -> None:
    record = sidecar(series(3), sources=["series 3"])
    assert "Jane" not in json.dumps(record) and record["task"] == "in-paint"


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("sub-01_ses-2_run-1_T1w.nii.gz", "sub-01_ses-2_run-1_T1w"), ("knee.nii", "knee"), ("pair.img.gz", "pair"),
        ("Sch\udce4del\x1b.nii.gz", "Sch_del_"), (".nii.gz", "scan"), ("T1_$a_^^$.nii.gz", "T1_$a_^^$"),
    ],
)  # fmt: skip
def test_a_file_is_called_by_its_name(name: str, stem: str) -> None:
    assert stem_of(Scan(np.zeros((2, 2, 2)), np.eye(4)), Path(name)) == stem


def test_names_that_are_no_utf8_can_stand_in_json() -> None:
    json.loads(json_text({"Sources": ["Sch\udce4del.nii"], "x": "\x1b[31m"}).encode())
