"""The table of priors: right set, right images, right comparison, and nothing done twice."""

import json
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from napari_brgm.datasets import Framing
from napari_brgm.errors import InputError, ScanError
from napari_brgm.evaluation import prior_cells
from napari_brgm.evaluation.cache import Cache
from napari_brgm.evaluation.held_out import HeldOutSet, grey_images
from napari_brgm.evaluation.prior_cells import HowToInfer, PriorCells
from napari_brgm.evaluation.priors import run
from napari_brgm.evaluation.tasks import tasks_of_size
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.settings import InferenceSettings, preset

SIZE = 32
TOY = HeldOutSet(
    "toy", "discs", "toy", "train.zip", "validation.zip", Framing(SIZE, 1.0), (1.0, 1.0), ("mr",), ("axial",)
)
INFO = PriorInfo("toy-32", modality="MR T1", plane="axial", spacing_mm=1.0, representation_sigma=8.0)
HOW = HowToInfer(settings=InferenceSettings(steps=2), samples=2, device="cpu", inversion_steps=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory, smooth_images):
    folder = tmp_path_factory.mktemp("data")
    (folder / "toy").mkdir()
    for name, subjects, seed in (("train", 10, 0), ("validation", 3, 1)):
        grey = (127.5 * (smooth_images(subjects * 4, SIZE, seed)[:, 0] + 1)).round().to(torch.uint8).numpy()
        with zipfile.ZipFile(folder / "toy" / f"{name}.zip", "w") as archive:
            for number, image in enumerate(grey):
                stream = BytesIO()
                Image.fromarray(image).save(stream, "png")
                archive.writestr(f"subject-{number // 4:03}/slice-{number % 4:02}.png", stream.getvalue())
    return folder


@pytest.fixture(scope="module")
def prior(data):
    images = torch.from_numpy(grey_images(TOY.read(data, "training")))[:, None] / 127.5 - 1
    return LinearGaussian.fit(images, 12, INFO)


def test_one_table_of_priors(data, prior, tmp_path, capsys):
    seen = []
    report = run(data, tmp_path, [prior], 2, lambda *said: seen.append(said), how=HOW, sets=(TOY,))
    (row,) = report.rows
    assert len(row.images) == 2 and row.images[0] != row.images[1]
    # a linear prior is inverted at once, and better than it restores
    assert row.reconstruction["w+"].rmse == pytest.approx(row.reconstruction["w"].rmse, abs=1e-6)
    assert row.reconstruction["w+"].rmse < row.restored["mean"]["mask-0"].rmse
    assert set(row.restored) == {"mean", "map", "draw"} and len(row.restored["draw"]) == 10
    # draws are no means: farther from the truth
    assert row.restored["draw"]["x8"].rmse > row.restored["mean"]["x8"].rmse
    assert row.percent("mean", "rmse", "x2") == pytest.approx(
        100 * (row.restored["mean"]["x2"].rmse / row.linear["x2"].rmse - 1)
    )
    kept = json.loads((tmp_path / "results.json").read_text())["priors"]["toy-32"]
    assert kept["reconstruction"]["w+"]["rmse"] == row.reconstruction["w+"].rmse
    assert kept["frechet"]["training images"] < kept["frechet"]["samples"]
    assert kept["about"]["linear rival"]["training_images"] == 40
    text = (tmp_path / "results.md").read_text()
    assert "| toy-32 | linear-Gaussian mean |" in text and "W+ reconstruction RMSE" in text
    with Image.open(tmp_path / "toy-32.png") as sheet:
        assert sheet.size[0] > 8 * 128
    assert "toy-32" in capsys.readouterr().out
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen) and seen[-1][0] < seen[-1][1]


def test_a_cut_run_goes_on_and_a_finished_one_costs_nothing(data, prior, tmp_path, monkeypatch):
    calls = []

    def counted(*given, **named):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return restore(*given, **named)

    restore = prior_cells.restore
    monkeypatch.setattr(prior_cells, "restore", counted)
    monkeypatch.setattr(prior_cells, "_SAVE_EVERY", 0.0)
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


def test_a_colour_prior_is_measured_on_the_mean_of_its_channels(data, parity, tmp_path):
    net = StyleGAN2.from_state_dict(parity("64_rgb")[0])
    colour = StyleGAN2Prior.of_network(net, PriorInfo("colour", "MR", "axial", 1.0))
    truth = np.zeros((1, 64, 64), np.float32)
    truth[:, 16:48, 16:48] = 150
    cells = PriorCells("colour", colour, truth, {}, HOW, Cache(tmp_path))
    (task,) = (task for task in tasks_of_size(64) if task.name == "mask-2")
    found = cells.restoration(task, lambda _: None)
    seen = ~task.region
    assert found["mean"].pictures.shape == (1, 64, 64)
    assert np.allclose(found["draw"].pictures[0][seen], truth[0][seen])
    assert cells.reconstruction("w+", lambda _: None).pictures.shape == (1, 64, 64)


def test_steps_where_there_is_no_linear_start(random_stylegan2, prior):
    assert HowToInfer().settings_for(prior).steps == preset("default").steps
    assert HowToInfer().settings_for(random_stylegan2).steps == preset("unaided").steps > preset("default").steps
    assert HOW.settings_for(random_stylegan2).steps == 2


def test_vi_has_no_map_image():
    assert HowToInfer(method="vi").kinds == ("mean", "draw")


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
