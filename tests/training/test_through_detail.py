"""Training on stacks in which borders move from slice to slice: what is seen in the plane says where they are."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.priors.through_detail import between
from napari_brgm.training.through_detail import ThroughDetailSettings, fit_through_detail

SIDE, SLICES = 32, 24
SETTINGS = ThroughDetailSettings(steps=200, batch=8, side=24, factors=(4,), channels=16, blocks=1, rate=3e-3)


def oblique(count: int, seed: int) -> torch.Tensor:
    """(S, Z, 1, R, R) in [-1, 1]: a bright disc on grey that goes across the slices, a pixel or two in each."""
    random = torch.Generator().manual_seed(seed)
    at = torch.arange(SIDE, dtype=torch.float32)
    z = torch.arange(SLICES, dtype=torch.float32)[:, None, None]
    found = []
    for _ in range(count):
        start, speed, radius = torch.rand(3, generator=random).tolist()
        column = SIDE * start + (2 * speed - 1) * 3 * (z - SLICES / 2)
        inside = 4 + 8 * radius - torch.hypot(at[None, None] - column, at[None, :, None] - SIDE / 2)
        found.append((90 + 100 * inside.clamp(0, 1))[:, None])
    return torch.stack(found) / 127.5 - 1


def test_borders_that_move_are_found_better_than_by_cubic_interpolation():
    torch.set_num_threads(1)
    said: list[str] = []
    net = fit_through_detail(oblique(40, 0), 1.0, SETTINGS, said.append)
    squares = torch.zeros(2)
    for one in oblique(8, 1):
        x = (one[:, 0] + 1) * 127.5
        thick = x.unflatten(0, (-1, 4)).mean(dim=1)
        squares += torch.stack([(net.thin(thick, 4, 4.0) - x).square().sum(), (between(thick, 4) - x).square().sum()])
    assert float(squares[0] / squares[1]) ** 0.5 < 0.9
    assert len(said) == 2
    assert "step 100 of 200" in said[0]
    again = fit_through_detail(oblique(4, 0), 1.0, ThroughDetailSettings(3, 4, 16, (2, 5), 4, 1), said.append)
    same = fit_through_detail(oblique(4, 0), 1.0, ThroughDetailSettings(3, 4, 16, (2, 5), 4, 1), said.append)
    for name, weights in again.state_dict().items():
        torch.testing.assert_close(weights, same.state_dict()[name])


@pytest.mark.parametrize(("spacing", "factors"), [(0.0, (2,)), (1.0, (2, 25))])
def test_stacks_that_do_not_suit_are_refused(spacing, factors):
    with pytest.raises(InputError, match="are needed"):
        fit_through_detail(oblique(2, 0), spacing, ThroughDetailSettings(1, 2, 16, factors))
