"""Cases of the study of volumes: which hole in which stack, or how thick its slices are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_brgm.errors import InputError
from napari_brgm.evaluation.masks import MASK_NAMES, brush_strokes, paper_masks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

__all__ = ["FACTORS", "HIDDEN", "MASKS", "STEPS", "Case", "cases_of"]

HIDDEN = (1, 3, 5, 9)  # neighbouring slices
STEPS = (1, 2, 3)  # every so many slices was measured
FACTORS = (3, 5, 8)  # thin slices in a thick one
MASKS = len(MASK_NAMES) + 1  # the paper's, and brush strokes


@dataclass(frozen=True, slots=True)
class Case:
    """One stack with what was hidden of it.

    Attributes
    ----------
    subject : int
    step : int
        Every so many slices.
    hidden : int
        Neighbouring ones with the hole; 0: thick slices.
    mask : int
        Which of the paper's, or 7: brush strokes; -1: thick slices.
    factor : int
        Thin slices in a thick one; 1: a hole.
    """

    subject: int
    step: int = 1
    hidden: int = 0
    mask: int = -1
    factor: int = 1

    @property
    def key(self) -> str:
        return json.dumps(asdict(self))

    @property
    def group(self) -> str:
        """Of the table."""
        if self.factor > 1:
            return f"thick {self.factor} mm"
        return f"{self.hidden} hidden, every {self.step} mm"

    def hole(self, size: int) -> npt.NDArray[np.bool_]:
        """(size, size) True where a slice is hidden."""
        if self.mask < len(MASK_NAMES):
            found: npt.NDArray[np.bool_] = paper_masks(size)[self.mask]
            return found
        return brush_strokes((size, size), self.subject)


def cases_of(
    tasks: Sequence[str], every: Sequence[int], subjects: Sequence[int], masks: int = MASKS
) -> list[Case]:  # fmt: skip
    """Cases of tasks such as 'hole-3' (slices hidden) and 'thick-5' (mm), one subject after the other.

    With fewer masks than there are, each subject has its own in turn.

    Raises
    ------
    InputError
        There is no such task, or no such step.
    """
    known = {f"hole-{n}": n for n in HIDDEN} | {f"thick-{n}": n for n in FACTORS}
    wrong = [task for task in tasks if task not in known] + [str(step) for step in every if step not in STEPS]
    if wrong:
        steps = ", ".join(map(str, STEPS))
        raise InputError(f"there is no {wrong[0]!r}; tasks are {', '.join(known)}, and every {steps} slices")
    found = []
    for turn, subject in enumerate(subjects):
        own = sorted((turn * masks + i) % MASKS for i in range(min(masks, MASKS)))
        for task in tasks:
            if task.startswith("thick"):
                found.append(Case(subject, factor=known[task]))
            else:
                found += [Case(subject, step, known[task], mask) for step in every for mask in own]
    return found
