"""The table of calibrated uncertainty on toys: halves are kept apart, figures are those of ``restore``, runs go on."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_brgm.calibration import LEVELS, Calibration
from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.datasets import Framing
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError, OutputError
from napari_brgm.evaluation import calibration as table
from napari_brgm.evaluation import calibration_cells, calibration_measure
from napari_brgm.evaluation.calibration_cells import Store, restored, spread_by, worst_misfit
from napari_brgm.evaluation.calibration_figures import figures_of, summary
from napari_brgm.evaluation.calibration_fit import Gathered
from napari_brgm.evaluation.calibration_measure import HowToCalibrate
from napari_brgm.evaluation.calibration_report import put_into_registry
from napari_brgm.evaluation.grid import unscaled
from napari_brgm.evaluation.tasks import tasks_of_size
from napari_brgm.priors.finish import Finish, place_maps
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo
from napari_brgm.settings import preset

SIZE = 32
HOW = HowToCalibrate(slices=6, rival_slices=1, samples=8, device="cpu")


@pytest.fixture(scope="module")
def prior(smooth_images) -> LinearGaussian:
    info = PriorInfo("toy-32", modality="MR", plane="axial", spacing_mm=1.5, representation_sigma=6.0)
    return LinearGaussian.fit(smooth_images(60, SIZE), 12, info)


@pytest.fixture(scope="module")
def truth(prior) -> np.ndarray:
    return ((prior.sample(6, seed=3)[:, 0].numpy() + 1) * 127.5).clip(0, 255).astype(np.float32)


class Set:
    """Six images of six subjects."""

    name, framing, training = "toys", Framing(SIZE, 1.5), ""

    def __init__(self, images, subjects=(0, 1, 2, 3, 4, 5)) -> None:
        self.slices = SimpleNamespace(
            images=images[:, None],
            white=255,
            subjects=np.array(subjects),
            names=[f"s{i}/a b" for i in range(6)],
            notes=(),
        )

    def fits(self, prior) -> bool:
        return True

    def archive(self, data, part):
        return data / f"no-{part}-here"

    def read(self, data, part):
        assert part == "validation"
        return self.slices


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Few steps: what is tried here is not how good the restorations are."""
    settings = preset("default").but(steps=2)
    monkeypatch.setattr(HowToCalibrate, "settings_for", lambda self, prior: settings)
    quick = partial(calibration_cells.draws_with_released_entropy, steps=2)
    monkeypatch.setattr(calibration_cells, "draws_with_released_entropy", quick)
    return settings


@pytest.fixture(scope="module")
def finished(prior, truth, tmp_path_factory):
    """A whole run and its folder."""
    folder = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HowToCalibrate, "settings_for", lambda self, prior: preset("default").but(steps=2))
        quick = partial(calibration_cells.draws_with_released_entropy, steps=2)
        patch.setattr(calibration_cells, "draws_with_released_entropy", quick)
        report = table.run("nowhere", folder, [prior], how=HOW, sets=[Set(truth)])
    return report, folder


def test_every_task_has_every_figure(finished):
    report, folder = finished
    tasks = report.records["toy-32"]["map"]["tasks"]
    assert list(tasks) == [f"mask-{i}" for i in range(7)] + ["x2", "x4", "x8", "missing-95", "strokes"]
    for name, task in tasks.items():
        assert 0 < task["unscaled"]["coverage_all"]["0.9"] <= 1
        assert ("random halvings" in task) == (name != "strokes")
        for when in ("before", "after", "the other way round"):
            figures = task[when]
            assert figures["slices"] == figures["subjects"] == 3
            assert 0 < figures["coverage_all"]["0.9"] <= 1 and figures["crps"] > 0 and figures["energy"] > 0
            assert sum(figures["ranks"]["histogram"]) == figures["ranks"]["pixels"]
        assert ("seam" in task) == (not name.startswith("x")) and ("released entropy" in task) == (name != "strokes")
        assert task["misfit"]["after"] <= 0.05
    text = (folder / "results.md").read_text()
    assert "88 to 92 %" in text and "| mask-6 |" in text and "nan" not in text
    assert json.loads((folder / "results.json").read_text())["priors"].keys() == {"toy-32"}
    for kind in ("reliability", "sparsification"):
        assert (folder / f"toy-32--map--{kind}.png").stat().st_size > 10_000
    assert len((folder / "progress.log").read_text().splitlines()) >= 66


