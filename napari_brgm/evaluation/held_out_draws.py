"""Posterior draws of held-out slices, restored once and kept: what the tests of the posterior look at.

They are cells of the grid, those of ``evaluate calibration``: its folder serves here too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.errors import InputError
from napari_brgm.evaluation.calibration_cells import spread_by
from napari_brgm.evaluation.drawn_cells import DrawnCells
from napari_brgm.evaluation.given_prior import as_prior, label_of
from napari_brgm.evaluation.grid.catalogue import UNSCALED, Setting
from napari_brgm.evaluation.held_out import SETS, evenly_spaced, grey_images, set_of
from napari_brgm.evaluation.tasks import Task, tasks_of_size
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.evaluation.calibration_cells import KeptDraws
    from napari_brgm.evaluation.held_out import HeldOutSet
    from napari_brgm.priors.prior import Prior

__all__ = ["DrawnSlice", "HeldOutDraws"]

_METHOD = "map"


@dataclass(frozen=True, slots=True, eq=False)
class DrawnSlice:
    """One held-out slice under one task.

    Attributes
    ----------
    task : Task
    index, subject : int
        Its number in the set, and whose it is.
    truth : (R, R) ndarray
        Grey levels.
    kept : KeptDraws
        As they came, of the pixels of ``task.region``.
    """

    task: Task
    index: int
    subject: int
    truth: npt.NDArray[np.float32]
    kept: KeptDraws

    @property
    def hidden(self) -> npt.NDArray[np.float32]:
        """(n,) truth of the pixels that are restored."""
        return self.truth[self.task.region]


class HeldOutDraws:
    """Restorations of evenly spaced held-out slices by method ``map``.

    Parameters
    ----------
    given : str, Path or Prior
        Prior, by name or path or itself.
    data, out : Path
    tasks : sequence of str
        'mask-0' .. 'mask-6', 'x2', 'x4', 'x8'.
    slices, samples, seed : int
        Slices of the set; draws of each, at least 4.
    device : str
    sets : sequence of HeldOutSet

    Attributes
    ----------
    setting : Setting
        For rivals on the same slices.

    Raises
    ------
    InputError
        A task or a number of slices or draws that cannot be, or a prior that fits no set.
    ScanError
        The archive is missing or damaged.
    OutputError
        The folder cannot be made.
    """

    def __init__(
        self, given: str | Path | Prior, data: Path, out: Path, tasks: Sequence[str], slices: int, samples: int = 32,
        seed: int = 0, device: str = "auto", sets: Sequence[HeldOutSet] = SETS,
    ) -> None:  # fmt: skip
        prior = as_prior(given)
        held = set_of(prior, sets)
        known = {task.name: task for task in tasks_of_size(held.framing.resolution)}
        wrong = [name for name in tasks if name not in known]
        if wrong or not tasks:
            raise InputError(f"tasks must be some of {', '.join(known)}, got {', '.join(wrong) or 'none'}")
        if samples < 4:
            raise InputError(f"at least 4 samples of each slice are needed, got {samples}")
        self.prior, self.tasks = prior, [known[name] for name in tasks]
        self.setting = Setting(held, data, out, prior, slices, samples, seed, device)
        archive = held.read(data, "validation")
        self.images = grey_images(archive)  # (N, R, R), all of the set
        self.subjects, self.subject_names = np.asarray(archive.subjects), archive.subject_names
        self.picked = evenly_spaced(len(self.images), slices)
        self.settings = preset(prior.info.preset)
        self._cells = DrawnCells(replace(self.setting, out=out / "cache" / label_of(given)))

    @property
    def seed(self) -> int:
        return self.setting.seed

    @property
    def picked_subjects(self) -> list[int]:
        """Subjects of the slices that are restored."""
        return [int(subject) for subject in self.subjects[self.picked]]

    def slices(self, tell: Callable[[int, int, str], None] | None = None) -> Iterator[DrawnSlice]:
        """Task by task; what is not there yet is restored first. ``tell`` gets (done, in all, what comes next)."""
        method = UNSCALED[_METHOD]
        self._cells.make(method, self.tasks, tell)
        for task in self.tasks:
            for number, index in enumerate(self.picked):
                kept = self._cells.of(method, task, number)
                yield DrawnSlice(task, index, int(self.subjects[index]), self.images[index], kept)

    def calibrated(self, one: DrawnSlice) -> npt.NDArray[np.float64]:
        """Draws (S, n) of the restored pixels as ``restore`` gives them: with the scales of the prior's card."""
        return spread_by(one.kept, one.truth, one.task, self.prior, self.settings, _METHOD)[0]
