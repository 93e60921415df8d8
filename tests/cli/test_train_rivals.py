"""``evaluate train-rivals``: its options reach the training, and what it cannot do is said in a sentence."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from napari_brgm.cli.app import Commands
from napari_brgm.cli.train_rivals import train_rivals
from napari_brgm.training.supervised import SupervisedTraining


@pytest.fixture
def shell():
    """Runs the command with arguments."""
    group = typer.Typer(cls=Commands)
    group.command()(train_rivals)
    group.callback()(lambda: None)
    return lambda *given: CliRunner().invoke(group, ["train-rivals", *map(str, given)])


def test_it_passes_its_options_on(shell, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(SupervisedTraining, "run", lambda self, *given: calls.append((self, *given)))
    done = shell(
        "--data", tmp_path, "--out", tmp_path / "out", "--minutes", 3, "--nets", "sr-pixel, sr-adversarial", "--set",
        "xray-256", "--seed", 5,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    ((training, data, names, _),) = calls
    assert (training.out, training.set_name, training.minutes) == (tmp_path / "out", "xray-256", 3)
    assert (training.settings.seed, data, names) == (5, tmp_path, ("sr-pixel", "sr-adversarial"))
    assert done.stdout.split()[-1].endswith("sr-adversarial.safetensors")


def test_refusals_are_one_sentence(shell, tmp_path):
    out = tmp_path / "out"
    for given, said in (
        (("--nets", "nobody"), "no network is called 'nobody'"),
        (("--nets", "sr-adversarial"), "begins with the weights of sr-pixel"),
        (("--data", tmp_path), "brain_train.zip"),
    ):
        done = shell("--out", out, "--data", tmp_path, *given)
        assert done.exit_code == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1
    assert not out.exists()