def test_the_factors_are_those_of_the_first_half(prior, truth, monkeypatch, tmp_path):
    """Other images of the other subjects change no factor; catches halves that leak into each other."""
    monkeypatch.setattr(calibration_measure, "tasks_of_size", lambda size: tasks_of_size(size)[3::5])  # mask-3, x4
    how = replace(HOW, rival_slices=0)

    def factors(name, images):
        table.run("nowhere", tmp_path / name, [prior], how=how, sets=[Set(images)])
        return json.loads((tmp_path / name / "calibration.json").read_text())["toy-32"]

    found = factors("first", truth)
    assert Calibration.from_dict(found).subjects == 3 and found["preset"] == "default"
    assert set(found["methods"]) == {"map"} and set(found["methods"]["map"]) == {"mask", "scattered", "downsample"}
    other = truth.copy()
    other[1::2] = other[1::2, ::-1] * 0.5
    assert factors("second", other) == found
    other[::2] *= 0.7
    assert factors("third", other) != found


def test_a_run_goes_on_where_it_was(finished, prior, truth, monkeypatch):
    """One slice is gone: it alone is restored, and the table is the same."""
    _, folder = finished
    before = json.loads((folder / "results.json").read_text())["priors"]["toy-32"]["map"]["tasks"]
    (folder / "cache" / "toy-32" / "cells" / "toys" / "x4" / "unscaled--s2-a-b.npz").unlink()
    made = []

    def counted(*given):
        made.append(given[1].name)
        return restored(*given)

    monkeypatch.setattr(unscaled, "restored", counted)
    monkeypatch.setattr(calibration_cells, "draws_with_released_entropy", None)
    table.run("nowhere", folder, [prior], how=HOW, sets=[Set(truth)])
    assert made == ["x4"]
    after = json.loads((folder / "results.json").read_text())["priors"]["toy-32"]["map"]["tasks"]
    for name in ("x2", "x4", "mask-3"):
        assert after[name]["after"]["crps"] == pytest.approx(before[name]["after"]["crps"], rel=1e-3)
        assert after[name]["after"]["coverage_all"] == pytest.approx(before[name]["after"]["coverage_all"], abs=0.01)


def test_other_settings_are_restored_again(finished, prior, truth, monkeypatch, tmp_path):
    _, folder = finished
    store = Store(folder / "cache" / "toy-32--map", {"samples": 9})
    assert store.load("x4", "s2/a b") is None


def test_figures_are_those_of_a_calibrated_restoration(finished, prior, truth, fast):
    """What is kept of a slice and given other factors later is what ``restore`` gives with these factors at once."""
    report, _ = finished
    known = copy.copy(prior)
    known.info = replace(prior.info, calibration=report.calibrations["toy-32"])
    for task in (tasks_of_size(SIZE)[3], tasks_of_size(SIZE)[8]):
        observed = task.observe(truth[1][None])[0]
        corruption = Downsample(task.factor) if task.missing is None else Mask(task.missing)
        at_once = restore(observed, corruption, known, samples=8, settings=fast, device="cpu")
        assert at_once.provenance["calibration"]["applied"]
        drawn = restored(observed, task, prior, "map", fast, 8, 0, "cpu")
        draws, widths = spread_by(drawn, truth[1], task, known, fast, "map")
        np.testing.assert_allclose(draws, at_once.samples[:, task.region], atol=2e-3)
        np.testing.assert_allclose(widths, at_once.widths[:, task.region], rtol=1e-5)


