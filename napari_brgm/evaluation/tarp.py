"""TARP: expected coverage of posteriors that are known by their draws only, for a whole region at once.

    f = share of the S draws that lie nearer to the reference r than the truth does
    ECP(p) = probability that f < p;     an exact posterior has ECP(p) = p for every p and every way to choose r

The ball round r that reaches to the truth is the credible region. With k draws nearer among S, k is uniform on 0 .. S
if truth and draws are exchangeable; f is spread evenly over [k, k + 1] / (S + 1), so that few draws bring no bias.
Seen from far away in few dimensions, too narrow a posterior has truths among the nearest and the farthest: ECP is above
p for small p, and below it for large ones; too wide a one the other way round. A curve on one side is a bias towards r
or away from it, or a wrong width in many dimensions, where |x - r|^2 = |m - r|^2 + 2 (x - m)'(m - r) + |x - m|^2 is
ruled by its last term: above p, draws stray farther from their mean m than the truth does; below it, less far.

References that do not depend on what was measured cannot tell a posterior from the prior, which has ECP(p) = p too: use
some that do.

Source: Lemos, Coogan, Hezaveh and Perreault-Levasseur, "Sampling-based accuracy testing of posterior estimators for
general inference" (ICML 2023, arXiv 2302.03026), Algorithm 2 and Theorem 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

__all__ = ["box_references", "expected_coverage", "gap_limit", "nearer", "tarp_coverage"]

_SIMULATIONS = 2000
_LUCK = 0.99  # of exact posteriors have no larger gap than the limit


def nearer(samples: Floats, truth: Floats, reference: Floats) -> int:
    """How many of samples (S, D) lie nearer (L2) to reference (D,) than truth (D,) does: 0 .. S."""
    reference = np.asarray(reference, np.float64)
    far = np.square(np.asarray(truth, np.float64) - reference).sum()
    return int((np.square(np.asarray(samples, np.float64) - reference).sum(axis=1) < far).sum())


def expected_coverage(counts: npt.NDArray[np.integer[Any]], draws: int, levels: Floats) -> npt.NDArray[np.float64]:
    """ECP (K,) at levels (K,) in [0, 1], from counts (N,) of ``nearer`` among ``draws`` draws.

    Examples
    --------
    >>> expected_coverage(np.arange(5), 4, np.array([0.1, 0.5])).round(3).tolist()
    [0.1, 0.5]
    """
    reached = np.asarray(levels, np.float64)[:, None] * (draws + 1) - np.asarray(counts, np.float64)
    return np.asarray(reached.clip(0, 1).mean(axis=1))


def tarp_coverage(samples: Floats, truths: Floats, references: Floats, levels: Floats) -> npt.NDArray[np.float64]:
    """ECP (K,) at levels (K,) of N posteriors.

    Parameters
    ----------
    samples : (N, S, D) ndarray
    truths, references : (N, D) ndarray
        In units in which a distance means something: standardise them first.
    levels : (K,) ndarray
        In [0, 1].

    Raises
    ------
    InputError
        The shapes do not go together.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truths, samples = rng.normal(size=(400, 3)), rng.normal(size=(400, 50, 3))
    >>> references = box_references(np.full(3, -2.0), np.full(3, 2.0), 400, seed=1)
    >>> bool(abs(tarp_coverage(samples, truths, references, np.array([0.9]))[0] - 0.9) < 0.05)
    True
    """
    if samples.ndim != 3 or truths.shape != references.shape or samples.shape[::2] != truths.shape:
        raise InputError(
            f"samples (N, S, D), truths (N, D) and references (N, D) are needed, got {samples.shape}, {truths.shape} "
            f"and {references.shape}"
        )
    counts = np.array([nearer(*one) for one in zip(samples, truths, references, strict=True)])
    return expected_coverage(counts, samples.shape[1], levels)


def box_references(low: Floats, high: Floats, count: int, seed: int = 0) -> npt.NDArray[np.float64]:
    """References (count, D), even in the box from low (D,) to high (D,)."""
    rng = np.random.default_rng(seed)
    return np.asarray(rng.uniform(low, high, size=(count, len(low))))


def gap_limit(count: int, draws: int, levels: Floats, seed: int = 0) -> float:
    """Largest |ECP - level| that 99 % of exact posteriors stay below, with ``count`` independent truths."""
    counts = np.random.default_rng(seed).integers(0, draws + 1, size=(_SIMULATIONS, count))
    gaps = [np.abs(expected_coverage(one, draws, levels) - levels).max() for one in counts]
    return float(np.quantile(gaps, _LUCK))
