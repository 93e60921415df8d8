"""The residual fields of a stack, against dense algebra."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stack_field import StackField, radii
from napari_brgm.priors.through_plane import FREQUENCIES, ThroughPlane

SIDE, TORUS, COUNT = 6, 8, 3
PIXELS = SIDE * SIDE
PLACES = torch.tensor([0.0, 0.5, 1.2])
TIMES = torch.tensor(FREQUENCIES)


@pytest.fixture(scope="module")
def one() -> ResidualField:
    side = torch.fft.fftfreq(TORUS) * TORUS
    correlation = torch.exp(-(side[:, None].square() + side[None].square()) / 2)
    return ResidualField(torch.linspace(4, 9, PIXELS).reshape(SIDE, SIDE), correlation)


@pytest.fixture(scope="module")
def between() -> torch.Tensor:
    """(F, n, n): broad features go on for longer than grain, in equal steps from frequency to frequency."""
    lengths = torch.linspace(3.0, 0.4, len(FREQUENCIES))[:, None, None]
    found: torch.Tensor = torch.exp(-(PLACES[:, None] - PLACES).square() / (2 * lengths**2)).double()
    return found + 1e-6 * torch.eye(COUNT)


def covariance(one: ResidualField, between: torch.Tensor) -> torch.Tensor:
    """(n R R, n R R), slices first: waves of the torus one by one, each with its own correlation of the slices."""
    waves = torch.fft.fft2(torch.eye(TORUS**2, dtype=torch.complex128).reshape(-1, TORUS, TORUS), norm="ortho")
    seen = waves[..., :SIDE, :SIDE].flatten(1) * one.std.flatten()  # (P P, R R)
    power = torch.fft.fft2(one.correlation.double()).real.clamp(min=1e-4).flatten()
    at = torch.fft.fftfreq(TORUS)
    radius = torch.hypot(at[:, None], at[None]).flatten().clamp(max=FREQUENCIES[-1])
    whole = torch.zeros(COUNT, PIXELS, COUNT, PIXELS, dtype=torch.float64)
    for wave, share, r in zip(seen, power, radius, strict=True):
        after = min(int((r >= TIMES).sum()), len(TIMES) - 1)
        weight = (r - TIMES[after - 1]) / (TIMES[after] - TIMES[after - 1])
        matrix = between[after - 1] * (1 - weight) + between[after] * weight
        whole += share * torch.einsum("ij,p,q->ipjq", matrix, wave, wave.conj()).real
    return whole.reshape(COUNT * PIXELS, -1)


def test_the_covariance_is_the_one_of_the_equation(one, between):
    unit = torch.eye(COUNT * PIXELS).reshape(-1, COUNT, SIDE, SIDE)
    found = StackField(one, between).covariance(unit).flatten(1)
    torch.testing.assert_close(found.double(), covariance(one, between), atol=2e-3, rtol=1e-4)


def test_draws_have_that_covariance(one, between):
    field = StackField(one, between)
    draws = field.sample(20_000, torch.Generator().manual_seed(0)).flatten(1).double()
    wanted = covariance(one, between)
    scale = wanted.diagonal().sqrt()
    error = (draws.T @ draws / len(draws) - wanted) / (scale[:, None] * scale)
    assert error.abs().max() < 0.05
    again, other = (field.sample(2, torch.Generator().manual_seed(seed)).flatten(1).double() for seed in (0, 1))
    torch.testing.assert_close(
        again, StackField(one, between).sample(2, torch.Generator().manual_seed(0)).flatten(1).double()
    )
    assert not torch.equal(again, other)


def test_a_single_slice_has_its_own_field(one, between):
    """Catches a stack of one that is not what restore() draws."""
    field = StackField(one, between[:, :1, :1])
    z = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(field.covariance(z), one.covariance(z), atol=1e-3, rtol=1e-4)


def test_broad_features_go_on_for_longer_than_grain(one, between):
    """Catches frequencies that are taken in the wrong order, or all alike."""
    flat = ResidualField(torch.ones(TORUS, TORUS), one.correlation)
    draws = StackField(flat, between).sample(4000, torch.Generator().manual_seed(2))
    waves = torch.fft.rfft2(draws)
    alike = (waves[:, 0].conj() * waves[:, 2]).real.mean(dim=0) / waves.abs().square().mean(dim=(0, 1))
    assert float(alike[0, 0]) == pytest.approx(float(between[0, 0, 2]), abs=0.05)
    assert float(alike[4, 4]) == pytest.approx(float(between[-1, 0, 2]), abs=0.05)
    assert float(alike[0, 0]) > 0.9 > 0.1 > float(alike[4, 4])


def test_the_field_given_slices_is_the_conditional_one(one, between):
    """Mean and covariance of two slices where the first is known. The torus is the frame, on which the field of a
    whole slice tells that of another; of a larger one the other slices are drawn beside it."""
    flat = ResidualField(torch.linspace(4, 9, TORUS**2).reshape(TORUS, TORUS), one.correlation)
    whole = StackField(flat, between).covariance(torch.eye(COUNT * TORUS**2).reshape(-1, COUNT, TORUS, TORUS))
    whole = whole.flatten(1).double()
    k = TORUS**2
    gain = torch.linalg.solve(whole[:k, :k], whole[:k, k:]).T
    field = StackField(flat, between, known=1)
    given = flat.sample(2, torch.Generator().manual_seed(3))
    expected = field.expected(given)
    torch.testing.assert_close(expected[:, :1], given)
    torch.testing.assert_close(
        expected[:, 1:].flatten(1).double(), given.flatten(1).double() @ gain.T, atol=0.1, rtol=0
    )
    unit = torch.eye(COUNT * k).reshape(-1, COUNT, TORUS, TORUS)
    left = field.covariance(unit).flatten(1).double()
    assert left[:k].abs().max() == left[:, :k].abs().max() == 0
    torch.testing.assert_close(left[k:, k:], whole[k:, k:] - gain @ whole[:k, k:], atol=0.05, rtol=0)
    draws = field.sample(4000, torch.Generator().manual_seed(4)).flatten(1)
    assert draws[:, :k].abs().max() == 0
    torch.testing.assert_close(draws[:, k:].var(dim=0).double(), left.diagonal()[k:], atol=0.3, rtol=0.15)


def test_all_slices_follow_a_known_one_where_they_are_the_same_slice(one):
    through = ThroughPlane(torch.eye(33)[:1], torch.eye(33)[15].repeat(len(FREQUENCIES), 1))
    field = StackField(one, through.of_residual(torch.tensor([0.0, 1e-3])), known=1)
    given = torch.zeros(1, 1, SIDE, SIDE)
    given[..., 2:4, 2:4] = 8.0
    torch.testing.assert_close(field.expected(given)[:, 1], given[:, 0], atol=0.01, rtol=0)
    assert field.sample(50, torch.Generator().manual_seed(0)).std() < 0.1


def test_radii_are_those_of_a_real_transform():
    found = radii(TORUS)
    assert found.shape == (8, 5)
    assert float(found[0, 4]) == float(found[4, 0]) == 0.5 and float(found[7, 0]) == 0.125