def test_factors_are_of_the_draws_that_statistics_are_made_of(prior, truth, fast, with_parts):
    """Catches factors that are measured on finished samples and applied to others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        net = Finish((4, 6, 8, 8))
    net.place = place_maps(torch.zeros(1, SIZE, SIZE), mirror=True)
    finishing = with_parts(prior, finish=Finish.from_state_dict(net.state_dict()))
    task = tasks_of_size(SIZE)[3]
    observed = task.observe(truth[1][None])[0]
    shown = restore(observed, Mask(task.missing), finishing, samples=8, settings=fast)
    assert shown.provenance["finished"]
    plain, drawn = (restored(observed, task, one, "map", fast, 8, 0, "cpu") for one in (prior, finishing))
    np.testing.assert_array_equal(drawn.draws, plain.draws)


def test_a_slice_comes_back_from_the_store(prior, truth, fast, tmp_path):
    task = tasks_of_size(SIZE)[2]
    drawn = restored(task.observe(truth[0][None])[0], task, prior, "map", fast, 8, 0, "cpu")
    store = Store(tmp_path / "cache", {"a": 1})
    assert store.load("mask-2", "one") is None
    store.save("mask-2", "one", drawn)
    again = Store(tmp_path / "cache", {"a": 1}).load("mask-2", "one")
    np.testing.assert_array_equal(again.mean, drawn.mean)
    np.testing.assert_allclose(again.draws, drawn.draws, atol=0.05)
    assert (again.noise, again.misfit, again.seams) == (drawn.noise, drawn.misfit, drawn.seams)
    assert drawn.misfit == 0 and drawn.mean.shape == (int(task.region.sum()),)


def test_the_worst_draw_counts():
    task = tasks_of_size(SIZE)[8]
    draws = np.zeros((3, SIZE, SIZE))
    draws[1] += 2.0
    assert worst_misfit(draws, np.zeros((8, 8)), task) == 2.0


def test_exact_gaussian_draws_are_covered_as_promised():
    """Truth and draws of one distribution: 50, 80, 90, 95 %; a spread of half the size covers far less."""
    rng = np.random.default_rng(0)
    region = np.ones((64, 64), bool)
    std = rng.uniform(5, 20, region.sum())
    mean = np.full(region.sum(), 100.0)
    truth = mean + std * rng.normal(size=len(std))
    noise = rng.normal(size=(64, len(std)))
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0)
    good = summary([figures_of(truth, mean, mean + std * noise, None, region, 0)])
    narrow = summary([figures_of(truth, mean, mean + 0.5 * std * noise, None, region, 0)])
    for level in LEVELS:
        assert good["coverage_all"][str(level)] == pytest.approx(level, abs=0.02)
        assert narrow["coverage_all"][str(level)] < level - 0.1
    assert good["crps"] < narrow["crps"] and good["energy"] < narrow["energy"]
    assert good["ause"] < good["ause_constant"] and good["spearman"] > 0.2
    assert good["width"] == pytest.approx(2 * 1.645 * std.mean(), rel=1e-3)


def test_subjects_are_the_unit_of_the_spread():
    """Slices of one subject are taken together; catches a spread that many slices of few subjects make small."""
    region = np.ones((10, 10), bool)
    mean, draws = np.full(100, 50.0), 50 + np.array([[-1.0], [1.0]]) * np.ones((2, 100))
    inside, outside = mean + 0.1, mean + 9.0
    slices = [
        figures_of(values, mean, draws, None, region, subject)
        for subject, values in ((1, inside), (1, outside), (3, inside), (3, inside))
    ]
    spread = summary(slices)["spread_all"]
    assert spread["between subjects"] == pytest.approx(np.std([0.5, 1.0], ddof=1))
    assert (spread["least"], spread["greatest"]) == (0.0, 1.0)


def test_groups_get_the_factors_of_their_own_pixels():
    """Deep pixels are twice as wrong as their std says, air half as much."""
    rng = np.random.default_rng(1)
    gathered = Gathered()
    at = np.repeat([0.01, 0.3], 20_000)
    mean = np.where(np.arange(40_000) % 2, 100.0, 2.0).astype(np.float32)
    wide = np.where(at > 0.1, 2.0, 1.0) * np.where(mean > 8, 1.0, 0.5)
    truth = (mean + 3.0 * wide * rng.normal(size=len(at))).astype(np.float32)
    gathered.add("mask-0", "mask", 3, at, mean, np.full(len(at), 3.0), truth)
    few = np.full(10, 0.03), mean[:10], np.full(10, 3.0), truth[:10]
    gathered.add("mask-1", "mask", 3, *few)  # too few for a factor
    gathered.add("mask-0", "mask", 4, at, mean, np.full(len(at), 0.1), truth)  # another subject
    curves = gathered.curves({3})
    tissue, air = curves["mask", "tissue"], curves["mask", "air"]
    assert tissue.at == pytest.approx((0.01, 0.3)) and len(air.at) == 2
    np.testing.assert_allclose(tissue.factors, [[1.0] * 4, [2.0] * 4], rtol=0.05)
    np.testing.assert_allclose(air.factors, [[0.5] * 4, [1.0] * 4], rtol=0.05)


def deviating(spreads, pixels=3_000, seed=0):
    """Gathered pixels of tissue whose truth deviates by (n,) times the posterior's std, a subject each."""
    rng, gathered = np.random.default_rng(seed), Gathered()
    mean, std = np.full(pixels, 100.0, np.float32), np.full(pixels, 3.0)
    for subject, spread in enumerate(spreads):
        truth = (mean + spread * 3.0 * rng.normal(size=pixels)).astype(np.float32)
        gathered.add("mask-0", "mask", subject, np.full(pixels, 0.05), mean, std, truth)
        gathered.add("x2", "downsample", subject, np.full(pixels, 2.0), mean, std, (mean + truth) / 2)
    return gathered


