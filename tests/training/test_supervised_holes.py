"""Holes to train on: all kinds, never all or nothing, the same for the same seed; the paper's masks among them."""

from __future__ import annotations

import numpy as np

from napari_brgm.evaluation.masks import paper_mask
from napari_brgm.training.supervised_holes import random_hole


def test_they_vary_and_can_be_drawn_again():
    drawn = [random_hole(64, np.random.default_rng(seed)) for seed in range(200)]
    assert all(hole.shape == (64, 64) and hole.any() and not hole.all() for hole in drawn)
    assert len({hole.tobytes() for hole in drawn}) > 150
    assert all(np.array_equal(hole, random_hole(64, np.random.default_rng(k))) for k, hole in enumerate(drawn[:20]))
    shares = np.array([hole.mean() for hole in drawn])
    assert shares.min() < 0.1 and shares.max() > 0.9


def test_a_shifted_half_still_reaches_the_border():
    half = paper_mask(0, 64)  # the right one
    found = [random_hole(64, np.random.default_rng(seed)) for seed in range(300)]
    halves = [hole for hole in found if hole[:, -1].all() and not hole[:, : 32 - 8].any() and hole[:, 32 + 8 :].all()]
    assert len(halves) > 5 and any(not np.array_equal(hole, half) for hole in halves)
    assert all((hole == hole[:1]).all() for hole in halves)  # straight, from the top to the bottom
