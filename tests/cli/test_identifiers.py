"""Identifiers of a DICOM source go into derived DICOM and nowhere else; files are for their owner alone."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from dicom_sources import oblique
from PIL import Image

from napari_brgm.scans import read_scan
from napari_brgm.zoo.files import write_prior

PLANTED = {
    "PatientName": "Plantedname^Zoe", "PatientID": "PLANTED-4711", "PatientBirthDate": "19310203",
    "PatientAddress": "Plantedstreet 5", "OtherPatientIDs": "PLANTED-0815", "ReferringPhysicianName": "Planteddoc^A",
    "InstitutionName": "Plantedhospital", "AccessionNumber": "PLANTEDACC", "StudyDescription": "of Plantedname",
    "SeriesDescription": "Plantedname T1", "PatientComments": "Plantedcomment", "StudyID": "PLANTEDSTUDY",
}  # fmt: skip
TRACES = (b"planted", b"19310203", b"4711")


@pytest.fixture
def source(tmp_path, random_stylegan2):
    """A series in a folder that is called after its patient, a mask, regions, and a prior."""
    series = tmp_path / "scans" / "Plantedname_Zoe" / "series"
    oblique(series, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], **PLANTED)
    (scan,) = read_scan(series)
    missing = np.zeros(scan.shape, np.uint8)
    missing[25:33, 30:44, 1:3] = 1
    nib.save(nib.Nifti1Image(missing, scan.affine), tmp_path / "mask.nii")
    write_prior(random_stylegan2, tmp_path / "net.safetensors", torch.float32)
    return series, tmp_path / "mask.nii", tmp_path / "net.safetensors"


def contents(path) -> bytes:
    """What a file holds, unpacked as far as it can be; of pictures their texts."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if path.suffix == ".png":
        with Image.open(path) as shown:
            data += str(shown.info).encode()
    return data


def traces(folder) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(trace in contents(path).lower() for trace in TRACES)
    ]


def test_nothing_but_derived_dicom_names_the_patient(source, tmp_path, home):
    series, mask, net = source
    rows = tmp_path / "rows.csv"
    rows.write_text(f"scan,mask,name\n{series},{mask},first\n")
    out, umask = tmp_path / "out", os.umask(0)
    options = ["--prior", net, "--steps", 3, "--samples", 2, "--device", "cpu", "--roi", mask, "--plane", "axial"]
    command = ["batch", "--job", rows, "--out", out, "--processes", 1, "--json", "inpaint", *options]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "napari_brgm", *map(str, command)], capture_output=True, text=True, check=False
        )
    finally:
        os.umask(umask)
    assert done.returncode == 0, done.stderr
    assert not any(trace in (done.stdout + done.stderr).lower().encode() for trace in TRACES)
    derived = list(out.rglob("*.dcm"))
    assert derived and all(pydicom.dcmread(path).PatientID == PLANTED["PatientID"] for path in derived)
    inside = {str(path.relative_to(out)) for path in derived}
    assert set(traces(out)) == inside
    assert traces(home) == []
    assert not any("planted" in str(path.relative_to(out)).lower() for path in out.rglob("*"))
    open_ones = [path for path in out.rglob("*") if path.stat().st_mode & 0o077]
    assert open_ones == [] and out.stat().st_mode & 0o077 == 0


def test_the_search_finds_what_is_planted(source, tmp_path):
    """Or it would find nothing for want of looking."""
    (tmp_path / "look").mkdir()
    (tmp_path / "look" / "a.json.gz").write_bytes(gzip.compress(b'{"name": "Plantedname"}'))
    (tmp_path / "look" / "b.txt").write_text("nobody")
    assert traces(tmp_path / "look") == ["a.json.gz"]
