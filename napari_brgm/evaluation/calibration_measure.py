"""One prior on its validation slices: restored, parted into halves of subjects, scaled, fitted, figures made."""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_brgm.calibration import LEVELS, Calibration
from napari_brgm.engine.coordinate import coordinate
from napari_brgm.errors import InputError
from napari_brgm.evaluation.calibration_cells import (
    KeptDraws,
    Store,
    fingerprint_of,
    problem_of,
    restored,
    spread_by,
    worst_misfit,
)
from napari_brgm.evaluation.calibration_figures import figures_of, held, summary
from napari_brgm.evaluation.calibration_fit import Gathered
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images
from napari_brgm.evaluation.masks import brush_strokes
from napari_brgm.evaluation.released_entropy import draws_with_released_entropy
from napari_brgm.evaluation.seam import SeamSums, seam_sums
from napari_brgm.evaluation.tasks import Task, tasks_of_size
from napari_brgm.settings import InferenceSettings, preset

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.calibration import Curve
    from napari_brgm.evaluation.held_out import HeldOutSet
    from napari_brgm.priors.prior import Prior

    AllCurves = dict[tuple[str, str, str], Curve]

__all__ = ["HowToCalibrate", "Log", "MeasuredPrior"]

_STROKES = "strokes"  # the task that no factor is fitted to
_HALVINGS = 20  # random ones, both ways


class Log(Protocol):
    """Who counts restorations."""

    def tell(self, text: str) -> None: ...
    def finished(self, seconds: float | None) -> None: ...


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
    samples, seed : int
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
    device: str = "auto"
    settings: InferenceSettings | None = None

    def settings_for(self, prior: Prior) -> InferenceSettings:
        return self.settings or preset(prior.info.preset)


