"""Identifiers of a DICOM source go into derived DICOM and nowhere else; files are for their owner alone."""

from __future__ import annotations

import gzip
import json
import os

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from dicom_sources import oblique
from PIL import Image

from napari_brgm.cli.pseudonym import under_key
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


def test_nothing_but_derived_dicom_names_the_patient(source, tmp_path, home, shell):
    series, mask, net = source
    rows = tmp_path / "rows.csv"
    rows.write_text(f"scan,mask,name\n{series},{mask},first\n")
    out, umask = tmp_path / "out", os.umask(0)
    options = ["--prior", net, "--steps", 3, "--samples", 2, "--device", "cpu", "--roi", mask, "--plane", "axial"]
    command = ["batch", "--job", rows, "--out", out, "--processes", 1, "--json", "inpaint", *options]
    try:
        done = shell(*command)
    finally:
        os.umask(umask)
    assert done.exit_code == 0, done.stderr
    assert not any(trace in (done.stdout + done.stderr).lower().encode() for trace in TRACES)
    derived = list(out.rglob("*.dcm"))
    assert derived and all(pydicom.dcmread(path).PatientID == PLANTED["PatientID"] for path in derived)
    inside = {str(path.relative_to(out)) for path in derived}
    assert set(traces(out)) == inside
    assert traces(home) == []
    assert not any("planted" in str(path.relative_to(out)).lower() for path in out.rglob("*"))
    open_ones = [path for path in out.rglob("*") if path.stat().st_mode & 0o077]
    assert open_ones == [] and out.stat().st_mode & 0o077 == 0


@pytest.fixture
def named(source, tmp_path):
    """Scans, masks and folders that are called after a patient: one whole, one broken, and a mask alone."""
    _, mask, net = source
    whole = nib.load(mask)
    pixels = np.random.default_rng(2).random(whole.shape).astype(np.float32) * 100 + 300
    for kind, stem in (("scans", ""), ("masks", "_mask")):
        folder = tmp_path / "named" / kind / "Plantedname_Zoe"
        folder.mkdir(parents=True)
        image = pixels if kind == "scans" else np.asarray(whole.dataobj)
        nib.save(nib.Nifti1Image(image, whole.affine), folder / f"plantedname_t1{stem}.nii.gz")
        (folder / f"plantedname_cut{stem}.nii.gz").write_bytes(
            (folder / f"plantedname_t1{stem}.nii.gz").read_bytes()[:99]
        )
    (tmp_path / "named" / "masks" / "planted_alone_mask.nii.gz").write_bytes(b"")
    return tmp_path / "named", ["--prior", net, "--steps", 3, "--samples", 2, "--device", "cpu", "--plane", "axial"]


def test_under_pseudonyms_nothing_names_a_file_or_folder_of_the_input(named, tmp_path, shell, home):
    folder, options = named
    out, key = tmp_path / "out", tmp_path / "key"
    given = ["batch", "--scans", folder / "scans", "--masks", folder / "masks", "--pseudonyms", key, "--out", out]
    command = [*given, "--processes", 1, "inpaint", *options]
    done = shell(*command)
    assert done.exit_code == 1 and "1 of 2 restored, 1 failed" in done.stderr
    assert "is left out: a scan and a mask do not fit" in done.stderr and key.stat().st_mode & 0o77 == 0
    said = done.stdout + done.stderr
    assert not any(trace in said.lower().encode() for trace in TRACES), said
    assert traces(out) == [] and traces(home) == []
    assert not any("planted" in str(path.relative_to(out)).lower() for path in out.rglob("*"))
    assert not list(out.rglob(".brgm-*"))
    (image,) = out.rglob("*Estimate*.nii.gz")
    name = image.name.split("_")[0]
    record = json.loads(image.with_name(image.name.replace(".nii.gz", ".json")).read_text())
    assert [one["name"] for one in record["inputs"]] == [f"{name}.nii.gz", f"{name}-mask.nii.gz"]
    assert image.parent.name == name == under_key("Plantedname_Zoe/plantedname_t1", key.read_bytes().strip())
    before = image.stat().st_mtime_ns
    assert shell(*command).exit_code == 1 and image.stat().st_mtime_ns == before
    key.write_text("short")
    assert "too short for a key" in shell.refused(*command)


def test_a_single_command_and_a_row_take_a_pseudonym(source, named, tmp_path, shell):
    series, mask, _ = source
    folder, options = named
    scan = folder / "scans" / "Plantedname_Zoe" / "plantedname_t1.nii.gz"
    single = [
        "clean",
        scan,
        "--noise-sigma",
        20,
        "--index",
        1,
        *options,
        "--pseudonym",
        "sub-07",
        "--out",
        tmp_path / "o",
    ]
    done = shell(*single)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "o" / "sub-07_desc-brgmCleanEstimate_image.nii.gz").is_file()
    assert traces(tmp_path / "o") == [] and not list((tmp_path / "o").glob(".*"))
    assert "--with-description names what" in shell.refused(*single, "--with-description")
    assert "such as sub-01; got '../a'" in shell.refused(*single[:-4], "--pseudonym", "../a", "--out", tmp_path / "p")
    rows = tmp_path / "rows.csv"
    rows.write_text(f"scan,mask,pseudonym\n{series},{mask},sub-08\n{series}/gone,{mask},sub-09\n")
    done = shell("batch", "--job", rows, "--out", tmp_path / "rows", "--processes", 1, "inpaint", *options)
    assert done.exit_code == 1 and "sub-09 failed: there is no scan of sub-09" in done.stderr
    written = {path.relative_to(tmp_path / "rows") for path in (tmp_path / "rows" / "sub-08").rglob("*")}
    assert any(path.suffix == ".dcm" for path in written)
    assert all(name.endswith(".dcm") for name in traces(tmp_path / "rows"))


def test_the_search_finds_what_is_planted(source, tmp_path):
    """Or it would find nothing for want of looking."""
    (tmp_path / "look").mkdir()
    (tmp_path / "look" / "a.json.gz").write_bytes(gzip.compress(b'{"name": "Plantedname"}'))
    (tmp_path / "look" / "b.txt").write_text("nobody")
    assert traces(tmp_path / "look") == ["a.json.gz"]
