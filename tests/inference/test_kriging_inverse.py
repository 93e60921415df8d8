"""The preconditioner of a stack's kriging, against dense algebra and against what plain conjugate gradients take."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.corruptions import Blur, Downsample, Identity, Mask
from napari_brgm.corruptions.conjugate_gradient import solved
from napari_brgm.inference.kriging_inverse import kriging_inverse, pixel_inverse
from napari_brgm.observation import StackObservation, all_measured
from napari_brgm.priors.residual_field import ResidualField
from napari_brgm.priors.stack_field import StackField
from napari_brgm.priors.through_plane import FREQUENCIES

SIDE, TORUS, COUNT, NOISE = 24, 32, 6, 2.0


@pytest.fixture(scope="module")
def field() -> StackField:
    lag = torch.fft.fftfreq(TORUS) * TORUS
    correlation = torch.exp(-(lag[:, None].square() + lag[None].square()).sqrt() / 3)
    rows = torch.linspace(0, 3, SIDE)
    std = 9 + 5 * rows.sin()[:, None] * (2 * rows).cos()  # smooth, as that of anatomy is
    places = torch.arange(COUNT, dtype=torch.float64)
    between = torch.exp(-(places[:, None] - places).square() / 8) + 1e-4 * torch.eye(COUNT)
    return StackField(ResidualField(std, correlation), between.expand(len(FREQUENCIES), -1, -1))


def stack(kind: str) -> StackObservation:
    f = Downsample(2) if kind == "coarse" else Identity()
    given = torch.zeros(1, 1, SIDE // 2, SIDE // 2) if kind == "coarse" else torch.zeros(1, 1, SIDE, SIDE)
    one = all_measured(f, given, 10.0)
    each, profile = (one,) * COUNT, None
    if kind == "hole":
        measured = torch.ones_like(one.measured)
        measured[..., 8:15, 6:20] = 0
        hidden = replace(one, measured=measured)
        each = (one, one, hidden, hidden, one, one)
    if kind == "thick":
        each, profile = (one,) * 2, torch.kron(torch.eye(2), torch.full((1, 3), 1 / 3))
    return StackObservation(each, profile)


def steps_to(field: StackField, observation: StackObservation, right: torch.Tensor, *, eased: bool) -> int:
    """Steps until the answer is right to a hundredth in the norm of the system."""
    taken: list[int] = []

    def normal(z: torch.Tensor) -> torch.Tensor:
        return observation.A(field.covariance(observation.A_adjoint(z))) + NOISE**2 * z

    exact = solved(normal, right, iterations=1000, tolerance=1e-5)
    inverse = kriging_inverse(field, observation, NOISE) if eased else None
    for iterations in (5, 10, 15, 20, 30, 40, 60, 80, 120, 200):
        taken.append(iterations)
        missed = solved(normal, right, iterations=iterations, tolerance=0.0, eased=inverse) - exact
        if (missed * normal(missed)).sum() < 1e-4 * (exact * right).sum():
            break
    return taken[-1]


@pytest.mark.parametrize("kind", ["hole", "thick", "coarse"])
def test_it_takes_a_third_of_the_steps(field, kind):
    """Catches a weight, an adjoint or a profile that is not that of the system: any of them costs the gain."""
    observation = stack(kind)
    right = observation.A(field.sample(1, torch.Generator().manual_seed(1)))
    plain, eased = (steps_to(field, observation, right, eased=which) for which in (False, True))
    assert eased <= 20
    assert plain >= 3 * eased


@pytest.mark.parametrize("kind", ["hole", "thick", "coarse"])
def test_it_is_symmetric_and_positive(field, kind):
    observation = stack(kind)
    inverse = kriging_inverse(field, observation, NOISE)
    a, b = (torch.randn(1, *observation.measured.shape[1:], generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    a, b = a * observation.measured, b * observation.measured
    torch.testing.assert_close((a * inverse(b)).sum(), (b * inverse(a)).sum(), rtol=1e-3, atol=1e-5)
    assert (a * inverse(a)).sum() > 0


def test_without_holes_and_alike_everywhere_it_is_the_inverse(field):
    """On a torus of its own, with one standard deviation: nothing is left to conjugate gradients."""
    lag = torch.fft.fftfreq(SIDE) * SIDE
    correlation = torch.exp(-(lag[:, None].square() + lag[None].square()) / 8)
    places = torch.arange(COUNT, dtype=torch.float64)
    between = torch.exp(-(places[:, None] - places).abs() / 3).expand(len(FREQUENCIES), -1, -1)
    even = StackField(ResidualField(torch.full((SIDE, SIDE), 9.0), correlation), between)
    observation = stack("all")
    z = torch.randn(1, COUNT, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    normal = observation.A(even.covariance(observation.A_adjoint(z))) + NOISE**2 * z
    torch.testing.assert_close(kriging_inverse(even, observation, NOISE)(normal), z, rtol=1e-3, atol=1e-3)


def test_of_one_slice_it_takes_a_third_of_the_steps(field):
    """Where the frame's own pixels were measured, but for a hole."""
    missing = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    missing[8:15, 6:20] = True
    single, observation = field.slice, all_measured(Mask(missing), torch.zeros(1, 1, SIDE, SIDE), 10.0)
    right = observation.A(single.sample(3, torch.Generator().manual_seed(1)))
    inverse = pixel_inverse(single, observation, NOISE)
    assert inverse is not None

    def normal(z: torch.Tensor) -> torch.Tensor:
        return observation.A(single.covariance(observation.A_adjoint(z))) + NOISE**2 * z

    exact = solved(normal, right, iterations=1000, tolerance=1e-6)

    def missed(iterations: int, eased) -> float:
        found = solved(normal, right, iterations=iterations, tolerance=0.0, eased=eased) - exact
        return float((found * normal(found)).sum() / (exact * right).sum()) ** 0.5

    assert missed(12, inverse) < 0.01 < missed(30, None)


@pytest.mark.parametrize("f", [Downsample(2), Blur(1.0)])
def test_it_is_of_the_frames_own_pixels_only(field, f):
    seen = f.A(torch.zeros(1, 1, SIDE, SIDE))
    assert pixel_inverse(field.slice, all_measured(f, seen, 10.0), NOISE) is None
