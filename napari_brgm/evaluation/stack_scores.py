"""Stack scores: how far restored slices of stacks missed, in standard deviations, and factors for their intervals.

Groups are those of the engine (engine/stack_place.py): of holes the distance along the stack to where the same pixel
was measured and the depth in the plane; of thin slices the thickness of the thick ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_brgm.calibration import DEPTHS, TISSUE
from napari_brgm.evaluation.calibration_fit import Gathered

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.calibration import Curve

__all__ = ["StackScores", "gathered_scores", "stack_curves"]

_BETWEEN_MM = (1.4, 2.4, 3.4, 5.4, 8.4)  # of holes: bounds of groups of distances
_KINDS = ("hole 1 mm", "hole 2 mm", "hole 3 mm", "hole 4.5 mm", "hole 7 mm", "hole 12 mm")
_THICK_MM = np.array([2.2, 4.0, 6.5])
_METHOD = "map"


@dataclass(frozen=True, slots=True, eq=False)
class StackScores:
    """Hidden pixels (n,) of one restored stack, those that serve.

    Attributes
    ----------
    at : (n,) float32 ndarray
        Depth of the hole in the plane, sides of the frame; of thin slices 1.
    distance : (n,) float32 ndarray
        mm along the stack to where the same pixel was measured; of thin slices the thickness of the thick ones.
    mean : (n,) float32 ndarray
        Posterior mean, grey levels.
    scores : (n,) float32 ndarray
        |truth - mean| / std, uncalibrated.
    thick : bool
        Whether of thin slices.
    """

    at: npt.NDArray[np.float32]
    distance: npt.NDArray[np.float32]
    mean: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    thick: bool

    @classmethod
    def of_hole(
        cls, missing: npt.NDArray[np.bool_], through: float, mean: npt.NDArray[Any], std: npt.NDArray[Any],
        truth: npt.NDArray[Any], every: int,
    ) -> StackScores:  # fmt: skip
        """Of arrays (K, H, W) in the frame, every so many hidden pixels; ``through`` mm from slice to slice."""
        depth = np.zeros(missing.shape)
        for i in np.flatnonzero(missing.any(axis=(1, 2))):
            inside = ndimage.distance_transform_edt(missing[i])
            holes, count = ndimage.label(missing[i], structure=np.ones((3, 3)))
            deepest = ndimage.maximum(inside, holes, np.arange(1, count + 1))
            depth[i] = np.concatenate([[0.0], deepest])[holes] / missing.shape[1]
        places = np.arange(len(missing)) * through
        far = np.full(missing.shape, np.inf)
        for j, measured in enumerate(~missing):
            apart = np.abs(places - places[j])[:, None, None]
            np.copyto(far, np.broadcast_to(apart, far.shape), where=measured & (apart < far))
        pick = np.flatnonzero(missing)[::every]
        return cls._scored(depth.flat[pick], far.flat[pick], mean.flat[pick], std.flat[pick], truth.flat[pick], False)

    @classmethod
    def of_thick(
        cls, thick_mm: float, mean: npt.NDArray[Any], std: npt.NDArray[Any], truth: npt.NDArray[Any], every: int
    ) -> StackScores:
        """Of thin slices (K, H, W): every so many pixels of tissue, as the mean says."""
        pick = np.flatnonzero(mean > TISSUE)[::every]
        far, one = np.full(len(pick), thick_mm), np.ones(len(pick))
        return cls._scored(one, far, mean.flat[pick], std.flat[pick], truth.flat[pick], True)

    @classmethod
    def _scored(cls, at: Any, far: Any, mean: Any, std: Any, truth: Any, thick: bool) -> StackScores:
        error = np.abs(truth.astype(np.float64) - mean)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = np.where(error > 0, error / std, 0.0)
        at, far, mean, scores = (np.asarray(x, np.float32) for x in (at, far, mean, scores))
        return cls(at, far, mean, scores, thick)

    def save(self, path: Path) -> None:
        np.savez_compressed(
            path, at=self.at, distance=self.distance, mean=self.mean, scores=self.scores, thick=self.thick
        )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> StackScores:
        with np.load(path, allow_pickle=False) as file:
            return cls(file["at"], file["distance"], file["mean"], file["scores"], bool(file["thick"]))


def gathered_scores(every: Iterable[tuple[str, int, StackScores]]) -> Gathered:
    """Of stacks, each with the name of its task and its subject."""
    bounds = {kind: np.array(DEPTHS) for kind in _KINDS} | {"thick": _THICK_MM}
    found = Gathered(bounds)
    for task, subject, one in every:
        if one.thick:
            found.add_scores(task, "thick", subject, one.distance, one.mean > TISSUE, one.scores)
            continue
        group = np.searchsorted(_BETWEEN_MM, one.distance)
        for number in np.unique(group):
            these = group == number
            tissue = one.mean[these] > TISSUE
            found.add_scores(task, _KINDS[number], subject, one.at[these], tissue, one.scores[these])
    return found


def stack_curves(scores: Gathered, subjects: Collection[int]) -> dict[tuple[str, str, str], Curve]:
    """Factors of MAP from these subjects, for `Calibration.curves`."""
    return {(_METHOD, *key): curve for key, curve in scores.curves(subjects).items()}
