"""Figures of calibrated uncertainty: of one slice, and of a task over the slices of one half of the subjects.

Errors and spreads are in grey levels. Pixels of a slice depend on each other, and slices of a subject too: a share of
pixels comes with the standard deviation of the same share between subjects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import spearmanr

from napari_brgm.calibration import LEVELS, TISSUE, half_width
from napari_brgm.scoring import ause, crps_gaussian, crps_samples, energy_score, ranks, sparsification, uniformity

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

__all__ = ["PLOTTED", "SliceFigures", "figures_of", "held", "summary"]

PLOTTED = tuple(np.round(np.arange(0.05, 1.0, 0.05), 2).tolist())  # levels of the reliability diagram
_APART = 12  # pixels of the frame between those whose ranks are taken for independent
_MEANS = ("width", "crps", "crps_samples", "energy", "spearman", "spearman_tissue", "ause", "ause_constant",
          "ause_tissue", "ause_tissue_constant")  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class SliceFigures:
    """One slice of one task.

    Attributes
    ----------
    subject : int
    pixels : (2,) ndarray
        Numbers of hidden pixels: all, tissue.
    inside : (2, 4 + P) ndarray
        How many of them lie inside the intervals of LEVELS and PLOTTED.
    values : dict of float
        Means over hidden pixels: 'width' of the 90 % interval, 'crps', ... see ``_MEANS``; 'squared' error.
    curves : (2, 100) ndarray
        Sparsification by the std and by the error itself.
    ranks : (k,) ndarray
        Of the truth among the draws, at tissue pixels that lie apart.
    count : int
        Of draws.
    """

    subject: int
    pixels: npt.NDArray[np.int64]
    inside: npt.NDArray[np.int64]
    values: dict[str, float]
    curves: npt.NDArray[np.float64]
    ranks: npt.NDArray[np.int64]
    count: int


def figures_of(
    truth: Floats, mean: Floats, draws: Floats, widths: Floats | None, region: npt.NDArray[np.bool_], subject: int
) -> SliceFigures:
    """Measure a slice: hidden pixels (n,), draws (S, n), widths (4, n) or None, and where they lie (R, R)."""
    error = truth.astype(np.float64) - mean
    std = draws.std(axis=0, dtype=np.float64)
    tissue = mean > TISSUE
    inside = np.zeros((2, len(LEVELS) + len(PLOTTED)), np.int64)
    for i, level in enumerate((*LEVELS, *PLOTTED)):
        hit = np.abs(error) <= half_width(level, widths) * std
        inside[:, i] = hit.sum(), hit[tissue].sum()
    rows, columns = np.nonzero(region)
    sparse = tissue & (rows % _APART == _APART // 2) & (columns % _APART == _APART // 2)
    some = tissue.sum() > 1
    values = {
        "squared": float(np.square(error).mean()),
        "width": float((2 * half_width(0.9, widths) * std).mean()),
        "crps": float(crps_gaussian(truth, mean, std).mean()),
        "crps_samples": float(crps_samples(truth, draws).mean()),
        "energy": energy_score(truth, draws),
        "spearman": _spearman(error, std),
        "spearman_tissue": _spearman(error[tissue], std[tissue]),
        "ause": ause(error, std),
        "ause_constant": ause(error, np.zeros_like(std)),
        "ause_tissue": ause(error[tissue], std[tissue]) if some else float("nan"),
        "ause_tissue_constant": ause(error[tissue], np.zeros(int(tissue.sum()))) if some else float("nan"),
    }
    return SliceFigures(
        subject,
        np.array([len(error), tissue.sum()]),
        inside,
        values,
        np.stack([sparsification(error, std), sparsification(error, np.abs(error))]),
        ranks(truth[sparse], draws[:, sparse], np.random.default_rng(subject)),
        len(draws),
    )


def held(truth: Floats, mean: Floats, draws: Floats) -> npt.NDArray[np.int64]:
    """How many of the pixels (n,) Gaussian intervals of LEVELS hold, (4,), and last how many there are."""
    error, std = np.abs(truth.astype(np.float64) - mean), draws.std(axis=0, dtype=np.float64)
    return np.array([(error <= half_width(level) * std).sum() for level in LEVELS] + [len(error)])


def summary(slices: Sequence[SliceFigures]) -> dict[str, Any]:
    """Figures of a task over slices, at least one: plain values.

    Coverage is of all pixels together, each level and matter; its 'between subjects' is a standard deviation, 'least'
    and 'greatest' are of single slices, all three of the 90 % interval.
    """
    inside = np.stack([one.inside for one in slices]).astype(float)  # (n, 2, levels)
    pixels = np.stack([one.pixels for one in slices]).astype(float)  # (n, 2)
    subjects = np.array([one.subject for one in slices])
    record: dict[str, Any] = {"slices": len(slices), "subjects": len(set(subjects.tolist()))}
    for place, matter in enumerate(("all", "tissue")):
        total = pixels[:, place].sum()
        shares = inside[:, place].sum(axis=0) / total if total else np.full(inside.shape[2], np.nan)
        record[f"coverage_{matter}"] = dict(zip(map(str, LEVELS), shares[: len(LEVELS)].tolist(), strict=True))
        record[f"reliability_{matter}"] = shares[len(LEVELS) :].tolist()
        at90 = LEVELS.index(0.9)
        each = [
            inside[own, place, at90].sum() / pixels[own, place].sum()
            for own in (subjects == subject for subject in np.unique(subjects))
            if pixels[own, place].sum()
        ]
        single = inside[:, place, at90][pixels[:, place] > 0] / pixels[:, place][pixels[:, place] > 0]
        record[f"spread_{matter}"] = {
            "between subjects": float(np.std(each, ddof=1)) if len(each) > 1 else float("nan"),
            "least": float(single.min()) if single.size else float("nan"),
            "greatest": float(single.max()) if single.size else float("nan"),
        }
    values = {name: np.array([one.values[name] for one in slices]) for name in slices[0].values}
    weight = pixels[:, 0] / pixels[:, 0].sum()
    record["rmse"] = float(np.sqrt((values["squared"] * weight).sum()))
    for name in _MEANS:
        known = np.isfinite(values[name])
        record[name] = (
            float((values[name] * weight)[known].sum() / weight[known].sum()) if known.any() else float("nan")
        )
    record["sparsification"] = np.mean([one.curves for one in slices], axis=0).tolist()
    together = np.concatenate([one.ranks for one in slices])
    per_degree, p = uniformity(together, slices[0].count)
    record["ranks"] = {
        "pixels": len(together), "chi2_per_degree": per_degree, "p": p,
        "histogram": np.bincount(together, minlength=slices[0].count + 1).tolist(),
    }  # fmt: skip
    return record


def _spearman(error: Floats, std: Floats) -> float:
    """Rank correlation of |error| and std; nan where one of them does not vary."""
    size = np.abs(error)
    if size.size < 3 or np.ptp(size) == 0 or np.ptp(std) == 0:
        return float("nan")
    return float(spearmanr(size, std).statistic)