def test_the_scale_is_that_of_tissue_by_kind_of_task():
    """Air, which is twice as wrong here, has no say."""
    gathered = deviating([0.8] * 4)
    rng = np.random.default_rng(9)
    dark, std = np.full(5_000, 2.0, np.float32), np.full(5_000, 3.0)
    gathered.add("mask-0", "mask", 0, np.full(5_000, 0.05), dark, std, dark + (6 * rng.normal(size=5_000)))
    assert gathered.scales({0, 1, 2, 3}) == pytest.approx({"mask": 0.8, "downsample": 0.4}, rel=0.05)
    assert gathered.scales(set()) == {}


def test_halvings_tell_how_much_of_a_coverage_is_luck():
    """Subjects alike: 90 % and hardly any spread. Some far worse: still about 90 % on average, and a wide spread."""
    alike = deviating([1.0] * 12).halvings(20)
    apart = deviating([0.5, 1.0, 2.0] * 4).halvings(20)
    assert alike.keys() == apart.keys() == {"mask-0", "x2"}
    assert alike["mask-0"].mean == pytest.approx(0.9, abs=0.01) and alike["mask-0"].std < 0.01
    assert apart["mask-0"].mean == pytest.approx(0.9, abs=0.03) and apart["mask-0"].std > 0.015


def test_factors_go_into_a_registry_and_the_cards_once(finished, tmp_path):
    report, _ = finished
    path = tmp_path / "registry.json"
    card = tmp_path / "toy.md"
    card.write_text("# toy\n\n## Data\nSome.\n\n## Intended use and limits\nNone.")
    path.write_text(json.dumps({"toy-32": {"card": "toy.md", "file": "x"}, "other": {"file": "y"}}))
    for _ in range(2):
        assert put_into_registry(path, report) == ["toy-32"]
    found = json.loads(path.read_text())
    assert report.calibrations["toy-32"].scales.keys() == {"mask", "scattered", "downsample"}
    assert found["other"] == {"file": "y"} and found["toy-32"]["file"] == "x"
    assert Calibration.from_dict(found["toy-32"]["calibration"]).to_dict() == report.calibrations["toy-32"].to_dict()
    text = card.read_text()
    assert text.count("## Calibration") == 1 and text.index("## Calibration") < text.index("## Intended use")
    assert text.endswith("None.") and "3 validation subjects" in text
    path.write_text('{"other": {}}')
    with pytest.raises(InputError, match="has no prior toy-32"):
        put_into_registry(path, report)
    path.write_text("[")
    with pytest.raises(InputError, match="not a registry"):
        put_into_registry(path, report)
    with pytest.raises(OutputError):
        put_into_registry(tmp_path / "none.json", report)


def test_refusals(prior, truth, tmp_path):
    with pytest.raises(InputError, match="no prior"):
        table.run("nowhere", tmp_path, [], how=HOW)
    with pytest.raises(InputError, match="too few"):
        table.run("nowhere", tmp_path, [prior], how=HOW, sets=[Set(truth, (0, 0, 2, 2, 4, 4))])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        table.run("nowhere", tmp_path / "file", [prior], how=HOW, sets=[Set(truth)])
    assert tasks_of_size(SIZE)[7].corruption == Downsample(2)
