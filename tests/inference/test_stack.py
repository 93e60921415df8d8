"""The posterior of a stack, against dense algebra: latents first, then the residual field."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Identity, Mask
from napari_brgm.errors import Cancelled
from napari_brgm.inference import complete
from napari_brgm.inference.stack import StackPosterior
from napari_brgm.likelihood import Likelihood
from napari_brgm.observation import StackObservation, all_measured
from napari_brgm.priors.gaussian_posterior import GaussianPosterior
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stack_field import StackField
from napari_brgm.priors.through_plane import FREQUENCIES, ThroughPlane

SIZE, COUNT = 6, 4
PLACES = torch.tensor([0.0, 1.0, 2.0, 4.0])
THICK = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.2, 0.5, 0.3]])  # two slices, each a sum of thin ones


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
    field = known[:1].repeat(len(FREQUENCIES), 1)
    return ThroughPlane.fit(known, field, 1.0).of_latents(PLACES)


@pytest.fixture
def slices() -> list[GaussianPosterior]:
    measured = alone(1)
    return [measured, alone(2, 0.1), alone(3), measured]


def dense(slices, correlation, profile=None, known=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (n, K) and covariance (n K, n K), slices first."""
    profile = torch.eye(COUNT) if profile is None else profile
    prior = torch.zeros(COUNT, SIZE, COUNT, SIZE, dtype=torch.float64)
    for k in range(SIZE):
        prior[:, k, :, k] = correlation[k]
    square = COUNT * SIZE
    prior = prior.reshape(square, square)
    mixed = torch.kron(profile.double(), torch.eye(SIZE).double())
    data = torch.block_diag(*(one.precision - torch.eye(SIZE) for one in slices))
    data = mixed.T @ data @ mixed
    right = mixed.T @ torch.cat([one.precision @ one.mean for one in slices])
    if known is None:
        covariance = torch.linalg.inv(torch.linalg.inv(prior) + data)
        return (covariance @ right).reshape(COUNT, SIZE), covariance
    k = known.numel()
    precision = torch.linalg.inv(prior) + data  # given the first k, a block of it
    covariance = torch.zeros(square, square, dtype=torch.float64)
    covariance[k:, k:] = torch.linalg.inv(precision[k:, k:])
    mean = covariance[k:, k:] @ (right[k:] - precision[k:, :k] @ known.flatten())
    return torch.cat([known.flatten(), mean]).reshape(COUNT, SIZE), covariance


def deviation(draws, covariance) -> float:
    """Largest error of the draws' covariance, in standard deviations squared; of what varies."""
    measured = torch.cov(draws.reshape(len(draws), -1).T)
    free = covariance.diagonal() > 0
    scale = covariance.diagonal()[free].sqrt()
    assert measured[~free].abs().max() == 0 if (~free).any() else True
    return float(((measured - covariance)[free][:, free] / (scale[:, None] * scale)).abs().max())


def test_the_mean_is_exact(slices, correlation):
    found = StackPosterior(slices, correlation)
    torch.testing.assert_close(found.mean, dense(slices, correlation)[0], atol=1e-4, rtol=1e-4)


