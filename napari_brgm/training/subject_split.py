"""Who is trained on, who the intervals are calibrated on, and who neither saw: by subject, at random, by a seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari_brgm.datasets import SliceSet

__all__ = ["FEWEST_SUBJECTS", "SubjectSplit", "merged_copies", "split_subjects"]

FEWEST_SUBJECTS = 40  # below which none are held out, and nothing is calibrated
_CALIBRATION, _TEST = (0.2, 10, 60), (0.12, 6, 40)  # share of the subjects, at least, at most


@dataclass(frozen=True, slots=True)
class SubjectSplit:
    """The subjects of a set, parted.

    Attributes
    ----------
    training : SliceSet
    calibration, test : SliceSet or None
        None where the subjects are too few.
    seed : int
    """

    training: SliceSet
    calibration: SliceSet | None
    test: SliceSet | None
    seed: int

    def parts(self) -> dict[str, SliceSet]:
        """Those that there are, by name."""
        named = {"training": self.training, "calibration": self.calibration, "test": self.test}
        return {name: part for name, part in named.items() if part is not None}

    def describe(self) -> dict[str, Any]:
        """Plain values for a card: counts, no names."""
        counts = {k: {"subjects": len(p.subject_names), "slices": len(p)} for k, p in self.parts().items()}
        return {"seed": self.seed, **counts}


def split_subjects(slices: SliceSet, seed: int = 0) -> SubjectSplit:
    """Part the subjects; all are trained on where there are fewer than 40.

    A fifth (10 to 60) are calibrated on, an eighth (6 to 40) reported on.
    """
    count = len(slices.subject_names)
    if count < FEWEST_SUBJECTS:
        return SubjectSplit(slices, None, None, seed)
    order = np.random.default_rng(seed).permutation(count)
    first = _number(count, _CALIBRATION)
    second = first + _number(count, _TEST)
    calibration, test, training = (
        slices.taking(np.flatnonzero(np.isin(slices.subjects, some)))
        for some in (order[:first], order[first:second], order[second:])
    )
    return SubjectSplit(training, calibration, test, seed)


def merged_copies(slices: SliceSet) -> tuple[SliceSet, int]:
    """The set with subjects that share an identical slice taken as one, and how many subjects that made fewer.

    Somebody who is there twice would be on both sides of a split.
    """
    root = list(range(len(slices.subject_names)))

    def found(i: int) -> int:
        while root[i] != i:
            i = root[i]
        return i

    owner: dict[bytes, int] = {}
    for image, subject in zip(slices.images, slices.subjects.tolist(), strict=True):
        first = owner.setdefault(hashlib.sha256(image.tobytes()).digest(), subject)
        a, b = sorted((found(first), found(subject)))
        root[b] = a
    kept = sorted({found(i) for i in range(len(root))})
    fewer = len(root) - len(kept)
    if not fewer:
        return slices, 0
    number = {subject: i for i, subject in enumerate(kept)}
    subjects = np.array([number[found(s)] for s in slices.subjects.tolist()], np.int64)
    return slices.relabelled(subjects, tuple(slices.subject_names[i] for i in kept)), fewer


def _number(count: int, rule: tuple[float, int, int]) -> int:
    share, least, most = rule
    return min(max(round(share * count), least), most)
