"""A study on a prior whose draws are the truth: intervals hold, rows are kept, and the tables say what the rows do."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_brgm.datasets import Framing, SliceSet
from napari_brgm.evaluation.downstream.areas import AreaMeasure
from napari_brgm.evaluation.downstream.report import DownstreamReport
from napari_brgm.evaluation.downstream.study import OURS, SAMPLE, SAMPLES, TRUE, DownstreamRow, DownstreamStudy
from napari_brgm.evaluation.grid import unscaled
from napari_brgm.evaluation.held_out_draws import HeldOutDraws
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.prior import PriorInfo

SIZE, SUBJECTS = 32, 24
TASKS = ("mask-0", "x4")


@pytest.fixture(scope="module")
def prior(smooth_images) -> LinearGaussian:
    info = PriorInfo("toy-32", modality="MR", plane="axial", spacing_mm=1.5, representation_sigma=6.0)
    return LinearGaussian.fit(smooth_images(80, SIZE), 12, info)


@pytest.fixture(scope="module")
def held(prior):
    """A slice of each subject, drawn from the prior with the noise that it expects; every second is demented."""
    grey = (prior.sample(SUBJECTS, seed=5)[:, 0].numpy() + 1) * 127.5
    grey = grey + 6 * np.random.default_rng(5).standard_normal(grey.shape)
    slices = SliceSet(
        grey.clip(0, 255).astype(np.uint8)[:, None], np.arange(SUBJECTS), tuple(f"s{i}" for i in range(SUBJECTS)),
        tuple(f"subject-{i + 100 * (i % 2):03d}" for i in range(SUBJECTS)), Framing(SIZE, 1.5),
    )  # fmt: skip
    return SimpleNamespace(
        name="toys", folder="brain", framing=slices.framing, linear=None, fits=lambda prior: True, training="",
        read=lambda data, part: slices, archive=lambda data, part: data / f"no-{part}-here",
    )  # fmt: skip


@pytest.fixture(scope="module")
def opened(prior, held, tmp_path_factory):
    """``opened(rivals)``: a study of 12 slices in one folder; area: that of dark pixels, which all of them have."""
    folder = tmp_path_factory.mktemp("study")

    def open_study(rivals=("biharmonic", "bicubic")) -> DownstreamStudy:
        study = DownstreamStudy(HeldOutDraws(prior, folder, folder, TASKS, 12, 19, 0, "cpu", [held]), rivals)
        study.area = AreaMeasure("dark", "pixels", lambda image: image < 100, 1.0)
        return study

    return open_study


@pytest.fixture(scope="module")
def rows(opened):
    return opened().rows()


def test_every_slice_has_a_row_of_every_method(rows, held):
    methods = {(row.task, row.method) for row in rows}
    common = (TRUE, OURS, SAMPLE, SAMPLES)
    assert methods == {("mask-0", m) for m in (*common, "biharmonic")} | {("x4", m) for m in (*common, "bicubic")}
    assert len(rows) == 12 * len(methods)
    assert all(row.demented == bool(row.subject % 2) for row in rows)
    images = held.read(None, None).images[:, 0]
    assert all(row.area == (images[row.slice] < 100).sum() for row in rows if row.method == TRUE)


def test_intervals_of_a_true_posterior_hold_true_areas(rows):
    """In holes: of super-resolution the toy's draws lack the noise that it expects."""
    true = {(row.task, row.slice): row.area for row in rows if row.method == TRUE}
    inside = [
        row.low <= true[row.task, row.slice] <= row.high
        for row in rows
        if (row.task, row.method) == ("mask-0", SAMPLES)
    ]
    assert np.mean(inside) > 0.7
    assert all(np.isnan(row.low) for row in rows if row.method != SAMPLES)


def test_a_cut_study_goes_on_without_restoring_again(rows, opened, monkeypatch):
    def never(*_: object, **__: object):
        raise AssertionError("restored again")

    monkeypatch.setattr(unscaled, "restored", never)
    study = opened()
    monkeypatch.setattr(study, "_images", never)
    assert list(map(repr, study.rows())) == list(map(repr, rows))


def test_other_rivals_are_another_study(opened, rows):
    found = opened(()).rows()
    assert {row.method for row in found} == {TRUE, OURS, SAMPLE, SAMPLES}


def row(method: str, slice_: int, odds: float, area: float, low: float = np.nan, high: float = np.nan) -> DownstreamRow:
    return DownstreamRow("x4", method, slice_, slice_ // 2, slice_ >= 4, odds, area, low, high)


def test_figures_are_those_of_the_rows(opened):
    """Four subjects with two slices each; of the samples' intervals three of eight hold the truth."""
    study = opened()
    given = [row(TRUE, i, i - 3.5, 100.0) for i in range(8)]
    given += [row("flat", i, 3.5 - i, 110.0 if i % 2 else 70.0) for i in range(8)]
    given += [row(SAMPLES, i, i - 2.5, 100.0, 90.0, 110.0 if i < 3 else 95.0) for i in range(8)]
    report = DownstreamReport(given, study)
    classified = {one.method: one for one in report.classified()}
    assert classified[TRUE].auc == (1.0, 1.0, 1.0) and classified["flat"].auc[0] == 0.0
    assert classified["flat"].same[0] == 0.0 and classified[SAMPLES].same[0] == 7 / 8 and classified[SAMPLES].moved == 1
    areas = {one.method: one for one in report.areas()}
    assert areas["flat"].bias[0] == -10 and areas["flat"].absolute == (20.0, 20.0, 20.0) and areas["flat"].held is None
    assert areas[SAMPLES].held[0] == 3 / 8 and areas[SAMPLES].held[1] < 3 / 8 < areas[SAMPLES].held[2]


def test_slices_that_the_rule_cannot_measure_are_left_out(opened):
    given = [row(TRUE, i, 1.0, np.nan if i == 0 else 100.0) for i in range(8)]
    given += [row("flat", i, 1.0, np.nan if i == 7 else 90.0) for i in range(8)]
    (found,) = DownstreamReport(given, opened()).areas()
    assert found.slices == 6 and found.bias[0] == -10


def test_what_is_written(opened, rows, tmp_path):
    study = opened()
    report = DownstreamReport(rows, study)
    report.write(tmp_path, "napari-brgm evaluate downstream")
    text = (tmp_path / "downstream.md").read_text("utf-8")
    assert "`napari-brgm evaluate downstream`" in text and "12 slices of 12 held-out subjects" in text
    assert f"| mask-0 | {SAMPLES} |" in text and "## Demented or not" in text
    assert len(list(csv.DictReader((tmp_path / "downstream.csv").read_text("utf-8").splitlines()))) == len(rows)
    unlabelled = [replace(one, demented=None, log_odds=np.nan) for one in rows]
    study.classifier = None
    said = DownstreamReport(unlabelled, study).markdown("x")
    assert "no labels: no classifier" in said and "## Demented or not" not in said
