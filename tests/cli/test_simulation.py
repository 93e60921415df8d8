"""`evaluate sbc` end to end on the toy whose posterior is exact."""

from __future__ import annotations

import json


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
