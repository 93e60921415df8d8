"""Rows of L-BFGS share evaluations and nothing else: each takes the points that it would take alone."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from napari_brgm.inference.lbfgs import lbfgs

STEPS = 40  # rounding grows by half in each: 1e-8 after these, all after 110
SHARP = (1.0, 10.0, 100.0, 300.0)


class Valleys:
    """Narrow bent valleys in float64, of another curvature in each row; smooth, so that rounding stays rounding.

    Rosenbrock's function over 6 numbers, whose line searches go back now and then; beyond ``wall`` |x|^2 it is
    ``there``.
    """

    def __init__(self, sharpness, wall=None, there=float("nan")):
        self.sharpness, self.wall, self.there, self.asked = sharpness, wall, there, 0

    def terms(self, v):
        self.asked += 1
        sharp = torch.tensor(self.sharpness, dtype=v.dtype)[:, None]
        x = v[:, 0]
        bend = (sharp * (x[:, 1:] - x[:, :-1].square()).square()).sum(dim=1)
        if self.wall is not None:
            bend = bend + torch.where(x.square().sum(dim=1) > torch.tensor(self.wall), self.there, 0.0)
        return {"bend": bend, "rest": (1 - x[:, :-1]).square().sum(dim=1)}, v[:, :, None]


def visits(v, sharpness=SHARP, **wall):
    objective = Valleys(sharpness, **wall)
    found = list(islice(lbfgs(objective.terms, v), STEPS))
    assert objective.asked == STEPS  # one evaluation each
    return found


@pytest.fixture
def start():
    return 0.5 * torch.randn(4, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("pairs", [50, 4])
def test_a_row_takes_the_points_that_it_takes_alone(start, monkeypatch, pairs):
    """Where a line search of one is a step for all, the others are starved and end at losses 1.1 to 1.6 times as high.

    With few pairs: those of a row must not go sooner because others found more.
    """
    monkeypatch.setattr("napari_brgm.inference.lbfgs._PAIRS", pairs)
    together = visits(start)
    new = torch.stack([visit.new for visit in together])  # (STEPS, B)
    assert (new.any(dim=1) & ~new.all(dim=1)).sum() > 5  # some still look for their step while others have found it
    for row in range(4):
        alone = visits(start[row : row + 1], SHARP[row : row + 1])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a.v[row], b.v[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("there", [float("nan"), float("inf"), 1e9])
def test_a_row_that_finds_no_way_down_stays_and_holds_up_nobody(start, there):
    """A loss that that is no number is no step: the row would be lost for good."""
    start[0] = 0.5
    wall = float(start[0].square().sum()) * (1 + 1e-12)  # its gradient points there
    together = visits(start[:2], SHARP[:2], wall=(wall, torch.inf), there=there)
    alone = visits(start[1:2], SHARP[1:2])
    torch.testing.assert_close(together[-1].v[1], alone[-1].v[0], rtol=1e-4, atol=1e-6)
    assert float(together[-1].loss[1]) < 1e-3 * float(together[0].loss[1])
    far = [float((visit.v[0] - start[0]).norm()) for visit in together]
    assert max(far) < 1.001 * far[1]  # the first it tried
    better = [float(visit.loss[0]) for visit in together[1:] if float(visit.loss[0]) <= float(together[0].loss[0])]
    assert not better and sum(bool(visit.new[0]) for visit in together) >= 4  # it begins anew from where it was
