"""Ensembles stop at the minimum of the running variance, and their draws are the iterates of that time."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from napari_brgm.inference.ensemble import Ensemble, RunningVariance, fit_ensemble
from napari_brgm.settings import InferenceSettings

FLAT = InferenceSettings(prior_density="flat", start="draw", steps=30, members=2, window=3, learning_rate=0.01)


def told(spreads: list[float], window: int, patience: int | None) -> list[tuple[bool, bool]]:
    """What the rule says of images that alternate between + and - these values."""
    rule = RunningVariance(window, patience)
    return [rule.update(torch.full((1, 1, 2, 2), s * (-1) ** i)) for i, s in enumerate(spreads)]


def test_the_rule_finds_the_minimum():
    falling, rising = [5.0, 4.0, 3.0, 2.0, 1.0], [2.0, 3.0, 4.0, 5.0]
    said = told(falling + rising, window=2, patience=3)
    assert [lowest for lowest, _ in said] == [True] * 5 + [False] * 4
    assert [enough for _, enough in said] == [False] * 7 + [True] * 2  # the third step without a new minimum


def test_a_new_minimum_starts_the_patience_anew():
    said = told([3.0, 2.0, 3.0, 3.0, 1.0, 1.0, 1.5, 1.5, 1.5], window=2, patience=3)
    assert [enough for _, enough in said] == [False] * 8 + [True]
    assert not any(enough for _, enough in told([1.0] * 40, 2, None))


def test_the_rule_waits_for_a_full_window():
    assert told([1.0, 9.0, 1.0, 9.0], window=4, patience=1) == [(True, False)] * 4
    nan = told([1.0, float("nan"), 1.0, 1.0], window=2, patience=2)
    assert nan[-1] == (False, True) or nan[-1] == (True, False)  # and no warning of numpy's or torch's


@dataclass
class Scripted:
    """A posterior whose images swing less and less until step ``turn``, and more and more after it."""

    settings: InferenceSettings
    turn: int
    step: int = 0

    def start(self, batch: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(batch, 1, 4, generator=generator)

    def terms(self, v: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        swing = (1.0 + abs(self.step - self.turn)) * (-1) ** self.step
        self.step += 1
        return {"pixel": v.sum(dim=(1, 2))}, torch.full((len(v), 1, 2, 2), swing)


def fit(collect, settings: InferenceSettings, turn: int, seed: int = 0):
    posterior = Scripted(settings, turn)
    return collect(fit_ensemble, posterior, torch.Generator().manual_seed(seed), total=settings.steps)


def test_draws_are_the_iterates_at_the_minimum(collect):
    """Catches a run that goes on for nothing, and one that keeps the iterates of its end."""
    yielded, found = fit(collect, FLAT.but(patience=5), turn=10)
    # images of steps 10, 11 and 12 (from 1) swing by 2, 1 and 2: their variance is the least
    assert found.stopped == 12 and len(yielded) == 17
    _, plain = fit(collect, FLAT.but(steps=12, learning_rate=0.01, schedule="constant"), turn=10)
    _, constant = fit(collect, FLAT.but(patience=5, schedule="constant"), turn=10)
    torch.testing.assert_close(constant.draws, plain.draws)
    assert constant.draws.shape == (2 * 3, 1, 4)


def test_without_patience_the_last_iterates_are_drawn_from(collect):
    yielded, found = fit(collect, FLAT, turn=10)
    assert len(yielded) == 30 and found.stopped == 30 and found.draws.shape == (6, 1, 4)
    _, short = fit(collect, FLAT.but(steps=2), turn=10)  # fewer than the window
    assert short.draws.shape == (4, 1, 4) and short.stopped == 2
    torch.testing.assert_close(short.draws[0], torch.randn(2, 1, 4, generator=torch.Generator().manual_seed(0))[0])


def test_steps_are_numbered_and_finite(collect):
    yielded, _ = fit(collect, FLAT.but(steps=3), turn=1)
    assert [(s.phase, s.iteration, s.total) for s, _ in yielded] == [("ensemble", i, 3) for i in (1, 2, 3)]
    assert all(image.shape == (1, 1, 2, 2) for _, image in yielded)
    assert yielded[0][0].loss == pytest.approx(yielded[0][0].terms["pixel"])


def test_draws_come_latest_first_and_again():
    found = Ensemble(torch.arange(3.0).reshape(3, 1, 1), 3)
    assert found.sample(5, torch.Generator())[:, 0, 0].tolist() == [2, 1, 0, 2, 1]
    assert found.mean.tolist() == [[2.0]]


def test_members_fit_the_data_from_starts_of_their_own(collect, linear_problem):
    """On a real posterior: the loss falls, members stay apart, the seed decides."""
    exact = linear_problem("mask", prior_density="flat", start="draw", steps=40, members=3, window=2, learning_rate=0.2)
    runs = [collect(fit_ensemble, exact.posterior, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    (yielded, found), (_, again), (_, other) = runs
    assert yielded[-1][0].loss < 0.3 * yielded[0][0].loss
    assert torch.equal(found.draws, again.draws) and not torch.equal(found.draws, other.draws)
    assert found.draws.shape == (6, 1, 12) and (found.draws[-1] - found.draws[-2]).abs().max() > 1e-3
    # members do not touch each other: one alone from the same start goes the same way
    start = exact.posterior.start(3, torch.Generator().manual_seed(1))
    alone = SimpleNamespace(
        settings=exact.posterior.settings.but(members=1), terms=exact.posterior.terms,
        start=lambda _batch, _generator: start[1:2].clone(),
    )  # fmt: skip
    single = fit_ensemble(alone, torch.Generator())
    torch.testing.assert_close(single.draws[-1], found.draws[-2], rtol=1e-3, atol=1e-3)
