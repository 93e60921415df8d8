"""`evaluate sbc` and `analytic` end to end on toys with exact posteriors; `tarp` and `bounds` hand their options on."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from napari_brgm.evaluation import bounds, held_out_draws, tarp_study
from napari_brgm.evaluation.bounds import BoundRow
from napari_brgm.evaluation.tarp_study import TarpRow


def test_the_exact_posterior_ranks_evenly(shell, tmp_path):
    done = shell(
        "evaluate", "sbc", "--prior", "toy-linear", "--methods", "laplace", "--simulations", 12, "--draws", 7,
        "--quantities", 2, "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "pass" in done.stdout and (tmp_path / "out" / "ranks.png").stat().st_size > 1000
    report = json.loads((tmp_path / "out" / "ranks.json").read_text())
    assert len(report) == 1


def test_numbers_that_are_none_are_refused(shell):
    assert "numbers with commas" in shell.refused("evaluate", "agreement", "--sigmas", "a,b")


def test_analytic_puts_map_beside_the_exact_posterior(shell, tmp_path):
    out = tmp_path / "out"
    done = shell("evaluate", "analytic", "--problems", 1, "--methods", "exact,map", "--out", out)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("| map |") == 4 and (out / "analytic.md").read_text() in done.stdout
    assert len((out / "analytic.csv").read_text().splitlines()) == 1 + 8
    assert "got chance" in shell.refused("evaluate", "analytic", "--methods", "chance", "--out", tmp_path / "other")


@pytest.fixture
def asked(monkeypatch):
    """What the commands ask of the draws, which are not made; slices of 20 subjects, or as many as are set."""
    given = {"subjects": 20}

    def drawn(*args):
        given["args"] = args
        args[2].mkdir(exist_ok=True)
        return SimpleNamespace(picked_subjects=list(range(given["subjects"])))

    regions = [BoundRow("x4", i, i, "PSNR, dB", 30.0, 1.0, 29.0 + i / 10, 8) for i in range(20)]
    counts = [TarpRow("x4", i, i, "box", "scaled", "all", i % 9, 8) for i in range(20)]
    monkeypatch.setattr(held_out_draws, "HeldOutDraws", drawn)
    monkeypatch.setattr(tarp_study, "tarp_rows", lambda made, tell: counts)
    monkeypatch.setattr(bounds, "bound_rows", lambda made, tell: regions)
    return given


@pytest.mark.parametrize(("command", "files"), [("tarp", ("csv", "md", "png")), ("bounds", ("csv", "md", "json"))])
def test_options_reach_the_draws(shell, asked, tmp_path, command, files):
    out = tmp_path / "out"
    done = shell(
        "evaluate", command, "--prior", "a", "--data", tmp_path, "--out", out, "--tasks", "x4, x8", "--slices", 21,
        "--samples", 8, "--seed", 3, "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert asked["args"] == ("a", tmp_path, out, ("x4", "x8"), 21, 8, 3, "cpu")
    assert all((out / f"{command}.{end}").stat().st_size > 20 for end in files) and "| x4 |" in done.stdout


def test_too_few_subjects_for_bounds_are_refused_before_they_are_restored(shell, asked, tmp_path, monkeypatch):
    asked["subjects"] = 12
    monkeypatch.setattr(bounds, "bound_rows", lambda *_: pytest.fail("restored"))
    said = shell.refused("evaluate", "bounds", "--data", tmp_path, "--out", tmp_path / "out")
    assert "slices of at least 20 subjects are needed, got 12" in said
