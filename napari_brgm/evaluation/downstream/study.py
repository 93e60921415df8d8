"""DownstreamStudy: what a classifier and an area rule say of restored held-out slices, and what of the true ones.

Subjects are held out: neither priors nor rivals nor the classifier have seen them. Ours: the posterior mean ('ours'),
one posterior sample ('ours, a sample'), and all samples together ('ours, samples': mean log odds, interval of areas).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.evaluation.downstream.areas import area_measure
from napari_brgm.evaluation.downstream.classifier import DementiaClassifier, demented, fit_classifier
from napari_brgm.evaluation.grid.catalogue import method_of
from napari_brgm.evaluation.kept import KeptCells

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from napari_brgm.evaluation.held_out_draws import DrawnSlice, HeldOutDraws
    from napari_brgm.evaluation.method import RestoringMethod

    Image = npt.NDArray[np.float32]

__all__ = ["OURS", "RIVALS", "SAMPLE", "SAMPLES", "TRUE", "DownstreamRow", "DownstreamStudy"]

RIVALS = ("biharmonic", "bicubic", "linear")
TRUE, OURS, SAMPLE, SAMPLES = "true slices", "ours", "ours, a sample", "ours, samples"
_LEVEL = 0.9
_ENOUGH = 0.9  # share of samples that the rule can measure


@dataclass(frozen=True, slots=True)
class DownstreamRow:
    """One slice as one method gave it.

    Attributes
    ----------
    task, method : str
    slice, subject : int
    demented : bool or None
        Label of the subject; None: there is none.
    log_odds : float
        nan: no classifier.
    area, low, high : float
        In the unit of the area rule; low and high: of the 90 % interval, nan where there is none. nan where the rule
        cannot measure the image.
    """

    task: str
    method: str
    slice: int
    subject: int
    demented: bool | None
    log_odds: float
    area: float
    low: float = float("nan")
    high: float = float("nan")


class DownstreamStudy:
    """Held-out slices, restored and read.

    Parameters
    ----------
    drawn : HeldOutDraws
    rivals : sequence of str
        Names of ``grid.catalogue.METHODS``; each does the tasks that it can.

    Attributes
    ----------
    classifier : DementiaClassifier or None
        None: subjects have no labels.

    Raises
    ------
    InputError, ScanError, OutputError
        There is no such rival, or the training slices that it or the classifier needs are missing or damaged.
    """

    def __init__(self, drawn: HeldOutDraws, rivals: Sequence[str] = RIVALS) -> None:
        setting = drawn.setting
        self.drawn, self.held, self.seed, self.samples = drawn, setting.held, setting.seed, setting.samples
        self.rivals = [method_of(name, setting) for name in rivals]
        self.area = area_measure(self.held)
        self._labels = demented(drawn.subject_names)
        self._cells, self._data = KeptCells(setting.out / "cache" / "downstream"), setting.data
        self.classifier = None if self._labels is None else self._learned()

    def rows(self, tell: Callable[[int, int, str], None] | None = None) -> list[DownstreamRow]:
        """Rows of all slices, restored or kept. ``tell`` gets (done, in all, what comes next)."""
        return [row for one in self.drawn.slices(tell) for row in self._rows_of(one)]

    def _rows_of(self, one: DrawnSlice) -> list[DownstreamRow]:
        label = None if self._labels is None else bool(self._labels[one.subject])
        name, of = f"{one.task.name}--{one.index:05d}", self._fingerprint()
        kept = self._cells.load(name, of)
        if kept is None:
            record = {method: self._read(images) for method, images in self._images(one).items()}
            record[SAMPLE] = {key: values[:1] for key, values in record[SAMPLES].items()}
            self._cells.save(name, of, {}, {"read": record})
        else:
            record = kept.record["read"]
        rows = []
        for method, read in record.items():
            areas = np.array(read["areas"])
            if np.isfinite(areas).mean() >= _ENOUGH:
                areas = areas[np.isfinite(areas)]
            low, high = _interval(areas) if method == SAMPLES else (float("nan"), float("nan"))
            rows.append(
                DownstreamRow(
                    one.task.name, method, one.index, one.subject, label, float(np.mean(read["log_odds"])),
                    float(np.median(areas)), low, high,
                )
            )  # fmt: skip
        return rows

    def _images(self, one: DrawnSlice) -> dict[str, npt.NDArray[np.float32]]:
        """Images (n, R, R) by method."""
        task, observed = one.task, one.task.observe(one.truth[None])
        found = {TRUE: one.truth[None]}
        for rival in self.rivals:
            if rival.solves(task):
                found[rival.name] = _restored(rival, observed, one, self.seed)
        whole = np.repeat(one.truth[None], 1 + self.samples, axis=0)
        whole[0, task.region] = one.kept.mean
        whole[1:, task.region] = self.drawn.calibrated(one)
        whole = np.clip(whole, 0, 255)
        return {**found, OURS: whole[:1], SAMPLES: whole[1:]}

    def _read(self, images: npt.NDArray[np.float32]) -> dict[str, list[float]]:
        odds = np.full(len(images), np.nan) if self.classifier is None else self.classifier.log_odds(images)
        return {"log_odds": odds.tolist(), "areas": [self.area(image) for image in images]}

    def _fingerprint(self) -> dict[str, Any]:
        how = self.classifier
        return {
            "weights_sha256": self.drawn.prior.info.weights_sha256, "set": self.held.name, "samples": self.samples,
            "seed": self.seed, "rivals": {rival.name: rival.fingerprint() for rival in self.rivals},
            "classifier": None if how is None else [how.components, how.offset],
        }  # fmt: skip

    def _learned(self) -> DementiaClassifier:
        of = {"set": self.held.name, "seed": self.seed}
        kept = self._cells.load("classifier", of)
        if kept is not None:
            return DementiaClassifier(kept.arrays["weights"], **kept.record)
        learned = fit_classifier(self.held.read(self._data, "training"), self.seed)
        record = {"offset": learned.offset, "components": learned.components, "validated": learned.validated}
        self._cells.save("classifier", of, {"weights": learned.weights}, record)
        return learned


def _restored(rival: RestoringMethod, observed: Image, one: DrawnSlice, seed: int) -> Image:
    """(1, R, R), finished."""
    rival.prepare()
    with torch.no_grad():
        return one.task.finish(rival.restore(observed[0], one.task, seed).estimate[None], observed)


def _interval(areas: npt.NDArray[np.float64]) -> tuple[float, float]:
    """That one more draw falls into with the probability that it is said to have: ranks are those of S + 1 draws."""
    low, high = np.quantile(areas, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], method="weibull")
    return float(low), float(high)
