"""Kriging of what the generator left unexplained, against dense Gaussian process regression on 16 px."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.errors import Cancelled
from napari_brgm.inference import complete
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import all_measured
from napari_brgm.priors.residual_field import ResidualField

NOISE = 2.0  # grey levels


@pytest.fixture(scope="module")
def field() -> ResidualField:
    lag = torch.fft.fftfreq(16) * 16
    correlation = torch.exp(-(lag[:, None].square() + lag[None].square()).sqrt() / 2)
    return ResidualField(8 + 8 * torch.rand(16, 16, generator=torch.Generator().manual_seed(0)), correlation)


def problem(kind: str, field: ResidualField):
    """Generator image (1, 1, 16, 16), likelihood, exact mean and covariance of x in grey levels."""
    missing = torch.zeros(16, 16, dtype=torch.bool)
    missing[5:11, 4:12] = True
    f = Mask(missing) if kind == "mask" else Downsample(2)
    image = torch.zeros(1, 1, 16, 16)
    truth = to_grey(image) + field.sample(1, torch.Generator().manual_seed(5))
    y = f.A(truth)
    y = y + NOISE * torch.randn(y.shape, generator=torch.Generator().manual_seed(6))
    observation = all_measured(f, y, 10.0)
    observed = observation.measured
    y = y * observed
    likelihood = Likelihood(observation, y)
    unit = torch.eye(256).reshape(256, 1, 16, 16)
    c = field.covariance(unit).flatten(1).double()
    a = f.A(unit).flatten(1).T.double()  # (M, P)
    a = a[observed.flatten() > 0]
    gain = c @ a.T @ torch.linalg.inv(a @ c @ a.T + NOISE**2 * torch.eye(len(a), dtype=torch.float64))
    x0 = to_grey(image).flatten().double()
    mean = x0 + gain @ (y.flatten().double()[observed.flatten() > 0] - a @ x0)
    return image, likelihood, mean, c - gain @ a @ c, observed


@pytest.mark.parametrize("kind", ["mask", "downsample"])
def test_mean_is_gaussian_process_regression(field, kind):
    """Catches a lost adjoint, noise in the wrong units, or conjugate gradients that stop too early."""
    image, likelihood, mean, _, _ = problem(kind, field)
    found = to_grey(complete(image, field, likelihood, NOISE)).flatten().double()
    assert (found - mean).norm() < 0.02 * (mean - 127.5).norm()
    assert (mean - 127.5).norm() > 20


@pytest.mark.parametrize("kind", ["mask", "downsample"])
def test_draws_have_the_conditional_covariance(field, kind):
    """Matheron's rule: catches a missing noise draw, or prior draws in place of conditional ones."""
    image, likelihood, mean, covariance, _ = problem(kind, field)
    draws = complete(image.expand(2000, -1, -1, -1), field, likelihood, NOISE, torch.Generator().manual_seed(1))
    flat = to_grey(draws).flatten(1).double()
    assert (flat.mean(dim=0) - mean).abs().max() < 0.3
    assert (torch.cov(flat.T) - covariance).norm() < 1.3 * covariance.trace() / 2000**0.5  # the sampling error
    std = covariance.diagonal().sqrt()
    torch.testing.assert_close(flat.std(dim=0), std, rtol=0.12, atol=0.1)


def test_draws_reproduce_the_measured_data_within_the_noise(field):
    image, likelihood, _, _, observed = problem("mask", field)
    draws = complete(image.expand(64, -1, -1, -1), field, likelihood, NOISE, torch.Generator().manual_seed(1))
    assert likelihood.residual(image).square().sum() / observed.sum() > 20 * NOISE**2
    misfit = likelihood.residual(draws).square().sum(dim=(1, 2, 3)) / observed.sum()
    assert float(misfit.max()) < 2.5 * NOISE**2


def test_an_entry_of_the_batch_does_not_depend_on_the_others(field):
    image, likelihood, _, _, _ = problem("mask", field)
    batch = torch.cat([image, image + 0.3, image - 0.5])
    together = complete(batch, field, likelihood, NOISE)
    alone = torch.cat([complete(entry[None], field, likelihood, NOISE) for entry in batch])
    torch.testing.assert_close(together, alone, atol=2e-3, rtol=0)


def test_it_asks_before_each_iteration_whether_to_go_on(field, monkeypatch):
    """Catches draws of a large slice that cannot be cancelled: no two products with the covariance without a check."""
    image, likelihood, _, _, _ = problem("mask", field)
    asked, products = [], []
    covariance = ResidualField.covariance
    monkeypatch.setattr(ResidualField, "covariance", lambda self, z: products.append(1) or covariance(self, z))

    def check():
        asked.append(len(products))
        if len(asked) == 8:
            raise Cancelled("enough")

    draws = torch.Generator().manual_seed(1)
    with pytest.raises(Cancelled):
        complete(image.expand(4, -1, -1, -1), field, likelihood, NOISE, draws, check=check)
    assert asked[0] == 0 and asked[-1] >= 4 and all(later - sooner <= 1 for sooner, later in pairwise(asked))


@pytest.mark.parametrize("n", [2, 3])
def test_draws_do_not_depend_on_how_many_are_solved_for_at_a_time(field, n):
    """Random numbers and their centring are those of all: catches a batch of one that has no draw left."""
    image, likelihood, _, _, _ = problem("mask", field)
    batch = image.expand(5, -1, -1, -1)
    whole, parts = (
        complete(batch, field, likelihood, NOISE, torch.Generator().manual_seed(3), size) for size in (None, n)
    )
    torch.testing.assert_close(to_grey(parts), to_grey(whole), atol=0.1, rtol=0)
