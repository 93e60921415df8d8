"""Scores of probabilistic predictions: of a Gaussian of each pixel, and of samples.

    CRPS(F, y)  = int (F(x) - 1[x >= y])^2 dx = E|X - y| - 1/2 E|X - X'|
    ES(F, y)    = E|X - y| - 1/2 E|X - X'|          with Euclidean norms of whole regions
    AUSE        = mean over removed shares of [ error kept by predicted spread - error kept by true error ]

Lower is better for all three. The first two are proper: no other prediction than what one believes scores better in
expectation. Expectations over samples are the unbiased ones, so that few samples are not punished.

Source: Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", JASA 102 (2007), Eq. 20-22;
Ferro, "Fair scores for ensemble forecasts", Q. J. R. Meteorol. Soc. 140 (2014); Ilg et al., "Uncertainty estimates and
multi-hypotheses networks for optical flow", ECCV 2018, Sec. 4.1 (sparsification, AUSE).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr
from scipy.stats import chi2

__all__ = [
    "ause", "crps_gaussian", "crps_samples", "energy_score", "ranks", "sparsification", "uniformity",
]  # fmt: skip

Floats = npt.NDArray[np.floating[Any]]
_SHARES = 100  # removed shares 0, 0.01, ... 0.99


def crps_gaussian(truth: Floats, mean: Floats, std: Floats) -> Floats:
    """CRPS of N(mean, std^2) in closed form, elementwise, in the values' units; std 0 is a certain prediction.

    Examples
    --------
    >>> round(float(crps_gaussian(np.array(1.0), np.array(0.0), np.array(0.0))), 3)
    1.0
    """
    error = np.abs(np.asarray(truth, np.float64) - mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = error / std
        density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        score = std * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.where(np.asarray(std) > 0, score, error)


def crps_samples(truth: Floats, samples: Floats) -> Floats:
    """CRPS (...) of samples (S, ...), S > 1, each equally likely; unbiased in S."""
    count = len(samples)
    ordered = np.sort(np.asarray(samples, np.float64), axis=0)
    weights = (2 * np.arange(count) - count + 1).reshape(-1, *[1] * (ordered.ndim - 1))
    apart = (weights * ordered).sum(axis=0) / (count * (count - 1))  # half the mean distance of two samples
    return np.asarray(np.abs(ordered - truth).mean(axis=0) - apart)


def energy_score(truth: Floats, samples: Floats) -> float:
    """Energy score of samples (S, N), S > 1, of a region of N pixels, over sqrt(N): in grey levels per pixel."""
    drawn, target = np.asarray(samples, np.float64), np.asarray(truth, np.float64)
    count, pixels = drawn.shape
    far = np.linalg.norm(drawn - target, axis=1).mean()
    centred = drawn - drawn.mean(axis=0)  # distances stay, digits are not lost
    power = np.square(centred).sum(axis=1)
    squared = power[:, None] + power[None] - 2 * centred @ centred.T
    np.fill_diagonal(squared, 0)
    apart = np.sqrt(squared.clip(min=0)).sum() / (count * (count - 1))
    return float((far - apart / 2) / pixels**0.5)


def ranks(truth: Floats, samples: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rank (...) of the truth among samples (S, ...), 0 .. S; ties are broken at random, as for black background.

    It is uniform where truth and samples are exchangeable.
    """
    below = (samples < truth).sum(axis=0)
    ties = (samples == truth).sum(axis=0)
    return np.asarray(below + rng.integers(0, ties + 1), dtype=np.int64)


def uniformity(found: npt.NDArray[np.integer], count: int, bins: int = 11) -> tuple[float, float]:
    """Pearson's chi-square of ranks 0 .. ``count`` in ``bins``, per degree of freedom, and its p-value.

    The p-value is that of independent ranks. Pixels of a slice are not: give it pixels that lie far apart.
    """
    if not found.size:
        return float("nan"), float("nan")
    bins = min(bins, count + 1)
    place = found * bins // (count + 1)
    expected = np.bincount(np.arange(count + 1) * bins // (count + 1), minlength=bins) / (count + 1) * found.size
    statistic = float((np.square(np.bincount(place, minlength=bins) - expected) / expected).sum())
    return statistic / (bins - 1), float(chi2.sf(statistic, bins - 1))


def sparsification(error: Floats, order: Floats) -> Floats:
    """RMSE of what is left when shares 0, 0.01 .. 0.99 of the pixels with the greatest ``order`` are removed.

    Parameters
    ----------
    error : (N,) ndarray
        Of the prediction.
    order : (N,) ndarray
        What should be large where the error is. Pixels of equal ``order`` are removed in no particular order: the curve
        is the mean over all of them, so that a constant map gives the curve of random removal.

    Returns
    -------
    (100,) ndarray
        In units of the RMSE of all pixels: 1 at the start; 0 throughout where there is no error.
    """
    squared = np.square(np.asarray(error, np.float64))
    total = squared.mean()
    if not total > 0:
        return np.zeros(_SHARES)
    _, group, sizes = np.unique(order, return_inverse=True, return_counts=True)
    means = np.bincount(group, squared) / sizes
    kept = np.cumsum(np.repeat(means, sizes))  # (N,) sum of the pixels with the least order
    left = np.maximum(len(squared) - np.arange(_SHARES) * len(squared) // _SHARES, 1)
    return np.asarray(np.sqrt(kept[left - 1] / left / total))


def ause(error: Floats, std: Floats) -> float:
    """Area under the sparsification error: between the curves of removal by ``std`` and by the error itself.

    0: the greatest std marks the greatest error throughout. What a constant map has is ``ause(error, 0 * error)``.
    """
    return float((sparsification(error, std) - sparsification(error, np.abs(error))).mean())
