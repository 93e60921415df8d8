"""Regions: figures of draws, against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.engine.region import RegionDraws
from napari_brgm.errors import InputError


def draws(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return 100 + shift + 10 * np.random.default_rng(seed).standard_normal((count, 6, 7))


REGION = np.zeros((6, 7), bool)
REGION[1:4, 2:5] = True
MEASURED = np.ones((6, 7), bool)
MEASURED[2:, :4] = False


def test_the_mean_is_that_of_the_draws_over_all_slices():
    found, images = RegionDraws("HU", above=105), [draws(16, 1), draws(16, 2)]
    for slice_ in images:
        found.add(slice_, REGION, MEASURED, 2.0)
    known = draws(1, 3)
    found.add(known, REGION, None, 2.0)
    mean, volume = found.figures()
    each = (sum(one[:, REGION].sum(axis=1) for one in images) + known[0][REGION].sum()) / 27
    assert mean.value == pytest.approx(each.mean()) and mean.std == pytest.approx(each.std())
    assert (mean.pixels, mean.synthetic, mean.units) == (27, 8, "HU")
    above = sum((one[:, REGION] > 105).sum(axis=1) for one in images) + (known[0][REGION] > 105).sum()
    assert volume.value == pytest.approx(2 * above.mean()) and volume.units == "mm^3"
    assert volume.quantity == "volume above 105 HU" and volume.low >= 0


def test_intervals_hold_what_they_promise_with_few_draws():
    """A Gaussian's would hold 78 % of truths with four draws."""
    held = []
    for seed in range(400):
        images = draws(5, seed)
        found = RegionDraws("HU")
        found.add(images[:4], REGION, MEASURED, 1.0)
        (mean,) = found.figures(0.9)
        held.append(mean.low <= images[4][REGION].mean() <= mean.high)
    assert 0.85 < np.mean(held) < 0.95


def test_measured_regions_have_no_interval():
    found = RegionDraws("HU")
    found.add(draws(1, 0), REGION, None, 1.0)
    (mean,) = found.figures()
    assert mean.low == mean.value == mean.high and mean.synthetic == 0


def test_what_does_not_go_is_refused():
    found = RegionDraws("HU")
    assert found.figures() == []
    found.add(draws(4, 0), REGION, MEASURED, 1.0)
    with pytest.raises(InputError, match="different numbers of draws"):
        found.add(draws(5, 0), REGION, MEASURED, 1.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        found.figures(1.0)
