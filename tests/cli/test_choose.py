"""evaluate choose in the shell: the window is asked for in a process of its own, and its answers are reported."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_brgm.cli import choose as command
from napari_brgm.evaluation.choosing import write_case
from napari_brgm.evaluation.choosing.session import ChoosingSession
from napari_brgm.evaluation.choosing.study import ChoiceStudy


@pytest.fixture
def cases(tmp_path) -> Path:
    flat = np.ones((8, 8))
    for i in range(6):
        given = {"zalpha": 50 * flat, "zbeta": 90 * flat}
        write_case(tmp_path / "cases", f"case-{i}", flat, flat, given, task="hole", subject=str(i))
    return tmp_path / "cases"


@pytest.fixture
def window(monkeypatch):
    """Stands for the person: chooses 'zalpha', or the truth, ``window.answers`` times."""
    seen = SimpleNamespace(answers=100, commands=[], code=0)

    def run(line, check):
        seen.commands.append(line)
        folder, kind, reader = line[3:]
        session = ChoosingSession(ChoiceStudy(Path(folder)), kind, reader)
        for _ in range(seen.answers):
            if session.done:
                break
            session.choose(session.question.shown.index("zalpha" if kind == "nearest" else "truth"))
            session.next()
        return SimpleNamespace(returncode=seen.code)

    monkeypatch.setattr(command.subprocess, "run", run)
    return seen


def test_a_study_is_begun_cut_and_finished(shell, tmp_path, cases, window):
    out = tmp_path / "out"
    window.answers = 2
    first = shell("evaluate", "choose", "--reader", "r1", "--from", cases, "--cases", 4, "--seed", 7, "--out", out)
    assert first.exit_code == 0, first.output
    assert "2 of 4 questions are left" in first.stdout and "zalpha" not in first.output
    assert window.commands == [
        [sys.executable, "-m", "napari_brgm.plugin.choosing", str(out), "nearest", "r1"]
    ]  # which is a module
    second = shell("evaluate", "choose", "--reader", "r1", "--out", out)
    assert second.exit_code == 0, second.output
    assert "zalpha" in second.stdout and "100%" in second.stdout and (out / "choices.csv").is_file()
    assert ChoiceStudy(out).seed == 7


def test_a_second_reader_and_the_other_question(shell, tmp_path, cases, window):
    out = tmp_path / "out"
    for reader, kind in (("r1", "nearest"), ("r2", "nearest"), ("r1", "real")):
        window.answers = 100
        given = ("--reader", reader, "--kind", kind, "--from", cases, "--out", out)
        assert shell("evaluate", "choose", *given).exit_code == 0
    told = shell("evaluate", "choose", "--report", "--out", out)
    assert told.exit_code == 0 and len(window.commands) == 3
    text = (out / "choices.md").read_text("utf-8")
    assert "2 readers agree on 100% of 6 questions" in text and "| all | all | 6 | 6 | 0% |" in text


def test_refusals_are_one_sentence_and_leave_nothing(shell, tmp_path, cases, window):
    out = tmp_path / "out"
    assert "--reader is missing" in shell.refused("evaluate", "choose", "--from", cases, "--out", out)
    assert "pseudonym" in shell.refused("evaluate", "choose", "--reader", "Dr. A", "--from", cases, "--out", out)
    assert "holds no study" in shell.refused("evaluate", "choose", "--report", "--out", out)
    given = ("evaluate", "choose", "--reader", "r1", "--out", out)
    assert "1 to 6" in shell.refused(*given, "--from", cases, "--cases", 7)
    assert not out.exists() and not window.commands
    window.answers = 1
    assert shell(*given, "--from", cases).exit_code == 0
    assert "a study of 6 cases with seed 0" in shell.refused(*given, "--cases", 5)
    window.code = 1
    assert "needs a display" in shell.refused(*given)
