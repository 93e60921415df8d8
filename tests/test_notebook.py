"""The notebook of the documents runs from top to bottom, and what it says comes true."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import napari_brgm as brgm

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def cells() -> list[dict]:
    return json.loads(NOTEBOOK.read_text("utf-8"))["cells"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Its names after the last cell, as one process runs them in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("notebook")
        patch.chdir(folder)
        patch.setenv("NAPARI_BRGM_HOME", str(folder / "home"))
        mpl.use("Agg")
        names: dict = {"__name__": "__main__"}
        for cell in cells():
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{NOTEBOOK.name} {cell['id']}", "exec"), names)
        plt.close("all")
        names["out"] = names["out"].resolve()
        return names


def test_no_outputs_are_kept():
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells())


def test_the_slice_is_restored_and_kept(ran):
    kept = brgm.Restoration.load(ran["out"] / "slice.safetensors")
    assert np.array_equal(kept.estimate, ran["result"].estimate)
    assert ran["error"] < 0.15
    assert ran["result"].std[ran["missing"]].all()


def test_intervals_hold_what_was_hidden(ran):
    assert ran["held"] > 0.9
    assert ran["bright"][~ran["missing"]].max() <= 1


def test_neighbours_help(ran):
    assert ran["volume"].samples.shape == (4, *ran["stack"].shape)
    assert ran["missed"](ran["volume"].estimate[3]) < ran["missed"](ran["alone"].estimate)


def test_the_batch_did_both_scans(ran):
    rows = list(csv.DictReader((ran["out"] / "restored" / "batch.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["done", "done"]
    for name in ("lower", "upper"):
        assert list((ran["out"] / "restored" / name).glob("*Variance*.nii.gz"))
