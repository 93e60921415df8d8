"""The rival's spread is the prior's, whatever was measured."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.corruptions import Mask
from napari_brgm.evaluation.released_entropy import draws_with_released_entropy


def test_measured_pixels_are_kept_and_the_spread_knows_nothing_of_the_data(linear_prior):
    grey = ((linear_prior.sample(1, seed=21)[0, 0].numpy() + 1) * 127.5).clip(0, 255)
    small, large = np.zeros((24, 24), bool), np.zeros((24, 24), bool)
    small[10:12, 10:12] = True
    large[:, 10:] = True
    spreads = []
    for missing in (small, large):
        draws = draws_with_released_entropy(grey, Mask(missing), linear_prior, 64, seed=3, steps=2)
        assert draws.shape == (64, 24, 24) and (draws[:, ~missing] == grey[~missing]).all()
        spreads.append(draws[:, 10:12, 10:12].std(axis=0).mean())
    assert spreads[0] == pytest.approx(spreads[1], rel=0.1) and spreads[0] > 1
