"""``inpaint --roi``: figures of regions beside the results."""

from __future__ import annotations

import csv

import nibabel as nib
import numpy as np
import pytest

from napari_brgm.engine.restoration import Restoration


@pytest.fixture
def regions(save, head):
    """1 over the hole and beside it, on two slices; 4 far away."""
    labels = np.zeros(head.shape)
    labels[18:34, 28:42, 1:3] = 1
    labels[2:6, 2:6, 0] = 4
    return save("regions.nii.gz", labels)


def test_their_figures_agree_with_the_samples(shell, scan, mask, regions, quick, tmp_path, head):
    out = tmp_path / "out"
    done = shell(
        "inpaint", scan, "--mask", mask, "--roi", regions, "--above", 600, "--out", out, "--plane", "axial", *quick
    )
    assert done.exit_code == 0, done.output
    (table,) = out.glob("*Regions*.csv")
    assert str(table) in done.stdout and table.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["region"], row["quantity"]) for row in rows] == [
        ("1", "mean"), ("1", "volume above 600 a.u."), ("4", "mean"), ("4", "volume above 600 a.u."),
    ]  # fmt: skip
    first, volume, far, _ = rows
    assert first["synthetic"] == str(12 * 10) and first["pixels"] == str(2 * 16 * 14)
    assert first["intervals"].startswith("intervals of regions are not calibrated")
    assert far["synthetic"] == "0" and far["low"] == far["high"] and far["intervals"] == "all of it was measured"
    assert float(far["value"]) == pytest.approx(head[2:6, 2:6, 0].mean(), rel=1e-4)
    found = Restoration.load(next(out.glob("*Axial001*.safetensors")))
    estimate = nib.load(next(out.glob("*InpaintEstimate*.nii.gz"))).get_fdata()
    inside = np.zeros(head.shape, bool)
    inside[18:34, 28:42, 1:3] = True
    hole = np.zeros(head.shape, bool)
    hole[20:32, 30:40, 1] = True
    measured = estimate[inside & ~hole].sum()
    drawn = np.asarray(found.samples)[:, ~found.measured].sum(axis=1)
    each = (measured + drawn) / inside.sum()
    assert float(first["value"]) == pytest.approx(each.mean(), rel=1e-4)
    assert float(first["std"]) == pytest.approx(each.std(), rel=1e-2, abs=1e-3)
    assert 0 < float(volume["value"]) < inside.sum() * abs(np.linalg.det(nib.load(scan).affine[:3, :3]))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"--above": 3, "--roi": None}, "--above is about the regions of --roi"),
        ({"--above": "nan"}, "--above is a threshold"),
        ({"--samples": 0}, "regions have intervals from samples"),
        ({"--roi": "scan"}, "holds no regions: give whole numbers"),
    ],
)
def test_what_is_no_region_is_refused(shell, scan, mask, regions, quick, tmp_path, change, sentence):
    given = {"--roi": regions} | {option: scan if value == "scan" else value for option, value in change.items()}
    options = [part for option, value in given.items() if value is not None for part in (option, value)]
    assert sentence in shell.refused("inpaint", scan, "--mask", mask, "--out", tmp_path / "out", *quick, *options)
    assert not (tmp_path / "out").exists()
