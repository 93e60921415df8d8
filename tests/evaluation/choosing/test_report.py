"""Figures of the report against hand-made oracles, scikit-learn's kappa, scipy's interval and Fleiss's kappa of a
worked example.
"""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from napari_brgm.errors import InputError
from napari_brgm.evaluation.choosing.answers import Answers, GivenAnswer
from napari_brgm.evaluation.choosing.kappa import cohen_kappa, fleiss_kappa, kappa_with_interval
from napari_brgm.evaluation.choosing.report import ChoiceReport, wilson


@pytest.mark.parametrize(("hits", "trials"), [(0, 7), (3, 10), (7, 7), (20, 41)])
def test_wilson_is_scipys(hits, trials):
    expected = binomtest(hits, trials).proportion_ci(method="wilson")
    assert wilson(hits / trials, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_cohens_kappa_is_that_of_scikit_learn():
    draw = np.random.default_rng(0)
    first = draw.integers(3, size=80)
    second = np.where(draw.random(80) < 0.6, first, draw.integers(3, size=80))
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))


def test_fleiss_kappa_of_a_worked_example():
    """Ten items, fourteen readers, five categories: 0.210."""
    table = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1], [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    answers = np.array([np.repeat(np.arange(5), row) for row in table])
    assert fleiss_kappa(answers) == pytest.approx(0.210, abs=5e-4)


def test_kappa_of_readers_who_agree_by_chance_is_about_nothing():
    answers = np.random.default_rng(1).integers(2, size=(200, 2))
    kappa, low, high = kappa_with_interval(answers, np.arange(200))
    assert low < 0 < high and abs(kappa) < 0.2
    assert kappa_with_interval(answers, np.arange(200)) == (kappa, low, high)
    clustered = kappa_with_interval(answers, np.arange(200) // 20)
    assert clustered[0] == kappa and clustered[1:] != (low, high)


def test_kappa_of_one_answer_only_is_undefined():
    assert all(np.isnan(kappa_with_interval(np.zeros((5, 2), int), np.arange(5))))


def answer(study, kind, reader, wanted, seconds=1.0):
    """Choose what ``wanted(case, shown)`` says."""
    answers = Answers(study.folder, kind, reader)
    for question in study.questions(kind, reader):
        name = wanted(question.case, question.shown)
        if name is not None:
            answers.add(GivenAnswer(question.case, question.shown.index(name), seconds))


def number(case: str) -> int:
    return int(case[-2:])


def test_shares_by_method_and_task(study):
    names = sorted(study.cases)
    picks = dict(zip(names, ["alpha"] * 9 + ["beta"] * 3, strict=True))
    answer(study, "nearest", "a", lambda case, shown: picks[case], seconds=4.0)
    shares = {(s.method, s.task): s for s in ChoiceReport(study).shares("nearest")}
    subjects = len({number(name) // 2 for name in names})
    found = shares["alpha", "all"]
    assert (found.questions, found.subjects, found.share, found.seconds) == (12, subjects, 0.75, 4.0)
    assert (found.low, found.high) == wilson(0.75, subjects)
    assert found.chance == pytest.approx(1 / 3)
    assert shares["gamma", "all"].share == 0 and np.isnan(shares["gamma", "all"].seconds)
    for task, odd in (("hole", 0), ("x4", 1)):
        of_task = [picks[name] for name in names if number(name) % 2 == odd]
        assert shares["alpha", task].share == of_task.count("alpha") / len(of_task)


def test_how_often_restorations_are_taken_for_the_truth(study):
    fooled = {"beta"}
    answer(study, "real", "a", lambda case, shown: next((m for m in shown if m in fooled), "truth"))
    shares = {s.method: s for s in ChoiceReport(study).shares("real") if s.task == "all"}
    assert [shares[m].share for m in ("all", "alpha", "beta", "gamma")] == [pytest.approx(1 / 3), 0, 1, 0]
    assert all(s.chance == 0.5 for s in shares.values()) and shares["beta"].questions == 4


def test_two_readers_and_three(study):
    answer(study, "nearest", "a", lambda case, shown: "alpha" if number(case) % 3 else "beta")
    assert ChoiceReport(study).agreement("nearest") == ""
    answer(study, "nearest", "b", lambda case, shown: "alpha" if number(case) % 3 else "beta")
    said = ChoiceReport(study).agreement("nearest")
    assert "agree on 100% of 12 questions" in said and "Cohen's kappa 1.00 (1.00 to 1.00)" in said
    answer(study, "nearest", "c", lambda case, shown: "gamma" if number(case) < 6 else None)
    report = ChoiceReport(study)
    assert "3 readers agree on 0%" in report.agreement("nearest") and "Fleiss" in report.agreement("nearest")
    left = sum(number(case) >= 6 for case in study.cases)
    assert f"c has {left} questions left." in report.markdown()


def test_what_is_written(study):
    answer(study, "nearest", "a", lambda case, shown: "alpha")
    answer(study, "real", "a", lambda case, shown: "truth")
    report = ChoiceReport(study)
    report.write(study.folder)
    rows = list(csv.DictReader((study.folder / "choices.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 24 and {row["chosen"] for row in rows} == {"alpha", "truth"}
    assert all(row["chosen"] in row["shown"].split(",") for row in rows)
    text = (study.folder / "choices.md").read_text("utf-8")
    assert "| alpha | all | 12 |" in text and "Which is real?" in text
    assert [table.row_count for table in report.tables()] == [9, 10]


def test_nothing_to_report(study):
    with pytest.raises(InputError, match="nobody has answered"):
        ChoiceReport(study)


def test_a_place_that_was_never_shown(study):
    question = study.questions("real", "a")[0]
    Answers(study.folder, "real", "a").add(GivenAnswer(question.case, 5, 1.0))
    with pytest.raises(InputError, match="chooses what was not shown"):
        ChoiceReport(study)
