"""The preconditioners of kriging, against dense algebra and against what plain conjugate gradients take."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.corruptions import Blur, Downsample, Frame, Identity, Mask, as_corruption
from napari_brgm.corruptions.conjugate_gradient import solved
from napari_brgm.inference.kriging_inverse import kriging_inverse
from napari_brgm.observation import Observation, StackObservation, all_measured
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
    assert inverse is not None
    a, b = (torch.randn(1, *observation.measured.shape[1:], generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    a, b = a * observation.measured, b * observation.measured
    torch.testing.assert_close((a * inverse(b)).sum(), (b * inverse(a)).sum(), rtol=1e-3, atol=1e-5)
    assert (a * inverse(a)).sum() > 0


def test_far_from_holes_and_alike_everywhere_it_is_the_inverse(field):
    """With one standard deviation, of what does not reach a border: nothing is left to conjugate gradients."""
    lag = torch.fft.fftfreq(TORUS) * TORUS
    correlation = torch.exp(-(lag[:, None].square() + lag[None].square()) / 6)
    places = torch.arange(COUNT, dtype=torch.float64)
    between = torch.exp(-(places[:, None] - places).abs() / 3).expand(len(FREQUENCIES), -1, -1)
    even = StackField(ResidualField(torch.full((SIDE, SIDE), 9.0), correlation), between)
    observation = stack("all")
    z = torch.zeros(1, COUNT, SIDE, SIDE)
    z[..., 10:14, 10:14] = torch.randn(1, COUNT, 4, 4, generator=torch.Generator().manual_seed(3))
    normal = observation.A(even.covariance(observation.A_adjoint(z))) + NOISE**2 * z
    inverse = kriging_inverse(even, observation, NOISE)
    assert inverse is not None
    torch.testing.assert_close(inverse(normal), z, rtol=1e-3, atol=1e-3)


def single(kind: str) -> Observation:
    """Of one slice, with a hole but for 'coarse' and 'blurred'."""
    if kind == "coarse":
        return all_measured(Downsample(2), torch.zeros(1, 1, SIDE // 2, SIDE // 2), 10.0)
    if kind == "blurred":
        return all_measured(Blur(1.0), torch.zeros(1, 1, SIDE, SIDE), 10.0)
    centre = (SIDE - 1) / 2
    shape, frame = (SIDE, SIDE), None
    if kind == "shifted":
        frame = Frame(shape, SIDE, (1.0, 1.0), (centre, centre), (centre + 0.3, centre - 0.4))
    if kind == "turned":
        frame = Frame(shape, SIDE, (1.04, 0.93), (centre, centre), (centre + 0.3, centre), 6.0)
    if kind == "finer":
        shape = (36, 36)
        frame = Frame(shape, SIDE, (0.67, 0.67), (17.5, 17.5), (centre + 0.2, centre), -3.0)
    missing = torch.zeros(shape, dtype=torch.bool)
    missing[shape[0] // 3 : 2 * shape[0] // 3, shape[1] // 4 : 3 * shape[1] // 4] = True
    return replace(all_measured(Mask(missing), torch.zeros(1, 1, *shape), 10.0), frame=frame)


@pytest.mark.parametrize("kind", ["own", "shifted", "turned", "finer", "coarse", "blurred"])
def test_of_one_slice_it_takes_less_than_half_of_the_steps(field, kind):
    """Catches a covariance of other lags, a hole that is asked, and weights that are not those of what is seen."""
    observation, noise = single(kind), 3 * NOISE if kind == "finer" else NOISE
    right = observation.A(field.slice.sample(3, torch.Generator().manual_seed(1)))
    inverse = kriging_inverse(field.slice, observation, noise)
    assert inverse is not None

    def normal(z: torch.Tensor) -> torch.Tensor:
        return observation.A(field.slice.covariance(observation.A_adjoint(z))) + noise**2 * z

    exact = solved(normal, right, iterations=1000, tolerance=1e-6)

    def missed(iterations: int, eased) -> float:
        found = solved(normal, right, iterations=iterations, tolerance=0.0, eased=eased) - exact
        return float((found * normal(found)).sum() / (exact * right).sum()) ** 0.5

    assert missed(12, inverse) < min(0.03, missed(24, None))


def test_of_one_slice_it_is_symmetric_and_positive(field):
    observation = single("turned")
    inverse = kriging_inverse(field.slice, observation, NOISE)
    assert inverse is not None
    a, b = (
        torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(i)) * observation.measured for i in (1, 2)
    )
    torch.testing.assert_close((a * inverse(b)).sum(), (b * inverse(a)).sum(), rtol=1e-3, atol=1e-5)
    assert (a * inverse(a)).sum() > 0
    assert (inverse(a)[observation.measured == 0] == 0).all()


def test_what_is_no_field_on_a_grid_has_none(field):
    """An operator of another library may observe anything, such as sums over regions."""

    class Regions:
        def A(self, x: torch.Tensor) -> torch.Tensor:
            mixed = torch.randn(SIDE**2, SIDE**2, generator=torch.Generator().manual_seed(0)) / SIDE
            return (x.flatten(2) @ mixed.T).reshape(x.shape)

        def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
            mixed = torch.randn(SIDE**2, SIDE**2, generator=torch.Generator().manual_seed(0)) / SIDE
            return (y.flatten(2) @ mixed).reshape(y.shape)

        def A_dagger(self, y: torch.Tensor) -> torch.Tensor:
            return self.A_adjoint(y)

    observation = all_measured(as_corruption(Regions()), torch.zeros(1, 1, SIDE, SIDE), 10.0)
    assert kriging_inverse(field.slice, observation, NOISE) is None


def test_nothing_measured_is_no_trouble(field):
    observation = replace(single("own"), measured=torch.zeros(1, 1, SIDE, SIDE))
    assert kriging_inverse(field.slice, observation, NOISE) is None
