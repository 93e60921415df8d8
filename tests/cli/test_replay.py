"""``napari-brgm replay``: bit-identical, or which part of the record differs."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from dicom_sources import oblique

from napari_brgm.cli.replay import command_of, differences
from napari_brgm.errors import InputError
from napari_brgm.scans import read_scan


@pytest.fixture
def made(shell, scan, mask, quick, tmp_path):
    """Record of an in-painted slice."""
    done = shell("inpaint", scan, "--mask", mask, "--out", tmp_path / "out", "--seed", 3, *quick)
    assert done.exit_code == 0, done.output
    return next((tmp_path / "out").glob("*InpaintEstimate*.json"))


@pytest.fixture
def again(shell, scan, mask, quick, tmp_path):
    def replay(record, scan=scan, mask=mask, **more):
        extra = [part for name, value in more.items() for part in (f"--{name}", value)]
        given = ["--scan", scan, "--mask", mask, "--prior", quick[1], "--device", "cpu", "--out", tmp_path / "again"]
        return shell("replay", record, *given, "--overwrite", *extra)

    return replay


def test_a_record_makes_the_same_result_again(made, again):
    done = again(made)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "bit-identical" and "differs" not in done.stderr
    beside = again(next(made.parent.glob("*InpaintEstimate*.nii.gz")))
    assert beside.exit_code == 0


def test_under_a_pseudonym_no_name_comes_back(made, again, scan, tmp_path):
    """And a scan of other name is the same scan."""
    planted = tmp_path / "PLANTED.nii.gz"
    planted.write_bytes(scan.read_bytes())
    done = again(made, scan=planted, pseudonym="sub-09")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "bit-identical"
    written = list((tmp_path / "again").rglob("*"))
    assert any(path.name.startswith("sub-09_desc-brgmInpaintEstimate") for path in written)
    assert "PLANTED" not in done.output and not any("PLANTED" in path.name for path in written)
    assert not any(b"PLANTED" in path.read_bytes() for path in written if path.suffix == ".json")


def test_what_differs_is_named(made, again, scan, mask, save, head):
    other = save("other.nii.gz", head + 30)
    done = again(made, scan=other)
    assert done.exit_code == 1
    assert "differs: input other.nii.gz: other bytes than sub-01_T1w.nii.gz had" in done.stderr
    assert done.stdout.splitlines()[-1].startswith("not identical: ")
    record = json.loads(made.read_text())
    record["prior"]["sha256"], record["software"]["torch"] = "0" * 64, "1.0"
    made.write_text(json.dumps(record))
    done = again(made)
    assert done.exit_code == 1 and done.stdout.splitlines()[-1] == "bit-identical"
    assert "differs: prior.sha256: 000" in done.stderr and "differs: software.torch: 1.0, now" in done.stderr


def test_pixels_that_were_changed_are_counted(made, again):
    image = next(made.parent.glob("*InpaintEstimate*.nii.gz"))
    loaded = nib.load(image)
    pixels = loaded.get_fdata(dtype=np.float32)
    pixels[25, 35, 1] += 2
    nib.save(nib.Nifti1Image(pixels, loaded.affine), image)
    done = again(made)
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == f"not identical: 1 of {pixels.size} pixels differ, by 2 at most"


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("superres", ("--factor", "2", "--index", 1)),
        ("clean", ("--noise-sigma", 25, "--index", 1)),
        ("clean", ("--jpeg-quality", 10, "--index", 1)),
    ],
)
def test_other_tasks_too(shell, scan, quick, tmp_path, task, options):
    done = shell(task, scan, "--out", tmp_path / "out", *options, *quick)
    assert done.exit_code == 0, done.output
    record = next((tmp_path / "out").glob("*Estimate*.json"))
    given = ["--scan", scan, "--prior", quick[1], "--device", "cpu", "--out", tmp_path / "again"]
    done = shell("replay", record, *given)
    assert done.exit_code == 0, done.output
    assert "takes no mask" in shell.refused("replay", record, *given, "--mask", scan)


def test_what_is_no_record_is_refused(shell, scan, mask, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    given = ("--scan", scan, "--mask", mask, "--out", tmp_path / "again")
    assert "has no record of a result" in shell.refused("replay", tmp_path / "a.json", *given)
    with pytest.raises(InputError, match="nothing is replayed"):
        command_of({"corruption": {"name": "Blur"}})


def test_differences_leave_out_what_passes():
    one = {"created": "a", "seed": 1, "slices": [{"seconds": 2.0, "index": 3}], "Units": "HU"}
    other = {"created": "b", "seed": 2, "slices": [{"seconds": 4.0, "index": 4}], "Units": "a.u."}
    assert list(differences(one, other)) == ["seed: 1, now 2", "slices[0].index: 3, now 4"]
    assert list(differences({}, {"seed": 2})) == ["seed: None, now 2"]


@pytest.fixture
def of_dicom(shell, quick, tmp_path):
    """A folder of two series, a mask on the second, and the record of a run with it."""
    for number in (2, 5):
        upright = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        oblique(tmp_path / "study" / str(number), SeriesNumber=number, SeriesInstanceUID=f"1.2.3.{number}", **upright)
    second = read_scan(tmp_path / "study")[1]
    missing = np.zeros(second.shape, np.uint8)
    missing[25:33, 30:44, 1:3] = 1
    nib.save(nib.Nifti1Image(missing, second.affine), tmp_path / "m.nii")
    given = [
        "inpaint",
        tmp_path / "study",
        "--series",
        2,
        "--mask",
        tmp_path / "m.nii",
        "--out",
        tmp_path / "out",
        *quick,
    ]
    done = shell(*given)
    assert done.exit_code == 0, done.output
    return next((tmp_path / "out").glob("series-5*Estimate*.json")), tmp_path / "study", tmp_path / "m.nii"


def test_a_record_of_dicom_too(of_dicom, again, tmp_path):
    record, study, mask = of_dicom
    done = again(record, scan=study, mask=mask)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "bit-identical" and "differs" not in done.stderr
    assert (tmp_path / "again" / "series-5_desc-brgmInpaintDicom_image" / "estimate").is_dir()
    alone = again(record, scan=study / "5", mask=mask)
    assert alone.exit_code == 1 and alone.stdout.splitlines()[-1] == "bit-identical"
    assert "differs: input 5: other bytes than series 5 had" in alone.stderr
    assert "no series 5 in 2; " in again(record, scan=study / "2", mask=mask).stderr
