"""Simulation-based calibration of our inference: exact posteriors pass, deliberately wrong ones do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.corruptions import Identity
from napari_brgm.errors import InputError
from napari_brgm.evaluation import simulation
from napari_brgm.evaluation.simulation import independent, independently_completed, simulate
from napari_brgm.inference import FactorGaussian, Gaussian, complete
from napari_brgm.likelihood import Likelihood
from napari_brgm.observation import Observation
from napari_brgm.priors.residual_field import ResidualField


@pytest.mark.parametrize("corruption", ["mask", "downsample"])
def test_an_exact_posterior_passes(corruption):
    """Linear generator: catches a wrong noise level, a lost prior, and a truth that is not the model's."""
    (found,) = simulate("toy-linear", corruption, 10.0, ("laplace",), simulations=60, quantities=4)
    assert found.verdict == "pass"
    assert found.ranks.shape == (60, 8) and found.ranks.min() >= 0 and found.ranks.max() <= 31
    assert found.spread.mean() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(("wrong", "high"), [("narrow", True), ("wide", False), ("biased", True)])
def test_a_wrong_posterior_fails(wrong, high, monkeypatch):
    honest = simulation.laplace_at

    def spoilt(*args, **kwargs):
        found = honest(*args, **kwargs)
        if wrong == "biased":
            return replace(found, mean=found.mean + 1.5 * found.std)
        return replace(found, scale=found.scale * (0.5 if wrong == "narrow" else 2.5))

    monkeypatch.setattr(simulation, "laplace_at", spoilt)
    (found,) = simulate("toy-linear", "mask", 10.0, ("laplace",), simulations=60, quantities=4)
    assert found.verdict != "pass" and len(found.failing) >= 4
    assert (found.spread.mean() > 1.3) if high else (found.spread.mean() < 0.6)


def test_a_seed_repeats_the_ranks():
    one, again, other = (
        simulate("toy-linear", "mask", 10.0, ("laplace",), simulations=3, quantities=2, seed=s)[0].ranks
        for s in (1, 1, 2)
    )
    assert (one == again).all() and (one != other).any()


@pytest.mark.parametrize("factor", [False, True])
def test_draws_are_independent(factor):
    """Their mean scatters as that of independent draws; those of ``sample`` do not scatter at all."""
    mean, std = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 3.0]])
    q = FactorGaussian(mean, std, torch.tensor([[[1.0, 2.0]]])) if factor else Gaussian(mean, std)
    covariance = torch.diag(std[0].square()) + (torch.outer(*[torch.tensor([1.0, 2.0])] * 2) if factor else 0)
    generator = torch.Generator().manual_seed(0)
    sets = torch.stack([independent(q, 4, generator)[:, 0] for _ in range(5_000)])  # (sets, 4, 2)
    torch.testing.assert_close(torch.cov(sets[:, 1].T), covariance, rtol=0.08, atol=0.1)
    torch.testing.assert_close(torch.cov(sets.mean(dim=1).T), covariance / 4, rtol=0.08, atol=0.03)
    crossed = ((sets[:, 0] - mean)[:, :, None] * (sets[:, 1] - mean)[:, None]).mean(dim=0)
    assert (crossed.abs() < 0.05 * covariance.diagonal().max()).all()


def test_completed_draws_are_independent():
    """The residual field's part of them, whose draws are centred over a batch."""
    lag = torch.fft.fftfreq(8) * 8
    field = ResidualField(torch.full((8, 8), 6.0), torch.exp(-(lag[:, None].square() + lag[None].square()) / 4))
    seen = torch.ones(1, 1, 8, 8)
    seen[..., 3:] = 0
    likelihood = Likelihood(Observation(Identity(), seen, 2.0), torch.full((1, 1, 8, 8), 127.5) * seen)

    def completed(images, generator):
        return complete(images, field, likelihood, 2.0, generator)

    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(3, 1, 8, 8)
    sets = torch.stack([127.5 * independently_completed(completed, images, generator)[:, 0, 4, 6] for _ in range(250)])
    one = torch.cat([127.5 * completed(images[:1], generator)[:, 0, 4, 6] for _ in range(250)])
    assert sets.std().item() == pytest.approx(one.std().item(), rel=0.12)
    assert sets.mean(dim=1).std().item() == pytest.approx(one.std().item() / 3**0.5, rel=0.12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="methods must be some of"):
        simulate("toy-linear", "mask", 10.0, ("hmc",))
    with pytest.raises(InputError, match="corruption must be one of"):
        simulate("toy-linear", "motion", 10.0)
    with pytest.raises(InputError, match="at least"):
        simulate("toy-linear", "mask", 0.0)
