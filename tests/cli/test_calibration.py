"""``evaluate calibration`` hands its options on, and puts factors where they are wanted only."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from napari_brgm.calibration import Calibration, Curve
from napari_brgm.evaluation import calibration as table


@pytest.fixture
def asked(monkeypatch):
    """What the command asks of the table, which is not made."""
    given = {}
    factors = Calibration("toys", 2, 4, "default", {("map", "mask", "tissue"): Curve((0.1,), ((1.0,) * 4,))})

    def run(data, out, priors, progress, *, how):
        given.update(data=data, priors=priors, how=how)
        out.mkdir(exist_ok=True)
        (out / "results.md").write_text("the table\n")
        return SimpleNamespace(calibrations={"toy": factors}, records={"toy": {}})

    monkeypatch.setattr(table, "run", run)
    return given


def test_options_reach_the_table(shell, asked, tmp_path):
    done = shell(
        "evaluate", "calibration", "--priors", "a, b", "--data", tmp_path, "--out", tmp_path / "out", "--slices", 6,
        "--methods", "map,vi", "--rival-slices", 1, "--rivals", "a", "--samples", 5, "--seed", 3, "--device", "cpu",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "the table"
    how = asked["how"]
    assert asked["priors"] == ("a", "b") and asked["data"] == tmp_path
    assert (how.slices, how.methods, how.rival_slices, how.rivals, how.samples, how.seed, how.device) == (
        6, ("map", "vi"), 1, ("a",), 5, 3, "cpu",
    )  # fmt: skip


def test_factors_are_written_where_they_are_wanted(shell, asked, tmp_path):
    registry = tmp_path / "registry.json"
    registry.write_text('{"toy": {"file": "toy.safetensors"}}')
    before = registry.read_text()
    assert shell("evaluate", "calibration", "--priors", "toy", "--out", tmp_path / "out").exit_code == 0
    assert registry.read_text() == before
    done = shell("evaluate", "calibration", "--priors", "toy", "--out", tmp_path / "out", "--write", registry)
    assert done.exit_code == 0, done.output
    assert json.loads(registry.read_text())["toy"]["calibration"]["subjects"] == 2


def test_refused(shell, asked, tmp_path):
    assert "--slices" in shell.refused("evaluate", "calibration", "--out", tmp_path / "out", "--slices", 0)
    asked.clear()
    (tmp_path / "file").write_text("")
    assert shell.refused("evaluate", "calibration", "--priors", "toy", "--out", tmp_path / "file")
    assert not asked
