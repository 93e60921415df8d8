"""Ranks of true values among posterior draws, and whether they are uniform.

If truth and data come from the model and draws from its posterior, the rank of the truth among S draws is uniform on
0 .. S, for every quantity. A heap at both ends: the posterior is too narrow; in the middle: too wide; a slope: biased.

The test is chi-square on equal bins, one for each quantity; a method fails where a p-value is below 1 % divided by the
number of quantities (Bonferroni), so that a correct one fails once in a hundred runs at most.

Source: Talts, Betancourt, Simpson, Vehtari and Gelman, "Validating Bayesian inference algorithms with simulation-based
calibration" (arXiv 1804.06788), Algorithm 1 and Sec. 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import chi2

if TYPE_CHECKING:
    import numpy.typing as npt

    Ranks = npt.NDArray[np.int64]

__all__ = ["LEVEL", "RankReport", "ranks_among"]

LEVEL = 0.01
_EXPECTED = 5  # in a bin, at least


def ranks_among(truth: npt.NDArray[np.floating[Any]], draws: npt.NDArray[np.floating[Any]]) -> Ranks:
    """How many of draws (S, Q) lie below truth (Q,): (Q,) from 0 to S."""
    found: Ranks = (draws < truth).sum(axis=0)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class RankReport:
    """Ranks of N simulations.

    Attributes
    ----------
    title : str
        Prior, corruption, noise and method.
    draws : int
        S.
    names : tuple of str
        Of the Q quantities.
    ranks : (N, Q) ndarray
        From 0 to S.
    """

    title: str
    draws: int
    names: tuple[str, ...]
    ranks: Ranks

    @property
    def bins(self) -> int:
        """The most bins that divide the S + 1 ranks equally, at most 20, with 5 simulations expected in each."""
        most = min(20, len(self.ranks) // _EXPECTED)
        return max((b for b in range(1, most + 1) if (self.draws + 1) % b == 0), default=1)

    @property
    def histograms(self) -> Ranks:
        """(Q, bins) counts."""
        bins = self.bins
        where = self.ranks * bins // (self.draws + 1)
        return np.stack([np.bincount(column, minlength=bins) for column in where.T])

    @property
    def p_values(self) -> npt.NDArray[np.float64]:
        """(Q,) probability of counts at least as uneven as these, were the ranks uniform; 1 where nothing can tell."""
        counts = self.histograms
        expected = len(self.ranks) / self.bins
        statistic = ((counts - expected) ** 2 / expected).sum(axis=1)
        return np.asarray(chi2.sf(statistic, self.bins - 1)) if self.bins > 1 else np.ones(len(counts))

    @property
    def spread(self) -> npt.NDArray[np.float64]:
        """(Q,) variance of the ranks over that of uniform ones: above 1 the posterior is too narrow, below too wide."""
        s = self.draws
        return np.asarray(((self.ranks - s / 2) ** 2).mean(axis=0) / (s * (s + 2) / 12))

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the quantities whose ranks are not uniform."""
        limit = LEVEL / len(self.names)
        return tuple(name for name, p in zip(self.names, self.p_values, strict=True) if p < limit)

    @property
    def verdict(self) -> str:
        """Say 'pass', or which quantities do not."""
        failing = self.failing
        return "pass" if not failing else f"{len(failing)} of {len(self.names)} fail: {', '.join(failing)}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "title": self.title,
            "simulations": len(self.ranks),
            "draws": self.draws,
            "bins": self.bins,
            "level": LEVEL / len(self.names),
            "quantities": {
                name: {"p": float(p), "variance_ratio": float(v), "ranks": [int(r) for r in column]}
                for name, p, v, column in zip(self.names, self.p_values, self.spread, self.ranks.T, strict=True)
            },
            "verdict": self.verdict,
        }
