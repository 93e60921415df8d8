"""Agreement of readers beyond chance: kappa = (p_o - p_e) / (1 - p_e).

Two readers: Cohen (1960), https://doi.org/10.1177/001316446002000104, p_e from each reader's own habits.
Three or more: Fleiss (1971), https://doi.org/10.1037/h0031619, p_e from all answers together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Codes = npt.NDArray[np.intp]

__all__ = ["cohen_kappa", "fleiss_kappa", "kappa_with_interval"]

_DRAWS = 2000


def cohen_kappa(first: Codes, second: Codes) -> float:
    """Kappa of two readers' categories (N,) of the same items; nan where both always say the same one thing.

    Examples
    --------
    >>> round(cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])), 3)
    0.5
    """
    k = int(max(first.max(), second.max())) + 1
    table = np.zeros((k, k))
    np.add.at(table, (first, second), 1 / len(first))
    return _beyond(float(np.trace(table)), float(table.sum(axis=1) @ table.sum(axis=0)))


def fleiss_kappa(answers: Codes) -> float:
    """Kappa of categories (N, readers), two readers or more."""
    n, readers = answers.shape
    counts = np.zeros((n, int(answers.max()) + 1))
    np.add.at(counts, (np.repeat(np.arange(n), readers), answers.ravel()), 1)
    agreed = (np.square(counts).sum(axis=1) - readers) / (readers * (readers - 1))
    shares = counts.sum(axis=0) / (n * readers)
    return _beyond(float(agreed.mean()), float(np.square(shares).sum()))


def kappa_with_interval(answers: Codes, groups: Codes, seed: int = 0) -> tuple[float, float, float]:
    """Kappa of categories (N, readers) and its 95 % interval, by resampling of groups (N,) of items.

    Cohen's of two readers, Fleiss's of more. Resamples whose kappa is undefined are passed over.
    """

    def kappa(picked: Codes) -> float:
        return cohen_kappa(picked[:, 0], picked[:, 1]) if answers.shape[1] == 2 else fleiss_kappa(picked)

    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(_DRAWS):
        picked = np.concatenate([members[i] for i in draw.integers(len(members), size=len(members))])
        found.append(kappa(answers[picked]))
    defined = np.array(found)[np.isfinite(found)]
    if not len(defined):
        return kappa(answers), float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5]).tolist()
    return kappa(answers), low, high


def _beyond(observed: float, expected: float) -> float:
    return (observed - expected) / (1 - expected) if expected < 1 - 1e-12 else float("nan")
