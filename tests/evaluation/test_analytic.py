"""Posteriors in closed form are what they say, and methods are told apart by them."""

from __future__ import annotations

import csv
from functools import partial

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from napari_brgm.errors import InputError
from napari_brgm.evaluation import analytic_methods, analytic_table
from napari_brgm.evaluation.agreement import exact_posterior
from napari_brgm.evaluation.analytic import CORRUPTIONS, DENSITIES, analytic_problem
from napari_brgm.evaluation.analytic_methods import ANALYTIC_METHODS
from napari_brgm.evaluation.analytic_table import AnalyticTable, scored
from napari_brgm.likelihood import to_grey
from napari_brgm.settings import preset


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_linear_posterior_is_the_known_one(corruption):
    problem = analytic_problem("linear", corruption, 0)
    mean, covariance = exact_posterior(problem.prior, problem.likelihood)
    torch.testing.assert_close(problem.exact.means[0], mean)
    torch.testing.assert_close(problem.exact.covariance, covariance)
    assert problem.exact.parts == pytest.approx(1)


def test_the_mixture_weighs_its_parts_by_their_evidence():
    """Against the density of the data under each part, with dense covariances of the observed pixels."""
    problem = analytic_problem("mixture", "in-painting", 2)
    prior, seen, mixture = problem.prior, problem.likelihood.observation, problem.prior.parts.mixture
    kept = seen.measured.flatten() > 0
    b = seen.A(127.5 * prior.basis.double()).flatten(1)[:, kept]
    y = (problem.likelihood.y.double() - seen.A(to_grey(prior.mean.double())[None])).flatten()[kept]
    variance = torch.ones(len(b), dtype=torch.float64)
    lean = torch.zeros(len(b), dtype=torch.float64)
    lean[: len(mixture.shrinkage)] = mixture.shrinkage
    variance -= lean.square()
    spread = b.T @ (variance[:, None] * b) + seen.sigma**2 * torch.eye(len(y)).double()
    centres = torch.zeros(len(mixture.centres), len(b), dtype=torch.float64)
    centres[:, : mixture.centres.shape[1]] = mixture.centres
    evidence = torch.stack([MultivariateNormal((lean * c) @ b, spread).log_prob(y) for c in centres])
    torch.testing.assert_close(problem.exact.weights, torch.softmax(evidence, dim=0), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("density", DENSITIES)
def test_moments_are_those_of_the_draws_and_hold_the_truth(density):
    inside = []
    for number in range(12):
        problem = analytic_problem(density, "in-painting", number)
        mean, std = problem.exact.moments()
        inside.append(((problem.truth - mean).abs() <= 1.645 * std)[problem.region].double().mean())
    draws = problem.exact.draws(4000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(draws.mean(dim=0), mean, rtol=0, atol=float(0.1 * std.max()))
    torch.testing.assert_close(draws.std(dim=0), std, rtol=0.08, atol=0.05)
    assert 0.75 < float(torch.stack(inside).mean()) < 0.99


def test_figures_tell_a_wrong_spread_and_a_wrong_mean():
    problem = analytic_problem("mixture", "blur", 0)
    mean, std = problem.exact.moments()
    draws = problem.exact.draws(400, torch.Generator().manual_seed(3))
    right, wide, off = (scored(problem, x) for x in (draws, mean + 2 * (draws - mean), draws + std))
    assert right["mean_error"] < 0.2 and right["std_ratio"] == pytest.approx(1, abs=0.05)
    assert wide["std_ratio"] == pytest.approx(2, abs=0.1) and off["mean_error"] == pytest.approx(1, abs=0.2)
    assert min(wide["wasserstein"], off["wasserstein"]) > 2 * right["wasserstein"]


@pytest.mark.parametrize("name", [name for name in ANALYTIC_METHODS if name != "exact"])
def test_every_method_draws_images(name, monkeypatch):
    """With few steps: what is tried is that each runs on a mixture."""
    quick = partial(_short, steps=3)
    monkeypatch.setattr(analytic_methods, "preset", quick)
    monkeypatch.setattr(analytic_methods, "_STEPS", 3)
    monkeypatch.setattr(analytic_methods, "TOY_VI_STEPS", 3)
    problem = analytic_problem("mixture", "in-painting", 0)
    draws = ANALYTIC_METHODS[name](problem, 8, torch.Generator().manual_seed(0))
    assert draws.shape == (8, 1024) and draws.isfinite().all() and (draws.std(dim=0)[problem.region] > 0).any()


def _short(name, steps):
    return preset(name).but(steps=steps, vi_steps=steps)


def test_a_quick_table_puts_methods_in_order_and_goes_on(tmp_path, monkeypatch):
    """MAP under a linear prior is exact; restarts of least squares on a sphere are not, under either."""
    methods = ("exact", "map", "pulse")
    monkeypatch.setattr(analytic_methods, "_STEPS", 60)
    table = AnalyticTable(tmp_path, 1, methods)
    table.run()
    found = {(row.density, row.corruption, row.method): row for row in table.rows}
    assert len(found) == 2 * 2 * 3
    for corruption in CORRUPTIONS:
        exact, ours, rival = (found["linear", corruption, name] for name in methods)
        assert ours.mean_error < 0.02 and ours.std_ratio == pytest.approx(1, abs=0.05)
        assert ours.wasserstein < 1.5 * exact.wasserstein + 0.02 < rival.wasserstein
    monkeypatch.setattr(analytic_table, "analytic_problem", lambda *_: pytest.fail("measured again"))
    again = AnalyticTable(tmp_path, 1, methods)
    again.run()
    assert again.rows == table.rows and (tmp_path / "analytic.md").read_text() == table.markdown()
    with (tmp_path / "analytic.csv").open() as stream:
        assert np.isclose(float(next(csv.DictReader(stream))["std_ratio"]), table.rows[0].std_ratio)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"methods must be some of exact, map, .* got chance"):
        AnalyticTable(tmp_path, 1, ["chance"])
    with pytest.raises(InputError, match="at least 1 problem"):
        AnalyticTable(tmp_path, 0, ["map"])
