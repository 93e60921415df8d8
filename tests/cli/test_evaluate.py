"""The group of tables: the old command without a subcommand, and the table of priors."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_brgm.evaluation import detail, misfit, priors
from napari_brgm.settings import preset
from napari_brgm.zoo import registry


@pytest.fixture
def seen(monkeypatch):
    calls = {}
    monkeypatch.setattr(priors, "run", lambda *given, **named: calls.update(priors=(given, named)))
    return calls


def test_it_asks_for_its_folder(shell):
    assert "Missing option '--out'" in shell.refused("evaluate", "--quick")


def test_priors_passes_its_options_on(shell, tmp_path, seen):
    done = shell(
        "evaluate", "priors", "--priors", "brain-axial-128, new.safetensors", "--data", tmp_path, "--out",
        tmp_path / "out", "--slices", 3, "--method", "vi", "--seed", 5, "--device", "cpu", "--processes", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (data, out, names, slices, _), named = seen["priors"]
    assert set(seen) == {"priors"}
    assert (data, out, names, slices) == (tmp_path, tmp_path / "out", ("brain-axial-128", "new.safetensors"), 3)
    how = named["how"]
    assert (how.method, how.seed, how.device, named["processes"]) == ("vi", 5, "cpu", 1)
    assert how.settings is None  # each prior gets the steps that it needs


def test_priors_with_steps_of_ones_own(shell, tmp_path, seen):
    assert shell("evaluate", "priors", "--out", tmp_path, "--data", tmp_path, "--steps", 7).exit_code == 0
    (_, _, names, slices, _), named = seen["priors"]
    assert "brain-axial-128" in names and slices == priors.DEFAULT_SLICES
    how = named["how"]
    assert how.settings is None and how.steps == 7  # the other settings are those that suit each prior
    for name in ("manifold", "untrained"):
        assert how.settings_for(SimpleNamespace(info=SimpleNamespace(preset=name))) == preset(name).but(steps=7)
    assert shell("evaluate", "priors", "--out", tmp_path, "--data", tmp_path, "--preset", "paper").exit_code == 0
    assert seen["priors"][1]["how"].settings == preset("paper")


def test_refusals_are_one_sentence(shell, tmp_path):
    out = tmp_path / "out"
    assert "after the name" in shell.refused("evaluate", "--out", out, "priors", "--out", out)
    assert "there is no prior 'nobody'" in shell.refused("evaluate", "priors", "--priors", "nobody", "--out", out)
    assert "Missing option '--out'" in shell.refused("evaluate", "priors")
    assert not out.exists()


@pytest.fixture
def measured(monkeypatch):
    """Calls of what ``evaluate misfit`` prints a line of, without priors and sets."""
    calls = []

    def measure(prior, data, slices, tell):
        calls.append((prior, data, slices))
        tell(1, slices, prior)
        return misfit.LimitReport(np.array([0.1, 0.2]), np.array([0.15, 0.3]))

    monkeypatch.setattr(registry, "load_prior", lambda name: name)
    monkeypatch.setattr(misfit, "held_out_misfits", measure)
    return calls


def test_misfit_prints_a_limit_for_each_prior(shell, tmp_path, measured):
    done = shell("evaluate", "misfit", "--priors", "one, two.safetensors", "--data", tmp_path, "--slices", 6)
    assert done.exit_code == 0, done.output
    assert measured == [("one", tmp_path, 6), ("two.safetensors", tmp_path, 6)]
    limit = 0.3 * misfit.MARGIN
    figures = f"limit {limit:.3f}; 75% stay below that of the other half of the subjects; "
    figures += "from 0.100 to 0.300, median 0.175"
    assert done.stdout.splitlines() == [f"one: {figures}", f"two.safetensors: {figures}"]


def test_misfit_measures_every_prior_that_ships(shell, tmp_path, measured):
    assert shell("evaluate", "misfit", "--data", tmp_path).exit_code == 0
    assert [name for name, _, _ in measured] == sorted(registry.registered())


def test_misfit_of_what_is_not_there_is_one_sentence(shell, tmp_path, shipped_weights):
    assert "there is no prior 'nobody'" in shell.refused("evaluate", "misfit", "--priors", "nobody")
    said = shell.refused("evaluate", "misfit", "--priors", "brain-axial-128", "--data", tmp_path)
    assert "brain_validation.zip" in said
    assert "fits none" in shell.refused("evaluate", "misfit", "--priors", "deep-image", "--data", tmp_path)


def test_detail_prints_a_line_for_each_prior(shell, tmp_path, monkeypatch):
    calls = []

    def measure(prior, data, slices, samples, seed, tell):
        calls.append((prior, data, slices, samples, seed))
        tell(1, slices, prior)
        ratios = np.array([0.9, 1.0, 1.4])
        return detail.Grain(ratios, ratios + 1, np.array([0.9]), np.array([20.0]), prior == "two")

    monkeypatch.setattr(registry, "load_prior", lambda name: name)
    monkeypatch.setattr(detail, "native_grain", measure)
    done = shell("evaluate", "detail", "--priors", "one,two", "--data", tmp_path, "--slices", 3, "--samples", 4)
    assert done.exit_code == 0, done.output
    assert calls == [("one", tmp_path, 3, 4, 0), ("two", tmp_path, 3, 4, 0)]
    first, second = done.stdout.splitlines()
    assert first.startswith("one, 3 scans: samples 1.10 (median 1.00), 67% within 15 %; what was hidden 2.10")
    assert second.startswith("two, 3 scans enlarged four times with simulated grain: ")
