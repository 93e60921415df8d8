"""The table of priors: right set, right images, right comparison, and nothing done twice."""

import json

import numpy as np
import pytest
from evaluation.toy_set import TOY, toy_prior, write_toy_set
from PIL import Image

from napari_brgm.errors import InputError, ScanError
from napari_brgm.evaluation.grid import generative
from napari_brgm.evaluation.grid.catalogue import Setting, method_of
from napari_brgm.evaluation.priors import HowToInfer, run
from napari_brgm.evaluation.tasks import grid_tasks
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.settings import InferenceSettings, preset

HOW = HowToInfer(settings=InferenceSettings(steps=2), samples=2, device="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory, smooth_images):
    folder = tmp_path_factory.mktemp("data")
    write_toy_set(folder, smooth_images)
    return folder


@pytest.fixture(scope="module")
def prior(data):
    return toy_prior(data)


def test_one_table_of_priors(data, prior, tmp_path, capsys):
    seen = []
    report = run(data, tmp_path, [prior], 2, lambda *said: seen.append(said), how=HOW, sets=(TOY,))
    (row,) = report.rows
    assert len(row.images) == 2 and row.images[0] != row.images[1]
    # a linear prior is inverted at once, and better than it restores
    whole = row.value("w+", "whole", "rmse")
    assert whole == pytest.approx(row.value("w", "whole", "rmse"), abs=1e-6)
    assert whole < row.value("mean", "mask-0", "rmse")
    assert row.kinds == ["mean", "map", "draw"] and len(row.tasks) == 10
    # draws are no means: farther from the truth
    assert row.value("draw", "x8", "rmse") > row.value("mean", "x8", "rmse")
    assert row.percent("mean", "rmse", "x2") == pytest.approx(
        100 * (row.value("mean", "x2", "rmse") / row.value("linear", "x2", "rmse") - 1)
    )
    kept = json.loads((tmp_path / "results.json").read_text())["priors"]["toy-32"]
    assert kept["figures"]["w+"]["whole"]["rmse"] == whole
    assert kept["frechet"]["training images"] < kept["frechet"]["samples"]
    assert set(kept["about"]["linear rival"]) == set(row.tasks)
    text = (tmp_path / "results.md").read_text()
    assert "| toy-32 | linear-Gaussian mean |" in text and "W+ reconstruction RMSE" in text
    with Image.open(tmp_path / "toy-32.png") as sheet:
        assert sheet.size[0] > 8 * 128
    assert "toy-32" in capsys.readouterr().out
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen) and seen[-1][0] == seen[-1][1]


def test_a_cut_run_goes_on_and_a_finished_one_costs_nothing(data, prior, tmp_path, monkeypatch):
    calls = []

    def counted(*given, **named):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return restore(*given, **named)

    restore = generative.restore
    monkeypatch.setattr(generative, "restore", counted)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path, [prior], 2, how=HOW, sets=(TOY,))
    first = run(data, tmp_path, [prior], 2, how=HOW, sets=(TOY,))
    assert len(calls) == 21  # 2 images x 10 tasks, and the one that was cut
    (data / "toy" / "train.zip").rename(data / "toy" / "away.zip")  # the rival is kept, the training set not needed
    try:
        again = run(data, tmp_path, [prior], 2, how=HOW, sets=(TOY,))
    finally:
        (data / "toy" / "away.zip").rename(data / "toy" / "train.zip")
    assert len(calls) == 21
    assert again.rows == first.rows


def test_a_colour_prior_is_measured_on_the_mean_of_its_channels(parity, tmp_path):
    net = StyleGAN2.from_state_dict(parity("64_rgb")[0])
    colour = StyleGAN2Prior.of_network(net, PriorInfo("colour", "MR", "axial", 1.0))
    truth = np.zeros((64, 64), np.float32)
    truth[16:48, 16:48] = 150
    tasks = {task.name: task for task in grid_tasks(64)}
    setting = Setting(TOY, tmp_path, tmp_path, colour, samples=2, device="cpu", settings=HOW.settings)
    hole = tasks["mask-2"]
    found = method_of("ours", setting).restore(hole.observe(truth[None])[0], hole, 0)
    seen = ~hole.region
    assert found.estimate.shape == (64, 64)
    assert np.allclose(found.others["sample"][seen], truth[seen])
    assert method_of("invert-w", setting).restore(truth, tasks["whole"], 0).estimate.shape == (64, 64)


def test_steps_where_there_is_no_linear_start(random_stylegan2, prior):
    assert HowToInfer().settings_for(prior).steps == preset("default").steps
    assert HowToInfer().settings_for(random_stylegan2).steps == preset("unaided").steps > preset("default").steps
    assert HOW.settings_for(random_stylegan2).steps == 2


def test_vi_has_no_map_image(data, prior, tmp_path):
    how = HowToInfer("vi", InferenceSettings(steps=2, vi_steps=2), samples=2, device="cpu")
    (row,) = run(data, tmp_path, [prior], 1, how=how, sets=(TOY,)).rows
    assert row.kinds == ["mean", "draw"] and row.singles == ["draw"]


def test_refusals(data, prior, random_stylegan2, tmp_path):
    with pytest.raises(InputError, match=r"random-32 \(modality unknown.*fits none of the validation sets \(discs"):
        run(data, tmp_path, [prior, random_stylegan2], 2, how=HOW, sets=(TOY,))
    with pytest.raises(InputError, match="two priors are called toy-32"):
        run(data, tmp_path, [prior, prior], 2, how=HOW, sets=(TOY,))
    with pytest.raises(InputError, match="no prior to measure"):
        run(data, tmp_path, [], 2, how=HOW, sets=(TOY,))
    with pytest.raises(InputError, match="13 images were asked for, but the validation set has 12"):
        run(data, tmp_path, [prior], 13, how=HOW, sets=(TOY,))
    with pytest.raises(ScanError, match="does not exist"):
        run(tmp_path, tmp_path, [prior], 2, how=HOW, sets=(TOY,))