def test_draws_have_the_posterior_s_covariance(slices, correlation):
    found = StackPosterior(slices, correlation)
    draws = found.sample(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(draws.mean(dim=0), found.mean, atol=1e-9, rtol=0)
    assert deviation(draws, dense(slices, correlation)[1]) < 0.05
    again = found.sample(3, torch.Generator().manual_seed(5))
    torch.testing.assert_close(again, found.sample(3, torch.Generator().manual_seed(5)))


def test_thick_slices_are_sums_of_thin_ones(slices, correlation):
    """Mean and covariance of four thin slices of which two thick ones were measured."""
    thick = slices[1:3]
    found = StackPosterior(thick, correlation, THICK.double())
    mean, covariance = dense(thick, correlation, THICK)
    torch.testing.assert_close(found.mean, mean, atol=1e-4, rtol=1e-4)
    assert deviation(found.sample(20_000, torch.Generator().manual_seed(0)), covariance) < 0.05


def test_hidden_slices_follow_those_that_were_measured(slices, correlation):
    """A profile of single slices: the second one is not there."""
    some = torch.eye(COUNT)[[0, 2, 3]].double()
    seen = [slices[0], slices[2], slices[3]]
    found = StackPosterior(seen, correlation, some)
    mean, covariance = dense(seen, correlation, some)
    torch.testing.assert_close(found.mean, mean, atol=1e-4, rtol=1e-4)
    assert deviation(found.sample(20_000, torch.Generator().manual_seed(0)), covariance) < 0.05


@pytest.mark.parametrize("profile", [None, THICK])
def test_a_window_goes_on_from_known_slices(slices, correlation, profile):
    """Mean and covariance of the others are the conditional ones; each draw goes on from known slices of its own."""
    profile = None if profile is None else profile.double()
    seen = slices if profile is None else slices[1:3]
    known = torch.randn(2, SIZE, generator=torch.Generator().manual_seed(9)).double()
    found = StackPosterior(seen, correlation, profile, known)
    mean, covariance = dense(seen, correlation, profile, known)
    torch.testing.assert_close(found.mean, mean, atol=1e-4, rtol=1e-4)
    assert found.start.shape == (2, SIZE)
    spread = 0.5 * torch.randn(20_000, 2, SIZE, generator=torch.Generator().manual_seed(1)).double()
    draws = found.sample(20_000, torch.Generator().manual_seed(0), known + spread - spread.mean(dim=0))
    torch.testing.assert_close(draws.mean(dim=0), found.mean, atol=1e-9, rtol=0)
    torch.testing.assert_close(draws[:, :2], known + spread - spread.mean(dim=0))
    a, _ = dense(seen, correlation, profile, known + 1)
    gain = torch.zeros(2 * SIZE, 2 * SIZE).double()  # of the known latents, one by one
    for i in range(2 * SIZE):
        step = torch.zeros(2 * SIZE).double()
        step[i] = 1
        gain[:, i] = (dense(seen, correlation, profile, known + step.reshape(2, SIZE))[0] - mean)[2:].flatten()
    torch.testing.assert_close((mean[2:].flatten() + gain.sum(dim=1)).reshape(2, SIZE), a[2:])
    whole = covariance.clone()
    half = 2 * SIZE
    whole[:half, :half] = 0.25 * torch.eye(half)
    whole[half:, :half] = 0.25 * gain
    whole[:half, half:] = 0.25 * gain.T
    whole[half:, half:] += 0.25 * gain @ gain.T
    assert deviation(draws, whole) < 0.05


@pytest.mark.parametrize("known", [0, 2])
def test_coordinates_of_the_search_are_about_the_posterior(slices, correlation, known):
    """The mean at 0, known slices that stay, and a spread that is the posterior's where each P is diagonal."""
    given = torch.ones(known, SIZE).double() if known else None
    found = StackPosterior(slices, correlation, None, given)
    zero = torch.zeros(1, COUNT - known, SIZE).double()
    torch.testing.assert_close(found.latents(zero)[0], found.mean)
    eta = torch.randn(5, COUNT - known, SIZE, generator=torch.Generator().manual_seed(0)).double()
    away = found.latents(eta)
    torch.testing.assert_close(away[:, :known], found.mean[:known].expand(5, -1, -1))
    assert (away[:, known:] - found.mean[known:]).abs().min() > 0
    plain = [GaussianPosterior(one.mean, torch.diag(one.precision.diagonal())) for one in slices]
    exact = StackPosterior(plain, correlation, None, given)
    eta = torch.randn(20_000, COUNT - known, SIZE, generator=torch.Generator().manual_seed(0)).double()
    assert deviation(exact.latents(eta), dense(plain, correlation, None, given)[1]) < 0.05


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
        StackPosterior(slices, correlation, check=enough)


# the residual field


@pytest.fixture
def field() -> ResidualField:
    side = torch.fft.fftfreq(8) * 8
    correlation = torch.exp(-(side[:, None].square() + side[None].square()) / 4)
    return ResidualField(torch.linspace(4, 9, 64).reshape(8, 8), correlation)


def through(share: int, places: list[float]) -> torch.Tensor:
    """(F, n, n): of a Gaussian whose length is the same at every frequency."""
    shares = torch.eye(33)[share].repeat(len(FREQUENCIES), 1)
    return ThroughPlane(torch.eye(33)[20:21], shares).of_residual(torch.tensor(places))


def seen(hidden: list[bool], profile: torch.Tensor | None = None) -> Likelihood:
    """Slices of which some have a hole."""
    missing = torch.zeros(len(hidden), 8, 8, dtype=torch.bool)
    missing[:, 2:5, 3:7] = torch.tensor(hidden)[:, None, None]
    y = 100 + 10 * torch.randn(1, len(hidden), 8, 8, generator=torch.Generator().manual_seed(0))
    each = tuple(
        all_measured(Mask(one.numpy()) if one.any() else Identity(), y[:, i : i + 1], 5.0)
        for i, one in enumerate(missing)
    )
    return Likelihood(StackObservation(each, profile), y * ~missing)


def kriged(field: StackField, likelihood: Likelihood, images: torch.Tensor, noise: float) -> torch.Tensor:
    """Of (n, 8, 8) images in [-1, 1], by dense algebra: grey levels (n, 8, 8)."""
    n = len(images)
    whole = field.covariance(torch.eye(64 * n).reshape(-1, n, 8, 8)).flatten(1).double()
    a = likelihood.observation.A(torch.eye(64 * n).reshape(-1, n, 8, 8)).flatten(1).T.double()
    grey = (images.flatten().double() + 1) * 127.5
    normal = a @ whole @ a.T + noise**2 * torch.eye(len(a)).double()
    gain = whole @ a.T @ torch.linalg.inv(normal)
    return (grey + gain @ (likelihood.y.flatten().double() - a @ grey)).reshape(-1, 8, 8)


@pytest.mark.parametrize("thick", [False, True])
def test_the_residual_field_of_a_stack_is_kriged_through(field, thick):
    profile = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.3, 0.7]]) if thick else None
    likelihood = seen([False, True] if thick else [False, True, False], profile)
    images = torch.zeros(2, 3, 8, 8)
    images[1] = 0.1
    stack = StackField(field, through(18 + 6, [0.0, 0.4, 0.8]))
    found = (complete(images, stack, likelihood, 2.0) + 1) * 127.5
    for one, image in zip(found, images, strict=True):
        torch.testing.assert_close(one.double(), kriged(stack, likelihood, image, 2.0), atol=0.5, rtol=0)


