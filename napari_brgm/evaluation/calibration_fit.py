"""Conformal factors from restored validation slices: pixels gathered into groups, one factor a group and level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.calibration import DEPTHS, TISSUE, Curve, conformal_factors

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Gathered"]

_LEAST = 200  # pixels, below which a group has no factor of its own
_BOUNDS = {  # of the groups; pixels of super-resolution x2, x4 and x8 differ by whole octaves
    "mask": np.array(DEPTHS),
    "downsample": 2.0 ** np.array([0.5, 1.5, 2.5, 3.5]),
}


class Gathered:
    """Scores |truth - mean| / std of hidden pixels, by kind of task, matter and group."""

    def __init__(self) -> None:
        self._scores: dict[tuple[str, str, int], list[npt.NDArray[np.float64]]] = {}
        self._at: dict[tuple[str, str, int], list[npt.NDArray[np.float64]]] = {}

    def add(
        self, task: str, at: npt.NDArray[np.float64], mean: npt.NDArray[np.float32], std: npt.NDArray[np.float64],
        truth: npt.NDArray[np.float32],
    ) -> None:  # fmt: skip
        """Add pixels (n,) of one slice: coordinate of the group, posterior mean, its std and the truth."""
        error = np.abs(truth.astype(np.float64) - mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = np.where(error > 0, error / std, 0.0)  # a certain pixel that is right, or infinitely wrong
        group = np.searchsorted(_BOUNDS[task], at, side="right")
        for matter, own in (("tissue", mean > TISSUE), ("air", ~(mean > TISSUE))):
            for number in np.unique(group[own]):
                these = own & (group == number)
                self._scores.setdefault((task, matter, int(number)), []).append(scores[these])
                self._at.setdefault((task, matter, int(number)), []).append(at[these])

    def curves(self) -> dict[tuple[str, str], Curve]:
        """Factors of the groups that have enough pixels, by kind of task and matter; each at its mean coordinate."""
        found: dict[tuple[str, str], list[tuple[float, tuple[float, ...]]]] = {}
        for key in sorted(self._scores):
            scores, at = np.concatenate(self._scores[key]), np.concatenate(self._at[key])
            if len(scores) >= _LEAST:
                node = float(np.exp(np.log(at).mean()))
                found.setdefault(key[:2], []).append((node, conformal_factors(scores)))
        return {
            key: Curve(tuple(at for at, _ in nodes), tuple(factors for _, factors in nodes))
            for key, nodes in found.items()
            if (key[0], "tissue") in found
        }
