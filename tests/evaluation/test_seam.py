"""Seams: 1 for texture that goes on over the rim, more for a step there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_brgm.evaluation.seam import SeamSums, seam_sums


@pytest.fixture
def missing() -> np.ndarray:
    hole = np.zeros((40, 40), bool)
    hole[10:25, 12:30] = True
    return hole


def test_texture_that_goes_on_has_no_seam(missing):
    white = np.random.default_rng(0).normal(size=(60, 40, 40))
    assert seam_sums(white, missing).ratio == pytest.approx(1.0, abs=0.03)


def test_a_step_at_the_rim_is_seen_whatever_is_inside(missing):
    images = np.random.default_rng(1).normal(size=(60, 40, 40))
    images[:, missing] += 3.0  # steps of variance 2, and 2 + 9
    assert seam_sums(images, missing).ratio == pytest.approx((11 / 2) ** 0.5, rel=0.05)
    smooth = images.copy()
    smooth[:, 12:23, 14:28] = 100.0  # far from the rim
    assert seam_sums(smooth, missing).ratio == seam_sums(images, missing).ratio


def test_only_the_texture_along_the_same_axis_counts():
    """A vertical rim in an image of horizontal stripes: steps between rows are large and say nothing of it."""
    stripes = np.zeros((1, 30, 30)) + 100.0 * (np.arange(30) % 2)[:, None]
    stripes += np.random.default_rng(2).normal(size=(1, 30, 30))
    half = np.zeros((30, 30), bool)
    half[:, 15:] = True
    assert 0.5 < seam_sums(stripes, half).ratio < 2


def test_sums_add_up_and_nothing_is_no_number(missing):
    images = np.random.default_rng(3).normal(size=(5, 40, 40))
    parts = seam_sums(images[:2], missing) + seam_sums(images[2:], missing)
    assert parts.as_tuple() == pytest.approx(seam_sums(images, missing).as_tuple())
    assert math.isnan(SeamSums().ratio) and math.isnan(seam_sums(np.zeros((1, 40, 40)), missing).ratio)
