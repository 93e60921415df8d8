"""The network for hidden slices: what it reads, and that it knows no direction and no hidden value."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.priors.bridge import Bridge, Gap


@pytest.fixture(scope="module")
def net() -> Bridge:
    """Untrained, and loud."""
    torch.manual_seed(0)
    found = Bridge(channels=8, deep=8, blocks=1)
    torch.nn.init.normal_(found.leave.weight, std=0.3)
    for block in (*found.there, *found.deep, *found.back):
        torch.nn.init.normal_(block.known.weight, std=0.3)
    return found.eval().requires_grad_(False)


def gap(scale: float = 1.0, hidden: slice = slice(4, 10)) -> Gap:
    """A slice a fourth of the way, on a scale of its own, of which some rows are hidden."""
    random = torch.Generator().manual_seed(1)
    slices = 60 + 120 * torch.rand(4, 16, 20, generator=random)
    own = scale * (0.75 * slices[1] + 0.25 * slices[2])
    missing = torch.zeros(16, 20, dtype=torch.bool)
    missing[hidden] = True
    return Gap(slices[[1, 0]], own, slices[[2, 3]], missing, 1.0, 3.0)


def test_the_line_has_the_scale_of_the_slice() -> None:
    line, scale = gap(0.9).line()
    assert scale == pytest.approx(0.9, rel=1e-4)
    torch.testing.assert_close(line, gap(0.9).own, rtol=1e-4, atol=1e-2)
    line, scale = gap(0.9, slice(None)).line()  # nothing of it was measured
    assert scale == 1.0
    torch.testing.assert_close(line, gap().own, rtol=1e-4, atol=1e-2)


def test_it_reads_no_hidden_value_and_no_direction(net: Bridge) -> None:
    one = gap()
    found = net.slice_between(one)
    assert found.shape == (16, 20) and (found >= 0).all()
    spoilt = one._replace(own=torch.where(one.hidden, torch.nan, one.own))
    torch.testing.assert_close(net.slice_between(spoilt), found)
    torch.testing.assert_close(net.slice_between(one.turned()), found, rtol=1e-4, atol=1e-2)
    mirrored = Gap(one.before.flip(-1), one.own.flip(-1), one.after.flip(-1), one.hidden.flip(-1), 1.0, 3.0)
    torch.testing.assert_close(net.slice_between(mirrored).flip(-1), found, rtol=1e-4, atol=1e-2)
    elsewhere = one._replace(before_mm=2.0, after_mm=6.0)  # the same line, twice as far
    assert not torch.allclose(net.slice_between(elsewhere), found, atol=0.1)
    assert not torch.allclose(net.slice_between(one._replace(after=one.after[[0, 0]])), found, atol=0.1)


def test_sides_that_cannot_be_halved_twice_are_refused(net: Bridge) -> None:
    one = gap()
    cut = Gap(one.before[:, :14], one.own[:14], one.after[:, :14], one.hidden[:14], 1.0, 3.0)
    with pytest.raises(InputError, match="multiples of 4"):
        net.slice_between(cut)


def test_its_weights_are_itself(net: Bridge) -> None:
    again = Bridge.from_state_dict({name: one.half() for name, one in net.state_dict().items()})
    torch.testing.assert_close(again.slice_between(gap()), net.slice_between(gap()), rtol=1e-2, atol=0.5)
    weights = net.state_dict()
    for broken in ({}, {k: v for k, v in weights.items() if k != "up.weight"}, weights | {"up.bias": torch.zeros(3)}):
        with pytest.raises(WeightsError, match="incomplete"):
            Bridge.from_state_dict(broken)
    with pytest.raises(WeightsError, match="no number"):
        Bridge.from_state_dict(weights | {"up.bias": torch.full_like(weights["up.bias"], torch.nan)})
