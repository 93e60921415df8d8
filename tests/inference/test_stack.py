"""The posterior of a stack, against dense algebra: latents first, then the residual field."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Identity, Mask
from napari_brgm.errors import Cancelled
from napari_brgm.inference.residual import complete, complete_stack
from napari_brgm.inference.stack import StackPosterior
from napari_brgm.likelihood import Likelihood
from napari_brgm.observation import all_measured
from napari_brgm.priors.gaussian_posterior import GaussianPosterior
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.through_plane import ThroughPlane

SIZE, COUNT = 6, 4
PLACES = torch.tensor([0.0, 1.0, 2.0, 4.0])


def alone(seed: int, strength: float = 3.0) -> GaussianPosterior:
    """What a slice says of its latents, some of them hardly."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64) * torch.linspace(0, strength, SIZE)
    precision = torch.eye(SIZE).double() + a @ a.T
    return GaussianPosterior(torch.randn(SIZE, generator=generator).double(), precision)


@pytest.fixture
def correlation() -> torch.Tensor:
    lags = torch.arange(8, dtype=torch.float64)
    known = torch.exp(-lags.square()[None] / (2 * torch.linspace(0.8, 5, SIZE)[:, None] ** 2))
    return ThroughPlane.fit(known, known[0], 1.0).of_latents(PLACES)


@pytest.fixture
def slices() -> list[GaussianPosterior]:
    measured = alone(1)
    return [measured, alone(2, 0.1), alone(3), measured]


def dense(slices, correlation) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (n, K) and covariance (n K, n K), slices first."""
    prior = torch.zeros(COUNT, SIZE, COUNT, SIZE, dtype=torch.float64)
    data = torch.zeros_like(prior)
    for k in range(SIZE):
        prior[:, k, :, k] = correlation[k]
    for i, one in enumerate(slices):
        data[i, :, i, :] = one.precision - torch.eye(SIZE)
    square = COUNT * SIZE
    covariance = torch.linalg.inv(torch.linalg.inv(prior.reshape(square, -1)) + data.reshape(square, -1))
    linear = torch.cat([one.precision @ one.mean for one in slices])
    return (covariance @ linear).reshape(COUNT, SIZE), covariance


def test_the_mean_is_exact(slices, correlation):
    found = StackPosterior(slices, correlation)
    torch.testing.assert_close(found.mean, dense(slices, correlation)[0], atol=1e-4, rtol=1e-4)


def test_draws_have_the_posterior_s_covariance(slices, correlation):
    found = StackPosterior(slices, correlation)
    draws = found.sample(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.mean(dim=0), found.mean, atol=1e-9, rtol=0)
    _, covariance = dense(slices, correlation)
    measured = torch.cov(draws.reshape(len(draws), -1).T)
    scale = covariance.diagonal().sqrt()
    error = (measured - covariance) / (scale[:, None] * scale[None])
    assert error.abs().max() < 0.05
    again = found.sample(3, torch.Generator().manual_seed(5))
    torch.testing.assert_close(again, found.sample(3, torch.Generator().manual_seed(5)))


def test_one_slice_is_what_it_was(slices):
    """Catches a prior that changes where there are no neighbours."""
    found = StackPosterior(slices[:1], torch.ones(SIZE, 1, 1).double())
    torch.testing.assert_close(found.mean[0], slices[0].mean, atol=1e-5, rtol=1e-5)


def test_slices_that_know_nothing_of_each_other_are_alone(slices):
    found = StackPosterior(slices, torch.eye(COUNT).double().expand(SIZE, -1, -1))
    for mean, one in zip(found.mean, slices, strict=True):
        torch.testing.assert_close(mean, one.mean, atol=1e-4, rtol=1e-4)


def test_it_can_be_ended(slices, correlation):
    def enough() -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        StackPosterior(slices, correlation, enough)


# the residual field


@pytest.fixture
def field() -> ResidualField:
    side = torch.fft.fftfreq(8) * 8
    correlation = torch.exp(-(side[:, None].square() + side[None].square()) / 4)
    return ResidualField(torch.linspace(4, 9, 64).reshape(8, 8), correlation)


def seen(hidden: bool, seed: int) -> Likelihood:
    missing = torch.zeros(8, 8, dtype=torch.bool)
    missing[2:5, 3:7] = hidden
    y = 100 + 10 * torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
    f = Mask(missing.numpy()) if hidden else Identity()
    return Likelihood(all_measured(f, y, 5.0), y * ~missing)


def kriged(field, between, likelihoods, images, noise) -> torch.Tensor:
    """Of (n, 1, 8, 8) images in [-1, 1], by dense algebra: grey levels (n, 8, 8)."""
    eye = torch.eye(64).reshape(64, 1, 8, 8)
    one = field.covariance(eye).reshape(64, 64).double()
    whole = torch.kron(between.double(), one)
    mask = torch.cat([one.observation.measured.flatten() for one in likelihoods]).double()
    y = torch.cat([one.y.flatten() for one in likelihoods]).double()
    grey = (images.flatten().double() + 1) * 127.5
    normal = mask[:, None] * whole * mask[None] + noise**2 * torch.eye(len(y)).double()
    return (grey + whole @ torch.linalg.solve(normal, mask * (y - grey))).reshape(-1, 8, 8)


def test_the_residual_field_of_a_stack_is_kriged_through(field):
    likelihoods = [seen(i == 1, i) for i in range(3)]
    images = torch.zeros(2, 3, 1, 8, 8)
    images[1] = 0.1
    between = ThroughPlane(torch.eye(33)[20:21], torch.eye(33)[18]).of_residual(torch.tensor([0.0, 0.4, 0.8]))
    found = (complete_stack(images, field, between, likelihoods, 2.0) + 1) * 127.5
    for one, image in zip(found, images, strict=True):
        torch.testing.assert_close(
            one[:, 0].double(), kriged(field, between, likelihoods, image, 2.0), atol=0.3, rtol=0
        )
    apart = (complete_stack(images, field, torch.eye(3), likelihoods, 2.0) + 1) * 127.5
    for i, one in enumerate(likelihoods):
        single = (complete(images[:1, i], field, one, 2.0) + 1) * 127.5
        torch.testing.assert_close(apart[0, i], single[0], atol=0.3, rtol=0)
    assert (apart[0, 1] - found[0, 1]).abs().max() > 2


def test_draws_of_a_stack_meet_the_data_and_vary_together(field):
    likelihoods = [seen(True, i) for i in range(3)]
    between = ThroughPlane(torch.eye(33)[20:21], torch.eye(33)[24]).of_residual(torch.tensor([0.0, 0.5, 1.0]))
    images = torch.zeros(400, 3, 1, 8, 8)
    draws = (complete_stack(images, field, between, likelihoods, 2.0, torch.Generator().manual_seed(0)) + 1) * 127.5
    mean = (complete_stack(images[:1], field, between, likelihoods, 2.0) + 1) * 127.5
    torch.testing.assert_close(draws.mean(dim=0), mean[0], atol=0.5, rtol=0)
    hole = draws[:, :, 0, 3, 4] - draws[:, :, 0, 3, 4].mean(dim=0)
    inside = torch.corrcoef(hole.T)
    assert hole.std() > 2 and inside[0, 1] > 0.8 and inside[0, 2] > 0.6  # they scroll without flicker
    assert draws[:, :, 0, 7, 0].std(dim=0).max() < 2.0
