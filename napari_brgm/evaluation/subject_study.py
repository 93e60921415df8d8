"""What a new prior is measured on: subjects that its training did not see, some to calibrate on, others to report on.

The tasks and scores are those of the study of the priors that ship (calibration_measure.py); each slice takes some of
the ten tasks in turn, so that many subjects are seen in little time. Misfit limit, scales and factors come from the
calibration subjects alone. Slices that are done are kept: a cut study goes on.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.calibration import TISSUE, Calibration, half_width
from napari_brgm.engine.coordinate import coordinate
from napari_brgm.evaluation.calibration_cells import Store, problem_of, restored, spread_by
from napari_brgm.evaluation.calibration_fit import Gathered
from napari_brgm.evaluation.held_out import grey_images
from napari_brgm.evaluation.masks import MASK_NAMES, paper_mask
from napari_brgm.evaluation.misfit import MARGIN, slice_misfits
from napari_brgm.evaluation.tasks import Task
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.datasets import SliceSet
    from napari_brgm.priors.prior import Prior

    Tell = Callable[[int, int, str], None]

__all__ = ["Coverage", "HowToStudy", "StudyFigures", "SubjectStudy"]

_FULL = 256  # side of the grid that the masks are drawn on
_FACTORS = (2, 4, 8)
_LEAST_PER_SLICE = 3  # tasks
_LEAST_SLICES = 24
_METHOD = "map"


@dataclass(frozen=True, slots=True)
class HowToStudy:
    """How much is restored.

    Attributes
    ----------
    calibrating, reporting : int
        Restorations of calibration and of test subjects, about; each of them gets a slice at least.
    misfits : int
        Slices of each whose misfit is measured.
    samples, seed : int
    device : str
    """

    calibrating: int = 240
    reporting: int = 160
    misfits: int = 30
    samples: int = 16
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often 90 % intervals hold hidden pixels of test subjects.

    Attributes
    ----------
    slices, subjects : int
    everywhere, tissue : float
        Shares of hidden pixels, of all and of tissue.
    before : float
        Share of all as it came, without scale and factors.
    rmse : float
        Of the posterior mean, grey levels.
    """

    slices: int
    subjects: int
    everywhere: float
    tissue: float
    before: float
    rmse: float


@dataclass(frozen=True, slots=True)
class StudyFigures:
    """What was measured.

    Attributes
    ----------
    misfit_limit : float
    calibration : Calibration
    coverage : dict of Coverage
        By task, and of 'in-painting' and 'super-resolution' together.
    below_limit : float
        Share of test slices whose misfit is below the limit.
    """

    misfit_limit: float
    calibration: Calibration
    coverage: dict[str, Coverage]
    below_limit: float


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    task: Task
    name: str
    subject: int
    truth: npt.NDArray[np.float32]
    reported: bool


