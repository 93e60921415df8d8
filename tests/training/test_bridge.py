"""Training on stacks in which a disc moves from slice to slice: between two measured slices it is half way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.priors.bridge import Gap
from napari_brgm.training.bridge import BridgeSettings, fit_bridge

SIDE, SLICES = 32, 9
SETTINGS = BridgeSettings(steps=400, batch=8, side=24, channels=16, deep=16, blocks=1, rate=3e-3)


def moving(count: int, seed: int) -> torch.Tensor:
    """(S, Z, 1, R, R) in [-1, 1]: a bright disc on grey that goes two or three pixels from slice to slice."""
    random = torch.Generator().manual_seed(seed)
    at = torch.arange(SIDE, dtype=torch.float32)
    z = torch.arange(SLICES, dtype=torch.float32)[:, None, None]
    found = []
    for _ in range(count):
        start, speed, radius = torch.rand(3, generator=random).tolist()
        column = SIDE / 2 + (1 if start < 0.5 else -1) * (2 + speed) * (z - SLICES / 2)
        inside = 4 + 4 * radius - torch.hypot(at[None, None] - column, at[None, :, None] - SIDE / 2)
        found.append((90 + 100 * inside.clamp(0, 1))[:, None])
    return torch.stack(found) / 127.5 - 1


def test_what_moves_is_found_between_where_it_was() -> None:
    torch.set_num_threads(1)
    said: list[str] = []
    net = fit_bridge(moving(40, 0), 1.0, SETTINGS, said.append)
    hidden = torch.ones(SIDE, SIDE, dtype=torch.bool)
    hidden[:, :4] = False
    squares = torch.zeros(2)
    for one in moving(8, 1):
        x = (one[:, 0] + 1) * 127.5
        gap = Gap(x[[3, 2]], x[4], x[[5, 6]], hidden, 1.0, 1.0)
        missed = torch.stack([net.slice_between(gap) - x[4], gap.line()[0] - x[4]])
        squares += missed[:, hidden].square().sum(dim=1)
    assert float(squares[0] / squares[1]) ** 0.5 < 0.85
    assert len(said) == 4 and "step 100 of 400" in said[0]
    few = replace(SETTINGS, steps=3, channels=4, deep=4)
    again, same = (fit_bridge(moving(4, 0), 1.0, few, said.append) for _ in range(2))
    for name, weights in again.state_dict().items():
        torch.testing.assert_close(weights, same.state_dict()[name])
    before = {name: weights.clone() for name, weights in again.state_dict().items()}
    further = fit_bridge(moving(4, 0), 1.0, replace(few, steps=1, rate=1e-5), said.append, again)
    for name, weights in further.state_dict().items():
        torch.testing.assert_close(weights, before[name], atol=1e-5, rtol=0)  # not one that is new
        torch.testing.assert_close(again.state_dict()[name], before[name], atol=0, rtol=0)
    assert any(not torch.equal(weights, before[name]) for name, weights in further.state_dict().items())


@pytest.mark.parametrize(("spacing", "slices", "side"), [(0.0, 9, 24), (16.0, 9, 24), (1.0, 2, 24), (1.0, 9, 64)])
def test_stacks_that_do_not_suit_are_refused(spacing: float, slices: int, side: int) -> None:
    with pytest.raises(InputError, match="are needed"):
        fit_bridge(moving(2, 0)[:, :slices], spacing, replace(SETTINGS, steps=1, side=side))
