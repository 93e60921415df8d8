"""TARP tells posteriors that are too narrow, too wide or biased from exact ones, and says what it cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.errors import InputError
from napari_brgm.evaluation.tarp import box_references, expected_coverage, gap_limit, nearer, tarp_coverage

LEVELS = np.linspace(0.1, 0.9, 9)
N, S = 400, 31


def _gaussian(size, width=1.0, shift=0.0, seed=0):
    """Truths x ~ N(0, I), data y = x + n, and draws of N(y / 2, width^2 I / 2): exact at width 1 and shift 0."""
    rng = np.random.default_rng(seed)
    truths = rng.normal(size=(N, size))
    data = truths + rng.normal(size=(N, size))
    draws = data[:, None] / 2 + shift + width * 0.5**0.5 * rng.normal(size=(N, S, size))
    return truths, data, draws


def _gaps(truths, draws, references):
    return tarp_coverage(draws, truths, references, LEVELS) - LEVELS


@pytest.mark.parametrize("size", [2, 200])
def test_an_exact_posterior_is_within_the_limit(size):
    truths, _, draws = _gaussian(size)
    gaps = _gaps(truths, draws, box_references(np.full(size, -2.3), np.full(size, 2.3), N))
    assert np.abs(gaps).max() < gap_limit(N, S, LEVELS) < 0.1


@pytest.mark.parametrize(("width", "low", "high"), [(0.5, 1, -1), (2.0, -1, 1)])
def test_a_wrong_width_is_told_by_the_shape_of_the_curve(width, low, high):
    truths, _, draws = _gaussian(2, width)
    limit = gap_limit(N, S, LEVELS)
    assert np.abs(_gaps(truths, draws, box_references(np.full(2, -2.3), np.full(2, 2.3), N))).max() > limit
    gaps = _gaps(truths, draws, box_references(np.full(2, -40.0), np.full(2, 40.0), N))  # from far away
    assert np.abs(gaps).max() > limit
    assert gaps[0] * low > 0.02 and gaps[-1] * high > 0.02


@pytest.mark.parametrize(("width", "side"), [(0.9, -1), (1.1, 1)])
def test_in_many_dimensions_a_wrong_width_puts_the_curve_on_one_side(width, side):
    truths, _, draws = _gaussian(400, width)
    gaps = _gaps(truths, draws, box_references(np.full(400, -2.3), np.full(400, 2.3), N))
    assert (gaps * side > 0.02).all() and np.abs(gaps).max() > gap_limit(N, S, LEVELS)


def test_a_bias_is_found():
    truths, _, draws = _gaussian(2, shift=1.0)
    assert np.abs(_gaps(truths, draws, np.full((N, 2), 4.0))).max() > gap_limit(N, S, LEVELS)


def test_the_prior_passes_unless_references_depend_on_the_data():
    truths, data, _ = _gaussian(2)
    prior = np.random.default_rng(9).normal(size=(N, S, 2))
    limit = gap_limit(N, S, LEVELS)
    assert np.abs(_gaps(truths, prior, box_references(np.full(2, -2.3), np.full(2, 2.3), N))).max() < limit
    assert np.abs(_gaps(truths, prior, data)).max() > limit


def test_few_draws_bring_no_bias():
    """Each count is equally likely where truth and draws are exchangeable: the curve is the diagonal at any level."""
    levels = np.linspace(0, 1, 21)
    for draws in (1, 4, 31):
        np.testing.assert_allclose(expected_coverage(np.arange(draws + 1), draws, levels), levels, atol=1e-12)


def test_counts_and_references():
    samples = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
    assert nearer(samples, np.array([0.0, 4.0]), np.zeros(2)) == 2
    references = box_references(np.array([0.0, 5.0]), np.array([1.0, 5.0]), 50, seed=3)
    assert references.shape == (50, 2) and (references[:, 1] == 5).all() and np.ptp(references[:, 0]) > 0.8
    assert (references == box_references(np.array([0.0, 5.0]), np.array([1.0, 5.0]), 50, seed=3)).all()


def test_shapes_that_do_not_go_together_are_refused():
    with pytest.raises(InputError, match=r"samples \(N, S, D\)"):
        tarp_coverage(np.zeros((3, 4, 2)), np.zeros((3, 2)), np.zeros((4, 2)), LEVELS)
