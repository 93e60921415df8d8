"""The whole table on a few made-up slices: it must measure, go on after a cut, and refuse with a sentence."""

import io
import json
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from napari_brgm.errors import InputError, ScanError
from napari_brgm.evaluation import ours
from napari_brgm.evaluation.dataset import read_brain_slices
from napari_brgm.evaluation.table import METHODS, run
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.settings import PRESETS, InferenceSettings, preset

FAST = InferenceSettings(steps=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """15 slices of discs, of which the table takes 2."""
    folder = tmp_path_factory.mktemp("data") / "brain"
    folder.mkdir()
    rows, columns = np.ogrid[:208, :176]
    rng = np.random.default_rng(0)
    for name in ("train", "validation"):
        with zipfile.ZipFile(folder / f"brain_{name}.zip", "w") as archive:
            for index in range(15):
                radius = ((rows - 104) / 80) ** 2 + ((columns - 88) / 60) ** 2
                image = 200 * (radius < rng.uniform(0.6, 1)) - 90 * (radius < rng.uniform(0.1, 0.3))
                stream = io.BytesIO()
                Image.fromarray(image.astype(np.uint8)).save(stream, "jpeg")
                archive.writestr(f"subject-000/slice-{index:02}.jpg", stream.getvalue())
    return folder.parent


@pytest.fixture(scope="module")
def prior(data):
    images = read_brain_slices(data / "brain" / "brain_train.zip").images
    return LinearGaussian.fit(torch.from_numpy(images)[:, None] / 127.5 - 1, 3)


def test_rivals_and_ours_in_one_table(data, prior, tmp_path, capsys):
    seen = []
    methods = ("mean-image", "bicubic", "map", "vi")
    run(data, tmp_path, prior, methods=methods, progress=lambda *said: seen.append(said), settings=FAST, samples=4)
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["about"]["slices"] == 2
    assert list(results["methods"]) == list(methods)
    tasks = results["methods"]["map"]["tasks"]
    assert len(tasks) == 10
    assert tasks["mask-0"]["rmse"] < results["methods"]["mean-image"]["tasks"]["mask-0"]["rmse"]
    assert tasks["mask-2"]["rmse_image"] < tasks["mask-2"]["rmse"]  # measured pixels are kept
    assert "x4" not in results["methods"]["mean-image"]["tasks"]
    assert "| ours, VI mean |" in (tmp_path / "results.md").read_text()
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert min(sheet.size) > 500
    assert "vi" in capsys.readouterr().out
    assert seen[0] == (0, 7 + 3 + 20, "mean training image, 0 right half")


def test_a_cut_run_goes_on_where_it_was(data, prior, tmp_path, monkeypatch):
    calls = []

    def counted(job, keep):
        def seen(index, result):
            calls.append(1)
            if len(calls) == 6:
                raise KeyboardInterrupt
            return keep(index, result)

        return jobs(job, keep=seen)

    jobs = ours.run
    monkeypatch.setattr(ours, "run", counted)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, prior, methods=("map",), settings=FAST, samples=2)
    run(data, tmp_path, prior, methods=("map",), settings=FAST, samples=2)
    assert len(calls) == 21  # 2 slices x 10 tasks, and only the one that was cut twice
    run(data, tmp_path, prior, methods=("map",), settings=FAST, samples=3)
    assert len(calls) == 41  # other settings are another run


def test_without_opencv_the_rest_is_measured(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    report = run(data, tmp_path, None, methods=("telea", "mean-image"))
    assert [row.method for row in report.rows] == ["mean-image"]
    assert "pip install napari-brgm[evaluation]" in report.notes[0]


def test_chosen_tasks_and_the_objectives_of_brgm(data, prior, tmp_path, monkeypatch):
    """Their rows are the presets as they are, whatever settings the other rows have."""
    for name in ("paper", "reference"):
        monkeypatch.setitem(PRESETS, name, preset(name).but(steps=2, features="none"))
    report = run(data, tmp_path, prior, methods=("map", "paper", "reference"), settings=FAST, samples=2, tasks=("x4",))
    rows = {row.method: row for row in report.rows}
    assert set(rows) == {"map", "paper", "reference"} and all(set(row.scores) == {"x4"} for row in rows.values())
    assert len({row.scores["x4"].rmse for row in rows.values()}) == 3
    run(data, tmp_path / "no-sheet", prior, methods=("map",), settings=FAST, samples=2, tasks=("x2",))
    assert not (tmp_path / "no-sheet" / "contact_sheet.png").exists()
    with pytest.raises(InputError, match="no task 'x3'"):
        run(data, tmp_path, prior, methods=("map",), tasks=("x3",))


def test_refusals(data, tmp_path):
    with pytest.raises(InputError, match="no method 'gan'"):
        run(data, tmp_path, None, methods=("gan",))
    with pytest.raises(InputError, match="need a prior"):
        run(data, tmp_path, None, methods=METHODS)
    with pytest.raises(ScanError, match="does not exist"):
        run(tmp_path, tmp_path, None, methods=("bicubic",))
