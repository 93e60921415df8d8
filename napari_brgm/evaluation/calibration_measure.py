"""One prior on its validation slices, cells of the grid: parted into halves of subjects, scaled, fitted, scored."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.calibration import LEVELS, Calibration
from napari_brgm.engine.coordinate import coordinate
from napari_brgm.errors import InputError
from napari_brgm.evaluation.calibration_cells import problem_of, spread_by, worst_misfit
from napari_brgm.evaluation.calibration_figures import figures_of, held, summary
from napari_brgm.evaluation.calibration_fit import Gathered
from napari_brgm.evaluation.drawn_cells import DrawnCells
from napari_brgm.evaluation.given_prior import as_prior, label_of
from napari_brgm.evaluation.grid.catalogue import RELEASED_ENTROPY, UNSCALED, Setting
from napari_brgm.evaluation.held_out import evenly_spaced, set_of
from napari_brgm.evaluation.seam import SeamSums, seam_sums
from napari_brgm.evaluation.tasks import tasks_of_size
from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.calibration import Curve
    from napari_brgm.evaluation.calibration_cells import KeptDraws
    from napari_brgm.evaluation.held_out import HeldOutSet
    from napari_brgm.evaluation.tasks import Task
    from napari_brgm.priors.prior import Prior

    AllCurves = dict[tuple[str, str, str], Curve]
    Tell = Callable[[int, int, str], None]

__all__ = ["HowToCalibrate", "MeasuredPrior"]

_STROKES, _SCATTERED = "strokes", "missing-95"  # no factor is fitted to the first
_HALVINGS = 20  # random ones, both ways


@dataclass(frozen=True, slots=True)
class HowToCalibrate:
    """What a run has in common.

    Attributes
    ----------
    slices : int
        Validation images, evenly spaced; of at least four subjects. 50 and 25 of the brain's 640 lie at all heights,
        20 and 40 at one or two: each subject has 32.
    rival_slices : int
        Of the reported half, on which the released code's entropy is tried: it takes 501 steps a restoration.
    rivals : tuple of str or None
        Labels of the priors on which it is tried; None: all.
    methods : tuple of str
    samples, seed, processes : int
    device : str
    settings : InferenceSettings or None
        None: those that suit each prior; only with these factors apply by default.
    """

    slices: int = 50
    rival_slices: int = 2
    rivals: tuple[str, ...] | None = None
    methods: tuple[str, ...] = ("map",)
    samples: int = 32
    seed: int = 0
    processes: int = 1
    device: str = "auto"
    settings: InferenceSettings | None = None

    def settings_for(self, prior: Prior) -> InferenceSettings:
        return self.settings or preset(prior.info.preset)


class MeasuredPrior:
    """One prior, its validation slices and tasks.

    Parameters
    ----------
    given : str, Path or Prior
        By name or path, where it is restored in processes of their own.
    data, out : Path
    how : HowToCalibrate
    sets : sequence of HeldOutSet
        One of which it fits.

    Raises
    ------
    InputError
        It fits none, or there are too few slices.
    """

    def __init__(
        self, given: str | Path | Prior, data: Path, out: Path, how: HowToCalibrate, sets: Sequence[HeldOutSet]
    ) -> None:
        prior = as_prior(given)
        self.label, self.prior, self.how, self.held = label_of(given), prior, how, set_of(prior, sets)
        settings = how.settings_for(prior)
        where = out / "cache" / self.label
        self.cells = DrawnCells(
            Setting(self.held, data, where, given, how.slices, how.samples, how.seed, how.device, settings)
        )  # fmt: skip
        images = self.cells.images
        self.truth, self.names, self.subjects = images.images, list(images.names), np.array(images.subjects)
        if len({subject % 2 for subject in self.subjects.tolist()}) < 2:
            raise InputError(
                f"{len(images)} slices are too few: factors need subjects to fit on and others to report on"
            )
        fitted = tasks_of_size(self.held.framing.resolution)
        self.tasks = (*fitted, self.cells.tasks[_SCATTERED], self.cells.tasks[_STROKES])
        second = [i for i in range(len(images)) if self.subjects[i] % 2]
        few = min(how.rival_slices, len(second))
        self.rival_slices = [second[i] for i in evenly_spaced(len(second), few)] if few else []
        wanted = how.rivals is None or self.label in how.rivals
        line = prior.parts.line
        if not wanted or line is None or not line.exact:  # the released constants are for a w of about unit spread
            self.rival_slices = []

    @property
    def restorations(self) -> int:
        """How many there are, the rival's among them."""
        ours = len(self.tasks) * len(self.truth) * len(self.how.methods)
        return ours + len(self.rival_slices) * (len(self.tasks) - 1)

    def calibration(self, scales: dict[str, float], curves: AllCurves) -> Calibration:
        """Scales and factors of the first half."""
        first = self.subjects % 2 == 0
        settings = self.how.settings_for(self.prior)
        return Calibration(
            f"validation slices of {self.held.name}", len(set(self.subjects[first].tolist())), int(first.sum()),
            settings.name, curves, scales,
        )  # fmt: skip

    def measured(
        self, method: str, scales: tuple[dict[str, float], dict[str, float]] | None = None, tell: Tell | None = None
    ) -> tuple[Calibration, dict[str, Any], tuple[dict[str, float], dict[str, float]]]:
        """Calibration of a method, fitted to the first half, all its figures, and the scales of both halves.

        ``scales`` are those of another method, which then serve this one too. ``tell`` gets (done, in all, what comes
        next) of the restorations.
        """
        settings = self.how.settings_for(self.prior)
        self.cells.make(UNSCALED[method], self.tasks, tell, processes=self.how.processes)
        if self.rival_slices and method == self.how.methods[0]:
            self.cells.make(
                RELEASED_ENTROPY, self.tasks[:-1], tell, images=self.rival_slices, processes=self.how.processes
            )  # fmt: skip
        halves = [self.subjects % 2 == 0, self.subjects % 2 == 1]
        whose = [set(self.subjects[half].tolist()) for half in halves]
        raw = self._gathered(method)
        if scales is None:
            scales = raw.scales(whose[0]), raw.scales(whose[1])
        calibrations = [self._fitted(method, half, own) for half, own in zip(halves, scales, strict=True)]
        luck = raw.halvings(_HALVINGS)
        tasks: dict[str, Any] = {}
        for task in self.tasks:
            tasks[task.name] = self._task(task, method, settings, halves, calibrations)
            if task.name in luck:
                tasks[task.name]["random halvings"] = asdict(luck[task.name])
        reported = halves[1]
        record = {
            "tasks": tasks,
            "about": {
                "set": self.held.name, "images": self.names,
                "fitted on": {"subjects": calibrations[0].subjects, "slices": calibrations[0].slices},
                "reported on": {
                    "subjects": len(set(self.subjects[reported].tolist())), "slices": int(reported.sum())
                },
                "scales": [scales[0], scales[1]], "halvings": _HALVINGS,
                "weights_sha256": self.prior.info.weights_sha256, "settings": settings.as_dict(),
            },
        }  # fmt: skip
        return calibrations[0], record, scales

    def _kept(self, method: str, task: Task, index: int) -> KeptDraws:
        return self.cells.of(UNSCALED[method], task, index)

    def _gathered(
        self, method: str, half: npt.NDArray[np.bool_] | None = None, scaled: Prior | None = None
    ) -> Gathered:
        """Scores of all slices, or of a half, as they came or by the scales on the card of ``scaled``."""
        settings = self.how.settings_for(self.prior)
        gathered = Gathered()
        for task in self.tasks:
            if task.name == _STROKES:
                continue
            for index in range(len(self.truth)) if half is None else np.flatnonzero(half).tolist():
                truth, drawn = self.truth[index], self._kept(method, task, index)
                kind, at = coordinate(problem_of(truth, task, self.prior), self.prior.resolution)
                draws: npt.NDArray[Any] = drawn.draws
                if scaled is not None:
                    draws, _ = spread_by(drawn, truth, task, scaled, settings, method)
                std, subject = draws.std(axis=0, dtype=np.float64), int(self.subjects[index])
                gathered.add(task.name, kind, subject, at[task.region], drawn.mean, std, truth[task.region])
        return gathered

    def _fitted(self, method: str, half: npt.NDArray[np.bool_], scales: dict[str, float]) -> Calibration:
        """Factors of a half of the subjects, beyond its scales."""
        scaled = _with(self.prior, self.calibration(scales, {}))
        gathered = self._gathered(method, half, scaled)
        curves = gathered.curves(set(self.subjects[half].tolist()))
        return self.calibration(scales, {(method, *key): curve for key, curve in curves.items()})

    def _task(
        self, task: Task, method: str, settings: InferenceSettings, halves: list[npt.NDArray[np.bool_]],
        calibrations: list[Calibration],
    ) -> dict[str, Any]:  # fmt: skip
        """Figures of a task: of the second half before and after factors of the first, and coverage the other way.

        'unscaled' is as it came, 'before' with the scales alone.
        """
        raw, before, after, swapped, seams, truths = [], [], [], [], [SeamSums(), SeamSums()], SeamSums()
        misfits, noises, ours, theirs = [], [], [], []
        for half, calibration, reported in ((halves[1], calibrations[0], True), (halves[0], calibrations[1], False)):
            prior, scaled = (_with(self.prior, one) for one in (calibration, replace(calibration, curves={})))
            for index in np.flatnonzero(half).tolist():
                truth, drawn, subject = self.truth[index], self._kept(method, task, index), int(self.subjects[index])
                hidden = truth[task.region]
                draws, widths = spread_by(drawn, truth, task, prior, settings, method)
                one = figures_of(hidden, drawn.mean, draws, widths, task.region, subject)
                if not reported:
                    swapped.append(one)
                    continue
                after.append(one)
                wide, _ = spread_by(drawn, truth, task, scaled, settings, method)
                before.append(figures_of(hidden, drawn.mean, wide, None, task.region, subject))
                raw.append(held(hidden, drawn.mean, drawn.draws))
                whole = np.repeat(truth[None].astype(np.float64), len(draws), axis=0)
                whole[:, task.region] = draws
                misfits.append((drawn.misfit, worst_misfit(whole, task.observe(truth[None])[0], task)))
                noises.append(drawn.noise)
                if task.missing is not None:
                    seams = [seams[0] + drawn.seams[0], seams[1] + seam_sums(whole, task.missing)]
                    truths += seam_sums(truth[None].astype(np.float64), task.missing)
                if task.name != _STROKES and index in self.rival_slices:
                    rival = self.cells.of(RELEASED_ENTROPY, task, index).draws.astype(np.float64)
                    theirs.append(figures_of(hidden, rival.mean(axis=0), rival, None, task.region, subject))
                    ours.append(one)
        *inside, total = np.sum(raw, axis=0).tolist()
        unscaled = {str(level): float(count / total) for level, count in zip(LEVELS, inside, strict=True)}
        record: dict[str, Any] = {
            "unscaled": {"coverage_all": unscaled},
            "before": summary(before), "after": summary(after), "the other way round": summary(swapped),
            "misfit": {"before": max(m[0] for m in misfits), "after": max(m[1] for m in misfits)},
            "noise": {"least": min(noises), "greatest": max(noises)},
        }  # fmt: skip
        if task.missing is not None:
            record["seam"] = {"estimate": seams[0].ratio, "draws": seams[1].ratio, "truth": truths.ratio}
        if theirs:
            record["released entropy"] = {"ours on the same slices": summary(ours), "theirs": summary(theirs)}
        return record


def _with(prior: Prior, calibration: Calibration) -> Prior:
    """The same prior, whose card has these factors."""
    other = copy.copy(prior)
    other.info = replace(prior.info, calibration=calibration)
    return other