class MeasuredPrior:
    """One prior, its validation slices and tasks."""

    def __init__(
        self, label: str, prior: Prior, data: Path, out: Path, how: HowToCalibrate, held: HeldOutSet, log: Log
    ) -> None:
        slices = held.read(data, "validation")
        pick = evenly_spaced(len(slices.images), how.slices)
        self.label, self.prior, self.how, self.log, self.held, self.out = label, prior, how, log, held, out
        self.truth = grey_images(slices, pick)
        self.names = [slices.names[i] for i in pick]
        self.subjects = np.array([int(slices.subjects[i]) for i in pick])
        if len({subject % 2 for subject in self.subjects.tolist()}) < 2:
            raise InputError(f"{len(pick)} slices are too few: factors need subjects to fit on and others to report on")
        size = held.framing.resolution
        strokes = Task(_STROKES, "strokes", brush_strokes((size, size), 0), size=size)
        self.tasks = (*tasks_of_size(size), strokes)
        second = [i for i in range(len(pick)) if self.subjects[i] % 2]
        few = min(how.rival_slices, len(second))
        self.rival_slices = [second[i] for i in evenly_spaced(len(second), few)] if few else []
        wanted = how.rivals is None or label in how.rivals
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
        self, method: str, scales: tuple[dict[str, float], dict[str, float]] | None = None
    ) -> tuple[Calibration, dict[str, Any], tuple[dict[str, float], dict[str, float]]]:
        """Calibration of a method, fitted to the first half, all its figures, and the scales of both halves.

        ``scales`` are those of another method, which then serve this one too.
        """
        settings = self.how.settings_for(self.prior)
        store = Store(self.out / "cache" / f"{self.label}--{method}", self._fingerprint(method))
        for index in range(len(self.truth)):
            for task in self.tasks:
                self._restored(store, task, index, method, settings)
        halves = [self.subjects % 2 == 0, self.subjects % 2 == 1]
        whose = [set(self.subjects[half].tolist()) for half in halves]
        raw = self._gathered(store, method)
        if scales is None:
            scales = raw.scales(whose[0]), raw.scales(whose[1])
        calibrations = [self._fitted(store, method, half, own) for half, own in zip(halves, scales, strict=True)]
        luck = raw.halvings(_HALVINGS)
        tasks: dict[str, Any] = {}
        for task in self.tasks:
            self.log.tell(f"{self.label} {method}: figures of {task.name}")
            tasks[task.name] = self._task(
                store, task, method, settings, halves, calibrations, self._rivals.get(task.name)
            )
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

    def _fingerprint(self, method: str) -> dict[str, Any]:
        how = self.how
        return fingerprint_of(self.prior, self.held.name, method, how.settings_for(self.prior), how.samples, how.seed)

    def _restored(self, store: Store, task: Task, index: int, method: str, settings: InferenceSettings) -> None:
        if store.load(task.name, self.names[index]) is not None:
            self.log.finished(None)
            return
        self.log.tell(f"{self.label} {method}: {task.name} of {self.names[index]}")
        began, how = time.perf_counter(), self.how
        drawn = restored(self.truth[index], task, self.prior, method, settings, how.samples, how.seed, how.device)
        store.save(task.name, self.names[index], drawn)
        self.log.finished(time.perf_counter() - began)

    def _kept(self, store: Store, task: Task, index: int) -> KeptDraws:
        drawn = store.load(task.name, self.names[index])
        assert drawn is not None  # it has just been made
        return drawn

    def _gathered(
        self, store: Store, method: str, half: npt.NDArray[np.bool_] | None = None, scaled: Prior | None = None
    ) -> Gathered:
        """Scores of all slices, or of a half, as they came or by the scales on the card of ``scaled``."""
        settings = self.how.settings_for(self.prior)
        gathered = Gathered()
        for task in self.tasks:
            if task.name == _STROKES:
                continue
            for index in range(len(self.truth)) if half is None else np.flatnonzero(half).tolist():
                truth, drawn = self.truth[index], self._kept(store, task, index)
                kind, at = coordinate(problem_of(truth, task, self.prior), self.prior.resolution)
                draws: npt.NDArray[Any] = drawn.draws
                if scaled is not None:
                    draws, _ = spread_by(drawn, truth, task, scaled, settings, method)
                std, subject = draws.std(axis=0, dtype=np.float64), int(self.subjects[index])
                gathered.add(task.name, kind, subject, at[task.region], drawn.mean, std, truth[task.region])
        return gathered

    def _fitted(self, store: Store, method: str, half: npt.NDArray[np.bool_], scales: dict[str, float]) -> Calibration:
        """Factors of a half of the subjects, beyond its scales."""
        scaled = _with(self.prior, self.calibration(scales, {}))
        gathered = self._gathered(store, method, half, scaled)
        curves = gathered.curves(set(self.subjects[half].tolist()))
        return self.calibration(scales, {(method, *key): curve for key, curve in curves.items()})

    def _task(
        self, store: Store, task: Task, method: str, settings: InferenceSettings,
        halves: list[npt.NDArray[np.bool_]], calibrations: list[Calibration],
        rivals: dict[int, npt.NDArray[np.float32]] | None,
    ) -> dict[str, Any]:  # fmt: skip
        """Figures of a task: of the second half before and after factors of the first, and coverage the other way.

        'unscaled' is as it came, 'before' with the scales alone.
        """
        raw, before, after, swapped, seams, truths = [], [], [], [], [SeamSums(), SeamSums()], SeamSums()
        misfits, noises, ours, theirs = [], [], [], []
        for half, calibration, reported in ((halves[1], calibrations[0], True), (halves[0], calibrations[1], False)):
            prior, scaled = (_with(self.prior, one) for one in (calibration, replace(calibration, curves={})))
            for index in np.flatnonzero(half).tolist():
                truth, drawn, subject = self.truth[index], self._kept(store, task, index), int(self.subjects[index])
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
                if rivals is not None and index in rivals:
                    rival = rivals[index].astype(np.float64)
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

    @cached_property
    def _rivals(self) -> dict[str, dict[int, npt.NDArray[np.float32]]]:
        """Draws (S, n) of the rival by task and slice."""
        about = {
            "weights_sha256": self.prior.info.weights_sha256, "settings": preset("reference").as_dict(),
            "samples": self.how.samples, "seed": self.how.seed,
        }  # fmt: skip
        store = Store(self.out / "cache" / f"{self.label}--released-entropy", about)
        found: dict[str, dict[int, npt.NDArray[np.float32]]] = {}
        for index in self.rival_slices:
            for task in self.tasks[:-1]:
                name, began = self.names[index], time.perf_counter()
                drawn = store.load(task.name, name)
                if drawn is None:
                    self.log.tell(f"{self.label}: the released code's entropy, {task.name} of {name}")
                    draws = draws_with_released_entropy(
                        task.observe(self.truth[index][None])[0], task.corruption, self.prior, self.how.samples,
                        self.how.seed,
                    )[:, task.region]  # fmt: skip
                    mean = draws.mean(axis=0).astype(np.float32)
                    drawn = KeptDraws(mean, draws.astype(np.float32), 0.0, 0.0, (SeamSums(), SeamSums()))
                    store.save(task.name, name, drawn)
                    self.log.finished(time.perf_counter() - began)
                else:
                    self.log.finished(None)
                found.setdefault(task.name, {})[index] = drawn.draws
        return found


def _with(prior: Prior, calibration: Calibration) -> Prior:
    """The same prior, whose card has these factors."""
    other = copy.copy(prior)
    other.info = replace(prior.info, calibration=calibration)
    return other
