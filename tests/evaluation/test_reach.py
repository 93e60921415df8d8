"""Time to a reference loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.evaluation import reach
from napari_brgm.evaluation.reach import SLACK, time_to_loss
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.settings import preset


@pytest.fixture
def prior():
    generator = torch.Generator().manual_seed(0)
    return LinearGaussian(torch.zeros(1, 32, 32), 0.2 * torch.randn(6, 1, 32, 32, generator=generator), 0.01)


def test_a_better_optimiser_reaches_it_and_a_hopeless_one_never_does(prior):
    image = np.asarray((prior.sample(1, 3)[0, 0] + 1) * 127.5, dtype=np.float32)
    common = preset("default").but(start="mean", tolerance=None)
    good, bad = (
        time_to_loss(prior, common.but(**changes), image, reference_steps=60, rates=(0.01, 0.3))
        for changes in ({"optimiser": "lbfgs", "steps": 30}, {"optimiser": "adam", "steps": 2, "learning_rate": 1e-4})
    )
    assert [row.task for row in good] == ["in-painting", "super-resolution x4"]
    for row in good:
        assert row.reference_rate == 0.3 and row.steps == 30 and row.reached_seconds is not None
        assert row.loss <= row.reference_loss * (1 + SLACK) and row.share is not None and row.share > 0
    assert all(row.reached_seconds is None and row.share is None and row.steps == 2 for row in bad)


def test_the_time_is_that_of_the_first_loss_that_is_low_enough():
    trace = reach._Trace(torch.device("cpu"))
    for loss in (3.0, 2.0, 2.5, 1.0):
        trace.add(loss)
    assert trace.losses == [3.0, 2.0, 2.5, 1.0] and trace.times == sorted(trace.times) and len(trace.times) == 4
