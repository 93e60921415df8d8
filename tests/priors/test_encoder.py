"""The encoder that ships with a prior: rebuilt from its weights, and a distance between images."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.encoder import Encoder


def net() -> Encoder:
    torch.manual_seed(0)
    return Encoder((3, 4, 5), 6, 24)


def test_round_trip_through_a_state_dict():
    own = net()
    again = Encoder.from_state_dict(own.state_dict())
    images = torch.rand(2, 1, 24, 24)
    assert again.size == 24
    torch.testing.assert_close(again.encode(images), own.encode(images))
    for a, b in zip(again(images), own(images), strict=True):
        torch.testing.assert_close(a, b)


def test_damaged_weights_are_refused():
    weights = net().state_dict()
    del weights["conv1.weight"]
    with pytest.raises(WeightsError, match="encoder"):
        Encoder.from_state_dict(weights)


def test_features_weigh_each_stage_alike_and_pass_gradients():
    """Unit length at each position, averaged over positions: each stage's squares sum to 1, whatever its size."""
    images = torch.rand(2, 1, 24, 24, requires_grad=True)
    features = net()(images)
    for found in features:
        torch.testing.assert_close(found.square().sum(dim=(1, 2, 3)), torch.ones(2), atol=0.02, rtol=0)
    (gradient,) = torch.autograd.grad(sum(f[:, 0].sum() for f in features), images)
    assert gradient.abs().max() > 0