def test_slices_whose_fields_know_nothing_of_each_other_are_completed_alone(field):
    likelihood, images = seen([False, True, False]), torch.zeros(1, 3, 8, 8)
    apart = StackField(field, torch.eye(3).expand(len(FREQUENCIES), -1, -1))
    found = (complete(images, apart, likelihood, 2.0) + 1) * 127.5
    for i, one in enumerate(likelihood.observation.each):
        alone = Likelihood(one, likelihood.y[:, i : i + 1])
        single = (complete(images[:, :1], field, alone, 2.0) + 1) * 127.5
        torch.testing.assert_close(found[:, i : i + 1], single, atol=0.3, rtol=0)
    together = complete(images, StackField(field, through(24, [0.0, 0.4, 0.8])), likelihood, 2.0)
    assert ((together + 1) * 127.5 - found)[0, 1, 2:5, 3:7].abs().max() > 2


def test_draws_of_a_stack_meet_the_data_and_vary_together(field):
    likelihood = seen([True, True, True])
    stack = StackField(field, through(24, [0.0, 0.5, 1.0]))
    images = torch.zeros(400, 3, 8, 8)
    draws = (complete(images, stack, likelihood, 2.0, torch.Generator().manual_seed(0)) + 1) * 127.5
    mean = (complete(images[:1], stack, likelihood, 2.0) + 1) * 127.5
    torch.testing.assert_close(draws.mean(dim=0), mean[0], atol=0.5, rtol=0)
    hole = draws[:, :, 3, 4] - draws[:, :, 3, 4].mean(dim=0)
    inside = torch.corrcoef(hole.T)
    assert hole.std() > 2 and inside[0, 1] > 0.8 and inside[0, 2] > 0.6  # they scroll without flicker
    assert draws[:, :, 7, 0].std(dim=0).max() < 2.0
