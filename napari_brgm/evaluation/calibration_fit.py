"""Scales and conformal factors from restored validation slices, and how much of both is luck of the halves.

Pixels are gathered once, with their subject; any set of subjects can then be fitted on, and any other be covered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.calibration import DEPTHS, LEVELS, TISSUE, Curve, conformal_factors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy.typing as npt

    Curves = dict[tuple[str, str], Curve]  # (kind of task, matter)

__all__ = ["Gathered", "Halvings"]

_LEAST = 200  # pixels, below which a group has no factor of its own
_BOUNDS: dict[str, npt.NDArray[np.float64]] = {  # of the groups
    "mask": np.array(DEPTHS),
    "scattered": np.array([]),
    "downsample": 2.0 ** np.array([0.5, 1.5, 2.5, 3.5]),  # pixels of super-resolution x2, x4 and x8
}
_AT90 = LEVELS.index(0.9)
_AS_IT_CAME = Curve((1.0,), ((1.0,) * len(LEVELS),))  # of a kind of task with too few pixels for a factor
_THIN = 4  # one of so many pixels serves the random halvings


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Hidden pixels (n,) of one slice of one task."""

    task: str
    kind: str
    subject: int
    at: npt.NDArray[np.float32]
    tissue: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Halvings:
    """90 % coverage of a task over random halvings of the subjects: one half fitted on, the other covered, both ways.

    Attributes
    ----------
    mean, std : float
        Of all hidden pixels of a half.
    """

    mean: float
    std: float


class Gathered:
    """Scores |truth - mean| / std of hidden pixels.

    ``bounds``: for each kind of task those between its groups.
    """

    def __init__(self, bounds: Mapping[str, npt.NDArray[np.float64]] = _BOUNDS) -> None:
        self._parts: list[_Part] = []
        self.bounds = bounds

    def add(
        self, task: str, kind: str, subject: int, at: npt.NDArray[np.float64], mean: npt.NDArray[np.float32],
        std: npt.NDArray[np.float64], truth: npt.NDArray[np.float32],
    ) -> None:  # fmt: skip
        """Add pixels (n,) of one slice: coordinate of the group, posterior mean, its std and the truth."""
        error = np.abs(truth.astype(np.float64) - mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = np.where(error > 0, error / std, 0.0)  # a certain pixel that is right, or infinitely wrong
        self.add_scores(task, kind, subject, at, mean > TISSUE, scores)

    def add_scores(
        self, task: str, kind: str, subject: int, at: npt.NDArray[np.floating[Any]], tissue: npt.NDArray[np.bool_],
        scores: npt.NDArray[np.floating[Any]],
    ) -> None:  # fmt: skip
        """Add pixels (n,) of one slice or stack: coordinate of the group, whether it is tissue, and the score."""
        self._parts.append(_Part(task, kind, subject, at.astype(np.float32), tissue, scores.astype(np.float32)))

    def scales(self, subjects: Collection[int]) -> dict[str, float]:
        """Scale of the standard deviation of tissue by kind of task, from these subjects."""
        found = {}
        for kind in self.bounds:
            scores = [p.scores[p.tissue] for p in self._parts if p.kind == kind and p.subject in subjects]
            if sum(map(len, scores)) >= _LEAST:
                found[kind] = conformal_factors(np.concatenate(scores))[_AT90]
        return found

    def curves(self, subjects: Collection[int]) -> Curves:
        """Factors from these subjects, of the groups that have enough pixels; each at its mean coordinate."""
        scores: dict[tuple[str, str, int], list[npt.NDArray[np.float32]]] = {}
        ats: dict[tuple[str, str, int], list[npt.NDArray[np.float32]]] = {}
        for part in self._parts:
            if part.subject not in subjects:
                continue
            group = np.searchsorted(self.bounds[part.kind], part.at, side="right")
            for matter, own in (("tissue", part.tissue), ("air", ~part.tissue)):
                for number in np.unique(group[own]):
                    these = own & (group == number)
                    key = part.kind, matter, int(number)
                    scores.setdefault(key, []).append(part.scores[these])
                    ats.setdefault(key, []).append(part.at[these])
        found: dict[tuple[str, str], list[tuple[float, tuple[float, ...]]]] = {}
        for key in sorted(scores):
            together = np.concatenate(scores[key])
            if len(together) >= _LEAST:
                node = float(np.exp(np.log(np.concatenate(ats[key]).astype(np.float64)).mean()))
                found.setdefault(key[:2], []).append((node, conformal_factors(together)))
        return {
            key: Curve(tuple(at for at, _ in nodes), tuple(factors for _, factors in nodes))
            for key, nodes in found.items()
            if (key[0], "tissue") in found
        }

    def coverage(self, curves: Curves, subjects: Collection[int]) -> dict[str, float]:
        """Share of the hidden pixels of these subjects that lie in their 90 % intervals, by task."""
        inside: dict[str, int] = {}
        total: dict[str, int] = {}
        for part in self._parts:
            if part.subject not in subjects:
                continue
            tissue = curves.get((part.kind, "tissue"), _AS_IT_CAME)
            air = curves.get((part.kind, "air"), tissue)
            widths = np.where(part.tissue, tissue.widths(part.at)[_AT90], air.widths(part.at)[_AT90])
            inside[part.task] = inside.get(part.task, 0) + int((part.scores <= widths).sum())
            total[part.task] = total.get(part.task, 0) + len(widths)
        return {task: inside[task] / total[task] for task in total}

    def counts(self) -> dict[str, int]:
        """Pixels of each task."""
        found: dict[str, int] = {}
        for part in self._parts:
            found[part.task] = found.get(part.task, 0) + len(part.scores)
        return found

    def halvings(self, count: int, seed: int = 0) -> dict[str, Halvings]:
        """Coverage of the tasks over ``count`` random halvings of the subjects."""
        thin = Gathered(self.bounds)
        thin._parts = [
            _Part(p.task, p.kind, p.subject, p.at[::_THIN], p.tissue[::_THIN], p.scores[::_THIN]) for p in self._parts
        ]
        subjects = np.unique([part.subject for part in self._parts])
        random = np.random.default_rng(seed)
        shares: dict[str, list[float]] = {}
        for _ in range(count):
            mixed = random.permutation(subjects).tolist()
            halves = set(mixed[: len(mixed) // 2]), set(mixed[len(mixed) // 2 :])
            for fitted, reported in (halves, halves[::-1]):
                for task, share in thin.coverage(thin.curves(fitted), reported).items():
                    shares.setdefault(task, []).append(share)
        return {task: Halvings(float(np.mean(found)), float(np.std(found, ddof=1))) for task, found in shares.items()}