class SubjectStudy:
    """A prior on two sets of subjects that its training did not see.

    Parameters
    ----------
    prior : Prior
        Grey, on the grid of the slices.
    calibration, test : SliceSet
        Of different subjects.
    source : str
        What the calibration is said to be measured on.
    folder : Path
        Of finished restorations.
    how : HowToStudy
    tell : callable
        Gets (done, in all, what comes next); may raise to end the study.
    """

    def __init__(
        self, prior: Prior, calibration: SliceSet, test: SliceSet, source: str, folder: Path,
        how: HowToStudy | None = None, tell: Tell | None = None,
    ) -> None:  # fmt: skip
        self.prior, self.source, self.how = prior, source, how or HowToStudy()
        self.tell: Tell = tell or (lambda _done, _total, _text: None)
        self.settings = preset(prior.info.preset)
        tasks = tasks_of_frame(prior.resolution)
        first = len(calibration.subject_names)
        self.cases = [
            *_cases(calibration, tasks, self.how.calibrating, 0, reported=False),
            *_cases(test, tasks, self.how.reporting, first, reported=True),
        ]
        self.misfit_images = [
            grey_images(part, _picked(part, min(self.how.misfits, len(part)))) for part in (calibration, test)
        ]
        self.subjects = range(first), range(first, first + len(test.subject_names))
        about = {
            "weights_sha256": prior.info.weights_sha256, "sets": [calibration.digest(), test.digest()],
            "settings": self.settings.but(calibrate=True, finish=False).as_dict(), "samples": self.how.samples,
            "seed": self.how.seed,
        }  # fmt: skip
        self.store = Store(folder, about)

    def run(self, seconds: float = float("inf")) -> StudyFigures | None:
        """Restore, fit, report; None if the time ran out first: the same study goes on."""
        end = time.monotonic() + seconds
        total = len(self.cases) + sum(map(len, self.misfit_images))
        for done, case in enumerate(self.cases):
            if time.monotonic() > end:
                return None
            self.tell(done, total, f"{case.task.title} of a held-out subject")
            if self.store.load(case.task.name, case.name) is None:
                observed = case.task.observe(case.truth[None])[0]
                drawn = restored(
                    observed, case.task, self.prior, _METHOD, self.settings, self.how.samples, self.how.seed,
                    self.how.device,
                )  # fmt: skip
                self.store.save(case.task.name, case.name, drawn)
        misfits: tuple[list[float], list[float]] = ([], [])
        done = len(self.cases)
        for images, found in zip(self.misfit_images, misfits, strict=True):
            for number, image in enumerate(images):
                if time.monotonic() > end:
                    return None
                self.tell(done, total, "how far held-out slices are from what the prior draws")
                found += [m for m in slice_misfits(self.prior, image, number) if np.isfinite(m)]
                done += 1
        self.tell(total, total, "scales and factors")
        limit = round(MARGIN * max(misfits[0], default=0.0), 4)
        calibration = self._fitted()
        return StudyFigures(
            limit, calibration, self._coverage(calibration),
            float(np.mean([m < limit for m in misfits[1]])) if misfits[1] else float("nan"),
        )  # fmt: skip

    def _fitted(self) -> Calibration:
        own = [case for case in self.cases if not case.reported]
        first = Calibration(
            self.source, len({c.subject for c in own}), len({c.name for c in own}), self.settings.name, {},
            self._gathered(own, None).scales(self.subjects[0]),
        )  # fmt: skip
        curves = self._gathered(own, _with(self.prior, first)).curves(self.subjects[0])
        return replace(first, curves={(_METHOD, *key): curve for key, curve in curves.items()})

    def _gathered(self, cases: list[_Case], scaled: Prior | None) -> Gathered:
        """Scores of slices as they came, or by the scales on the card of ``scaled``."""
        gathered = Gathered()
        for case in cases:
            drawn, region = self._kept(case), case.task.region
            kind, at = coordinate(problem_of(case.truth, case.task, self.prior), self.prior.resolution)
            draws: npt.NDArray[Any] = drawn.draws
            if scaled is not None:
                draws, _ = spread_by(drawn, case.truth, case.task, scaled, self.settings, _METHOD)
            std = draws.std(axis=0, dtype=np.float64)
            gathered.add(case.task.name, kind, case.subject, at[region], drawn.mean, std, case.truth[region])
        return gathered

    def _coverage(self, calibration: Calibration) -> dict[str, Coverage]:
        prior = _with(self.prior, calibration)
        sums: dict[str, list[npt.NDArray[np.float64]]] = {}
        whose: dict[str, list[_Case]] = {}
        for case in self.cases:
            if not case.reported:
                continue
            drawn, truth = self._kept(case), case.truth[case.task.region].astype(np.float64)
            draws, widths = spread_by(drawn, case.truth, case.task, prior, self.settings, _METHOD)
            error = np.abs(truth - drawn.mean)
            inside = error <= half_width(0.9, widths) * draws.std(axis=0, dtype=np.float64)
            before = error <= half_width(0.9) * drawn.draws.std(axis=0, dtype=np.float64)
            tissue = drawn.mean > TISSUE
            row = np.array([error.size, inside.sum(), tissue.sum(), inside[tissue].sum(), before.sum(),
                            np.square(error).sum()], np.float64)  # fmt: skip
            kind = "in-painting" if case.task.missing is not None else "super-resolution"
            for key in (case.task.title, kind):
                sums.setdefault(key, []).append(row)
                whose.setdefault(key, []).append(case)
        found = {}
        for key, rows in sums.items():
            count, inside, tissue, held, before, squares = np.sum(rows, axis=0)
            shares = inside / count, held / tissue if tissue else float("nan"), before / count
            names, subjects = {c.name for c in whose[key]}, {c.subject for c in whose[key]}
            everywhere, of_tissue, as_it_came = map(float, shares)
            rmse = float((squares / count) ** 0.5)
            found[key] = Coverage(len(names), len(subjects), everywhere, of_tissue, as_it_came, rmse)
        return found

    def _kept(self, case: _Case) -> Any:
        drawn = self.store.load(case.task.name, case.name)
        assert drawn is not None  # it has just been made
        return drawn


def tasks_of_frame(size: int) -> tuple[Task, ...]:
    """Seven holes and super-resolution by 2, 4 and 8 on a frame of a power of two, 32 at least."""
    holes = []
    for i, name in enumerate(MASK_NAMES):
        mask = paper_mask(i, min(size, _FULL))
        mask = mask.repeat(max(size // _FULL, 1), axis=0).repeat(max(size // _FULL, 1), axis=1)
        holes.append(Task(f"mask-{i}", name, mask, size=size))
    return (*holes, *(Task(f"x{factor}", f"x{factor}", factor=factor, size=size) for factor in _FACTORS))


def _cases(slices: SliceSet, tasks: tuple[Task, ...], wanted: int, first: int, *, reported: bool) -> list[_Case]:
    """Some tasks of some slices of every subject, all tasks about equally often."""
    count = len(slices.subject_names)
    each = -(-max(_LEAST_SLICES, min(count, wanted // _LEAST_PER_SLICE)) // count)
    picked = [int(i) for subject in range(count) for i in _middles(np.flatnonzero(slices.subjects == subject), each)]
    images = grey_images(slices, picked)
    per = min(max(-(-wanted // len(picked)), _LEAST_PER_SLICE), len(tasks))
    found, turn = [], 0
    for index, truth in zip(picked, images, strict=True):
        for k in range(per):
            task = tasks[(turn + k) % len(tasks)]
            name = f"{'test' if reported else 'calibration'}-{index:05d}"
            found.append(_Case(task, name, first + int(slices.subjects[index]), truth, reported))
        turn += per
    return found


def _picked(slices: SliceSet, count: int) -> list[int]:
    return [int(i) for i in _middles(np.arange(len(slices)), count)]


def _middles(index: npt.NDArray[np.intp], count: int) -> npt.NDArray[np.intp]:
    """At most so many of them, from the middles of equal pieces."""
    count = min(count, len(index))
    chosen: npt.NDArray[np.intp] = index[((np.arange(count) + 0.5) * len(index) / count).astype(int)]
    return chosen


def _with(prior: Prior, calibration: Calibration) -> Prior:
    other = copy.copy(prior)
    other.info = replace(prior.info, calibration=calibration)
    return other
