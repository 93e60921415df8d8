"""Agreement with exact answers: what agrees is said to agree, and what does not is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.evaluation import agreement
from napari_brgm.evaluation.agreement import LinearRow, exact_posterior, linear_agreement, network_agreement
from napari_brgm.evaluation.toy import corruptions_of, drawn_truth, linear_toy, network_toy, simulated, toy_settings
from napari_brgm.likelihood import to_grey
from napari_brgm.posterior import Posterior


def test_map_with_laplace_is_exact_on_a_linear_generator():
    rows = [row for row in linear_agreement((10.0,)) if row.method.startswith(("laplace", "vi, preconditioned"))]
    assert len(rows) == 6 and all(row.agrees for row in rows)
    assert max(row.covariance_error for row in rows if row.method.startswith("laplace")) < 0.002


def test_a_spread_that_is_too_narrow_does_not_agree(monkeypatch):
    honest = agreement.laplace_at

    def narrow(*args):
        found = honest(*args)
        return replace(found, scale=0.95 * found.scale) if hasattr(found, "scale") else found

    monkeypatch.setattr(agreement, "laplace_at", narrow)
    row = next(linear_agreement((10.0,)))
    assert row.method == "laplace" and not row.agrees and row.covariance_error == pytest.approx(1 - 0.95**2, rel=0.05)
    assert not LinearRow("mask", 1.0, "x", 0.02, 0.0).agrees


def test_the_exact_posterior_is_that_of_the_model():
    """Its mean is where the gradient of the loss vanishes: catches a constant that is wrong on one side."""
    prior = linear_toy()
    settings = toy_settings(prior)
    generator = torch.Generator().manual_seed(0)
    for corruption in corruptions_of(24).values():
        likelihood = simulated(corruption, drawn_truth(prior, settings, generator)[1], 10.0, generator)
        mean, _ = exact_posterior(prior, likelihood)
        v = mean.float()[None, None].requires_grad_(True)
        loss = sum(Posterior(prior, likelihood, settings.but(start="mean")).terms(v)[0].values())
        assert torch.autograd.grad(loss.sum(), v)[0].abs().max() < 0.02


@pytest.mark.parametrize("mapped", [False, True])
def test_the_network_is_curved_and_repeatable(mapped):
    prior, again = network_toy(mapped=mapped), network_toy(mapped=mapped)
    grey = to_grey(prior.sample(200, seed=5))
    assert torch.equal(grey, to_grey(again.sample(200, seed=5)))
    assert grey.std(dim=0).mean().item() == pytest.approx(45, rel=0.15)
    assert grey.mean().item() == pytest.approx(110, abs=10)


def test_a_row_of_the_network():
    """A short run: figures are there and finite; how good they are takes minutes (`evaluate agreement`)."""
    row = next(network_agreement((20.0,), chains=4, warmup=10, draws=20))
    assert row.method == "laplace" and row.corruption == "mask"
    assert 0.5 < row.ratio < 2 and row.correlation > 0.5 and row.rhat < 3
