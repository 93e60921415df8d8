"""Hamiltonian Monte Carlo: exact where the answer is known, and honest about chains that disagree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch

from napari_brgm.evaluation.convergence import effective_size
from napari_brgm.evaluation.hmc import coloured, run_chains
from napari_brgm.inference import Gaussian, laplace_at

SMALL = torch.zeros(1, 1, 1, 1)


@dataclass(frozen=True)
class Banana:
    """x ~ N(0, 1), y | x ~ N(b (x^2 - 1), s^2): E y = 0, var y = s^2 + 2 b^2, cov(y, x^2) = 2 b."""

    bend: float = 0.5
    spread: float = 0.7

    def terms(self, v):
        x, y = v[:, 0, 0], v[:, 0, 1]
        off = (y - self.bend * (x.square() - 1)) / self.spread
        return {"x": x.square(), "y": off.square()}, SMALL.expand(len(v), 1, 1, 1)


@dataclass(frozen=True)
class Peaks:
    """Two far peaks: (|v| - 20)^2 in one dimension."""

    def terms(self, v):
        return {"w": (v[:, 0, 0].abs() - 20).square()}, SMALL.expand(len(v), 1, 1, 1)


def unit(size: int, dtype: torch.dtype = torch.float64) -> Gaussian:
    return Gaussian(torch.zeros(1, size, dtype=dtype), torch.ones(1, size, dtype=dtype))


def test_a_linear_problem_is_sampled_exactly(linear_problem, collect):
    """Mean and covariance within Monte Carlo error: catches a wrong sign, a lost half, and a biased acceptance."""
    exact = linear_problem("mask")
    posterior = exact.posterior
    wrong = Gaussian(posterior.start()[0], 0.7 * exact.mean_field_std.float()[None])  # neither place nor correlations
    yielded, found = collect(
        run_chains, posterior, wrong, torch.Generator().manual_seed(0), chains=32, draws=150, warmup=80, total=230
    )
    assert [(s.phase, s.iteration, s.total) for s, _ in yielded[:2]] == [("hmc", 1, 230), ("hmc", 2, 230)]
    assert yielded[0][1].shape == (1, 1, 24, 24) and found.draws.shape == (32, 150, 1, 12)
    assert found.rhat.max() < 1.04 and found.effective.min() > 1000 and found.divergent == 0
    covariance = torch.linalg.inv(exact.precision)
    w = found.draws.flatten(0, 1)[:, 0].double()
    error = covariance.diagonal().sqrt() / found.effective[0].sqrt()
    assert ((w.mean(dim=0) - exact.mean).abs() < 4 * error).all()
    assert (torch.cov(w.T) - covariance).norm() < 0.08 * covariance.norm()


def test_laplace_as_mass_matrix_makes_long_steps(linear_problem):
    """White coordinates: steps near those of N(0, I), an effective size near the number of draws."""
    exact = linear_problem("mask")
    gaussian = laplace_at(exact.posterior, exact.mean.float()[None, None], torch.Generator().manual_seed(0))
    found = run_chains(exact.posterior, gaussian, torch.Generator().manual_seed(1), draws=60, warmup=50)
    assert found.step_size > 0.6 and 0.7 < found.acceptance < 0.92
    assert found.effective.min() > 0.3 * 480


def test_a_banana():
    """Moments in closed form where no Gaussian fits."""
    found = run_chains(Banana(), unit(2), torch.Generator().manual_seed(2), chains=256, draws=300, warmup=100)
    assert found.rhat.max() < 1.02
    x, y = found.draws[:, :, 0].double().unbind(dim=-1)
    for moment, value in ((x, 0), (y, 0), (x**2, 1), (y**2, 0.49 + 2 * 0.25), ((x**2 - 1) * y, 1.0)):
        error = (moment.std() / effective_size(moment).sqrt()).item()
        assert error < 0.05 and moment.mean().item() == pytest.approx(value, abs=4 * error)


def test_the_target_acceptance_is_met():
    for target in (0.65, 0.95):
        found = run_chains(
            Banana(), unit(2), torch.Generator().manual_seed(3), chains=64, draws=100, warmup=200, acceptance=target
        )
        assert found.acceptance == pytest.approx(target, abs=0.1)


def test_a_seed_repeats_the_chains():
    runs = [run_chains(Banana(), unit(2), torch.Generator().manual_seed(s), draws=20, warmup=10) for s in (1, 1, 2)]
    assert torch.equal(runs[0].draws, runs[1].draws) and not torch.equal(runs[0].draws, runs[2].draws)
    assert runs[0].draws.dtype == torch.float64


def test_chains_that_disagree_are_found():
    """Chains in two peaks, each of which moves freely in its own."""
    starts = torch.tensor([20.0, -20.0, 20.0, -20.0], dtype=torch.float64)[:, None, None]
    generator = torch.Generator().manual_seed(0)
    apart = run_chains(Peaks(), unit(1), generator, chains=4, draws=100, warmup=40, starts=starts)
    one = run_chains(Peaks(), unit(1), generator, chains=4, draws=100, warmup=40, starts=starts.abs())
    assert apart.rhat > 1.5 and apart.effective < 20
    assert one.rhat < 1.03


def test_an_energy_that_is_lost_is_refused():
    """NaN beyond |v| = 1: the chains stay where the density is defined."""

    class Fenced:
        def terms(self, v):
            inside = v.abs().amax(dim=(1, 2)) < 1
            return {"w": torch.where(inside, v.square().sum(dim=(1, 2)), torch.nan)}, SMALL.expand(len(v), 1, 1, 1)

    starts = torch.zeros(64, 1, 1).double()
    found = run_chains(
        Fenced(), unit(1), torch.Generator().manual_seed(0), chains=64, draws=60, warmup=60, starts=starts
    )
    assert found.draws.isfinite().all() and found.draws.abs().max() < 1
    truncated = 1 - 2 * math.exp(-0.5) / math.sqrt(2 * math.pi) / math.erf(1 / math.sqrt(2))
    assert found.draws.var().item() == pytest.approx(truncated, rel=0.12)


def test_coloured_draws_have_the_covariance(linear_problem):
    exact = linear_problem("mask")
    gaussian = laplace_at(exact.posterior, exact.mean.float()[None, None], torch.Generator().manual_seed(0))
    e = torch.randn(40_000, 1, 12, generator=torch.Generator().manual_seed(3))
    covariance = torch.linalg.inv(exact.precision)
    assert (torch.cov(coloured(gaussian, e)[:, 0].T).double() - covariance).norm() < 0.05 * covariance.norm()
