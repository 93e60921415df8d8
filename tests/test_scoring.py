"""Scores of probabilistic predictions against numeric integrals, Monte Carlo and cases that are known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from napari_brgm.scoring import (
    ause,
    crps_gaussian,
    crps_samples,
    energy_score,
    ranks,
    sparsification,
    uniformity,
)


@pytest.mark.parametrize(("truth", "mean", "std"), [(3.0, 1.0, 2.0), (-1.0, -1.0, 0.5), (9.0, 0.0, 1.0)])
def test_crps_of_a_gaussian_is_the_integral_that_defines_it(truth, mean, std):
    """Catches a wrong constant or sign in the closed form."""
    below = quad(lambda x: norm.cdf(x, mean, std) ** 2, mean - 12 * std, truth)[0]
    above = quad(lambda x: norm.sf(x, mean, std) ** 2, truth, max(truth, mean) + 12 * std)[0]
    assert crps_gaussian(np.array(truth), np.array(mean), np.array(std)) == pytest.approx(below + above, rel=1e-6)


def test_crps_of_certain_predictions_is_the_error():
    found = crps_gaussian(np.array([2.0, -1.0]), np.zeros(2), np.zeros(2))
    np.testing.assert_array_equal(found, [2.0, 1.0])


def test_crps_of_samples_is_unbiased():
    """Few samples give the Gaussian's CRPS on average; the 1/S^2 form would be too large by 15 % here."""
    rng = np.random.default_rng(0)
    truth = np.full(20_000, 0.7)
    found = crps_samples(truth, rng.normal(0.2, 1.5, (4, 20_000)))
    assert found.mean() == pytest.approx(float(crps_gaussian(truth[:1], np.array([0.2]), np.array([1.5]))[0]), rel=0.02)
    pair = crps_samples(np.array(1.0), np.array([0.0, 4.0]))
    assert pair == pytest.approx(2.0 - 0.5 * 4.0)  # E|X - y| = 2; both orders of the one pair are 4 apart


def test_proper_scores_are_best_for_what_the_data_follow():
    """Catches a score that rewards spreads that are too wide or too narrow."""
    rng = np.random.default_rng(1)
    truth = rng.normal(0, 2.0, 50_000)
    scores = [crps_gaussian(truth, np.zeros(1), np.array([std])).mean() for std in (1.4, 2.0, 2.8)]
    assert scores[1] < min(scores[0], scores[2])
    fields = rng.normal(0, 2.0, (400, 30))
    energies = [
        np.mean([energy_score(field, rng.normal(0, std, (24, 30))) for field in fields]) for std in (1.2, 2.0, 3.2)
    ]
    assert energies[1] < min(energies[0], energies[2])


def test_energy_score_of_one_pixel_is_the_crps():
    rng = np.random.default_rng(2)
    samples = rng.normal(size=(9, 1)) + 300.0  # far from 0: catches digits lost in |a|^2 + |b|^2 - 2 ab
    truth = np.array([300.4])
    assert energy_score(truth, samples) == pytest.approx(float(crps_samples(truth, samples)[0]), rel=1e-6)


def test_energy_score_is_per_pixel():
    """A region of copies of one pixel has that pixel's score: figures of small and large holes can be compared."""
    samples, truth = np.random.default_rng(3).normal(size=(8, 1)), np.array([0.3])
    one, many = energy_score(truth, samples), energy_score(np.repeat(truth, 50), np.repeat(samples, 50, axis=1))
    assert many == pytest.approx(one)


def test_ranks_are_uniform_for_exchangeable_draws_and_for_ties():
    rng = np.random.default_rng(4)
    together = rng.normal(size=(11, 5000))
    assert uniformity(ranks(together[0], together[1:], rng), 10)[1] > 0.001
    black = np.zeros((11, 5000))  # all alike, as in the background of a head
    found = ranks(black[0], black[1:], rng)
    assert found.min() == 0 and found.max() == 10 and uniformity(found, 10)[1] > 0.001
    assert uniformity(ranks(together[0], 0.5 * together[1:], rng), 10)[1] < 1e-6  # too narrow
    assert np.isnan(uniformity(np.array([], int), 10)[0])


def test_p_values_hold_where_bins_hold_unequal_numbers_of_ranks():
    """33 ranks in 10 bins: some hold 4, some 3; catches an expectation that is the same for all."""
    rng = np.random.default_rng(5)
    p = [uniformity(rng.integers(0, 33, 3000), 32, bins=10)[1] for _ in range(200)]
    assert 0.4 < np.mean(p) < 0.6


def test_ause_is_nothing_for_the_right_order_and_most_for_the_reverse():
    error = np.random.default_rng(6).normal(size=4000)
    assert ause(error, np.abs(error)) == 0
    assert ause(error, error**2 + 5) == 0  # the order alone counts
    constant = ause(error, np.full(4000, 3.0))
    shuffled = np.mean([ause(error, np.random.default_rng(i).random(4000)) for i in range(20)])
    assert 0 < constant < ause(error, -np.abs(error))
    assert constant == pytest.approx(shuffled, rel=0.03)  # ties are a random order, not the order of the file
    assert ause(np.zeros(50), np.ones(50)) == 0


def test_sparsification_is_the_rmse_of_what_is_left():
    error, std = np.array([4.0, 0.0, 2.0, 2.0]), np.array([9.0, 1.0, 2.0, 2.0])
    curve = sparsification(error, std)
    total = np.sqrt(24 / 4)
    assert curve[0] == 1 and curve[25] == pytest.approx(np.sqrt(8 / 3) / total)
    assert curve[50] == pytest.approx(np.sqrt(4 / 2) / total) and curve[99] == 0
    np.testing.assert_allclose(sparsification(error, np.zeros(4)), 1.0)
