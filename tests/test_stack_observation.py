"""A stack that was seen is one linear operator: each slice as it was seen, thick ones as sums of thin ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.corruptions import Blur, Downsample, Frame, Identity, Mask
from napari_brgm.likelihood import GreyLevels, Likelihood
from napari_brgm.observation import Observation, StackObservation

SIDE, SHAPE, SLICES = 12, (14, 10), 3
FRAME = Frame(SHAPE, SIDE, (0.8, 0.9), (6.5, 4.5), (5.5, 5.0))
PROFILE = torch.tensor([[0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 0.25, 0.5, 0.25, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0]]).double()


def slices(*, corruption=None, frames=(FRAME, FRAME, FRAME), weighted: bool = True) -> tuple[Observation, ...]:
    """Three with masks of their own: one hidden in part, one as a whole but for a corner, one not at all."""
    generator = torch.Generator().manual_seed(0)
    corruption = corruption or Identity()
    size = corruption.observed_shape(SHAPE)
    measured = (torch.rand(SLICES, 1, 1, *size, generator=generator) > 0.3).double()
    measured[1], measured[1, ..., :2, :2], measured[2] = 0.0, 1.0, 1.0
    weight = 0.5 + torch.rand(SLICES, 1, 1, *size, generator=generator).double()
    return tuple(
        Observation(corruption, seen, 7.0, own if weighted else None, frame)
        for seen, own, frame in zip(measured, weight, frames, strict=True)
    )


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


STACKS = {
    "equal frames": slices(),
    "one frame made three times": slices(frames=(FRAME, replace(FRAME), replace(FRAME))),
    "other frames": slices(frames=(FRAME, replace(FRAME, rotation=20.0), replace(FRAME, centre_frame=(4.0, 6.0)))),
    "no frames": tuple(replace(one, frame=None) for one in slices()),
    "blurred": slices(corruption=Blur(1.2)),
    "coarse": slices(corruption=Downsample(2)),
}


@pytest.mark.parametrize("profile", [None, PROFILE])
@pytest.mark.parametrize("name", STACKS)
def test_adjoint(name, profile):
    """<A x, y> = <x, A' y>: catches a profile that is not turned round, and masks that are not those of their slice."""
    seen = StackObservation(STACKS[name], profile)
    side = SHAPE if name == "no frames" else (SIDE, SIDE)
    x = draw(2, SLICES if profile is None else PROFILE.shape[1], *side)
    ax = seen.A(x)
    assert ax.shape == (2, *seen.measured.shape[1:]) and seen.linear
    y = draw(*ax.shape, seed=1)
    back = seen.A_adjoint(y)
    assert back.shape == x.shape
    assert float((ax * y).sum()) == pytest.approx(float((x * back).sum()), rel=1e-10)
    assert (ax[(seen.measured == 0).expand_as(ax)] == 0).all()
    grey = GreyLevels(seen)
    torch.testing.assert_close(grey.A(x), 127.5 * ax)
    torch.testing.assert_close(grey.A_adjoint(y), 127.5 * back)


@pytest.mark.parametrize("profile", [None, PROFILE])
@pytest.mark.parametrize("name", [name for name in STACKS if name != "no frames"])
def test_each_slice_is_seen_as_by_itself(name, profile):
    """Whether all go through it together or one by one."""
    stack = StackObservation(STACKS[name], profile)
    x = draw(2, SLICES if profile is None else PROFILE.shape[1], SIDE, SIDE)
    mixed = x if profile is None else torch.einsum("ji,bihw->bjhw", profile, x)
    wanted = torch.cat([one.A(mixed[:, j : j + 1]) for j, one in enumerate(stack.each)], dim=1)
    torch.testing.assert_close(stack.A(x), wanted)
    y = draw(*wanted.shape, seed=1)
    back = torch.cat([one.A_adjoint(y[:, j : j + 1]) for j, one in enumerate(stack.each)], dim=1)
    back = back if profile is None else torch.einsum("ji,bjhw->bihw", profile, back)
    torch.testing.assert_close(stack.A_adjoint(y), back)


def test_only_slices_that_the_same_happened_to_go_together(monkeypatch):
    """Catches one frame, or one corruption, for slices that have others; and stacks that are seen slice by slice."""
    counted = []
    through = Observation.native
    monkeypatch.setattr(Observation, "native", lambda self, x: counted.append(x.shape[1]) or through(self, x))
    for name, together in (("equal frames", True), ("one frame made three times", True), ("other frames", False)):
        counted.clear()
        StackObservation(STACKS[name]).A(draw(1, SLICES, SIDE, SIDE))
        assert counted == ([SLICES] if together else [1] * SLICES), name
    masks = [Mask(one.measured[0, 0].numpy() == 0) for one in slices()[:2]] + [Identity()]
    own = tuple(replace(one, corruption=mask) for one, mask in zip(slices(), masks, strict=True))
    x = draw(1, SLICES, SIDE, SIDE)
    torch.testing.assert_close(StackObservation(own).A(x), StackObservation(slices()).A(x))


@pytest.mark.parametrize("weighted", [True, False])
def test_a_misfit_of_a_stack_is_the_sum_of_those_of_its_slices(weighted):
    each = slices(weighted=weighted)
    stack = StackObservation(each)
    y, x = 100 * draw(1, SLICES, *SHAPE) * stack.measured, draw(2, SLICES, SIDE, SIDE, seed=1)
    alone = sum(Likelihood(one, y[:, j : j + 1]).pixel(x[:, j : j + 1]) for j, one in enumerate(each))
    torch.testing.assert_close(Likelihood(stack, y).pixel(x), alone)
    assert stack.sigma == 7.0 and stack.precision.shape == (1, SLICES, *SHAPE)
