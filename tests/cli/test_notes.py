"""What is to be known of a result reaches the person at the shell, each thing once."""

from __future__ import annotations

import json
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from napari_brgm import read_scan
from napari_brgm.cli.restoration import tell_notes
from napari_brgm.engine import run as module
from napari_brgm.scans.samples import brain_slice

QUICK = ("--steps", 2, "--samples", 2, "--device", "cpu")
UNLIKE = "this scan is unlike what the prior knows: its misfit is {:.2f}, that of held-out slices at most 0.25"


def restored(index, *notes):
    return SimpleNamespace(title=f"axial slice {index}"), SimpleNamespace(provenance={"notes": list(notes)})


@pytest.mark.parametrize(
    ("slices", "lines"),
    [
        ([restored(3)], []),
        ([restored(3, "a", "b")], ["note: a", "note: b"]),
        ([restored(3, "a"), restored(4, "a")], ["note: a"]),
        ([restored(3, "a"), restored(4)], ["note: axial slice 3: a"]),
        (
            [restored(i, UNLIKE.format(0.3 + i / 100)) for i in range(5)],
            [f"note: axial slice 0: {UNLIKE.format(0.3)}, and alike for 4 more"],
        ),
    ],
)
def test_each_sentence_once(slices, lines, capsys):
    """Catches a line for every slice of a volume, and a note of one slice that reads as that of all."""
    tell_notes(slices)
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", lines)


def test_the_intervals_are_told_last(capsys):
    """Whether they are calibrated, once for all slices."""
    slices = [restored(3, "a"), restored(4, "a")]
    for _, result in slices:
        result.provenance["calibration"] = {"label": "90 % intervals calibrated on 10 held-out subjects"}
    tell_notes(slices)
    assert capsys.readouterr().err.splitlines() == [
        "note: a", "note: 90 % intervals calibrated on 10 held-out subjects",
    ]  # fmt: skip


@pytest.fixture
def noting(monkeypatch):
    """Restorations that say something of themselves."""
    run = module.run

    def noted(job, tell, keep):
        results = run(job, tell, keep)
        for result in results:
            result.provenance["notes"] = [UNLIKE.format(0.34)]
        return results

    monkeypatch.setattr(module, "run", noted)


@pytest.mark.parametrize(
    "command",
    [
        ("inpaint", "--missing-share", 0.5),
        ("superres", "--factor", 2),
        ("clean", "--noise-sigma", 20),
    ],
)
def test_commands_tell_the_notes(shell, scan, tmp_path, shipped_weights, noting, command):
    name, *options = command
    done = shell(name, scan, *options, "--out", tmp_path / "out", *QUICK)
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines().count(f"note: {UNLIKE.format(0.34)}") == 1
    assert "unlike" not in done.stdout


@pytest.fixture
def small_atlas(tmp_path):
    """The MNI152 slice on the pixels of the prior's own frame, 128 x 128 of 1.5 mm, anterior up in viewers."""
    scan, _ = brain_slice()
    middle = [(n - 1) / 2 for n in scan.shape[:2]]
    at = np.meshgrid(*((np.arange(128) - 63.5) * 1.5 + m for m in middle), indexing="ij")
    array = map_coordinates(scan.array[..., 0], at, order=1)[..., None]
    affine = scan.affine @ np.diag([1.5, 1.5, 1, 1])
    affine[:3, 3] += scan.affine[:3, :2] @ (np.array(middle) - 63.5 * 1.5)
    path = tmp_path / "sub-small_T1w.nii.gz"
    nib.save(nib.Nifti1Image(array.astype(np.float32), affine), path)
    return path


@pytest.mark.parametrize(
    ("command", "name"),
    [(("inpaint", "--missing-share", 0.3), "brgmInpaint"), (("clean", "--noise-sigma", 0.05), "brgmClean")],
)
def test_a_scan_on_the_priors_own_pixels_is_turned_about(shell, small_atlas, tmp_path, shipped_weights, command, name):
    """Files say their pixel size: catches a slice that is taken for one of the prior's own, and left upside down."""
    (scan,) = read_scan(small_atlas)
    piece = scan.slice("axial", 0)
    assert piece.image.shape == (128, 128) and piece.spacing == pytest.approx((1.5, 1.5))
    out = tmp_path / "out"
    done = shell(command[0], small_atlas, *command[1:], "--out", out, *QUICK)
    assert done.exit_code == 0, done.output
    found = json.loads((out / f"sub-small_desc-{name}Estimate_T1w.json").read_text())["alignment"]
    assert found["fitted"] and abs(found["rotation"]) == pytest.approx(180, abs=5)
