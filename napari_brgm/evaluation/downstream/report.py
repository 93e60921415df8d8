"""Tables of a downstream study: the classifier by subject, areas by slice, intervals by resampling of subjects."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.evaluation.downstream.classifier import auc
from napari_brgm.evaluation.downstream.study import SAMPLES, TRUE, DownstreamRow
from napari_brgm.evaluation.markdown import table_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.evaluation.downstream.study import DownstreamStudy

    Floats = npt.NDArray[np.float64]
    Value = tuple[float, float, float]

__all__ = ["AreaError", "Classified", "DownstreamReport", "by_subject"]

_DRAWS = 1000
_CLASSIFIED = (
    "task",
    "method",
    "AUC by subject (95 %)",
    "same answer as on the true slice (95 %)",
    "log odds moved by",
)
_AREAS = ("task", "method", "slices", "bias (95 %)", "mean absolute error (95 %)", "90 % interval held (95 %)")


@dataclass(frozen=True, slots=True)
class Classified:
    """What the classifier makes of one method's slices: (value, low, high) of 95 %.

    Attributes
    ----------
    task, method : str
    auc, same : (float, float, float)
    moved : float
        Mean absolute change of the log odds.
    """

    task: str
    method: str
    auc: Value
    same: Value
    moved: float


@dataclass(frozen=True, slots=True)
class AreaError:
    """How far areas are from those of the true slices: (value, low, high) of 95 %.

    Attributes
    ----------
    task, method : str
    slices : int
        In which the rule can measure the true slice and this one.
    bias, absolute : (float, float, float)
        In the rule's unit.
    held : (float, float, float) or None
        Share of true areas inside 90 % intervals; None: the method has none.
    """

    task: str
    method: str
    slices: int
    bias: Value
    absolute: Value
    held: Value | None


def by_subject(
    value: Callable[[npt.NDArray[np.intp]], float], subjects: npt.NDArray[np.int64], seed: int
) -> Value:  # fmt: skip
    """A figure of rows, by their numbers, and its 95 % interval over resampled subjects; undefined ones are left out.

    Examples
    --------
    >>> values = np.array([1.0, 1, 3, 3])
    >>> by_subject(lambda rows: values[rows].mean(), np.array([0, 0, 1, 1]), 0)
    (2.0, 1.0, 3.0)
    """
    members = [np.flatnonzero(subjects == subject) for subject in np.unique(subjects)]
    draw = np.random.default_rng(seed)
    found = np.array([
        value(np.concatenate([members[i] for i in draw.integers(len(members), size=len(members))]))
        for _ in range(_DRAWS)
    ])  # fmt: skip
    found = found[np.isfinite(found)]
    low, high = np.percentile(found, [2.5, 97.5]) if len(found) else (np.nan, np.nan)
    return float(value(np.arange(len(subjects)))), float(low), float(high)


class DownstreamReport:
    """Figures of rows.

    Parameters
    ----------
    rows : sequence of DownstreamRow
    study : DownstreamStudy
        That they are of.
    """

    def __init__(self, rows: Sequence[DownstreamRow], study: DownstreamStudy) -> None:
        self.rows, self.seed, self.area = list(rows), study.seed, study.area
        self.classifier, self.samples = study.classifier, study.samples
        self._of: dict[tuple[str, str], list[DownstreamRow]] = {}
        for row in self.rows:
            self._of.setdefault((row.task, row.method), []).append(row)

    def classified(self) -> list[Classified]:
        """Of each task and method; none without a classifier."""
        if self.classifier is None:
            return []
        found = []
        for (task, method), rows in self._of.items():
            odds, true = (_column(part, "log_odds") for part in (rows, self._of[task, TRUE]))
            subjects, positive = _column(rows, "subject").astype(int), _column(rows, "demented").astype(bool)
            found.append(
                Classified(
                    task, method, self._auc(odds, subjects, positive), self._mean((odds > 0) == (true > 0), subjects),
                    float(np.abs(odds - true).mean()),
                )
            )  # fmt: skip
        return found

    def areas(self) -> list[AreaError]:
        """Of each task and method but the true slices."""
        found = []
        for (task, method), rows in self._of.items():
            if method == TRUE:
                continue
            area, true = (_column(part, "area") for part in (rows, self._of[task, TRUE]))
            low, high, subjects = (_column(rows, name) for name in ("low", "high", "subject"))
            usable = np.isfinite(area) & np.isfinite(true)
            if method == SAMPLES:
                usable &= np.isfinite(low)
            if not usable.any():
                continue
            apart, owners = (area - true)[usable], subjects[usable].astype(int)
            inside = ((low <= true) & (true <= high))[usable]
            found.append(
                AreaError(
                    task, method, int(usable.sum()), self._mean(apart, owners), self._mean(np.abs(apart), owners),
                    self._mean(inside, owners) if method == SAMPLES else None,
                )
            )  # fmt: skip
        return found

    def markdown(self, command: str) -> str:
        """Tables, below the command that makes them."""
        first = next(iter(self._of.values()))
        subjects = len({row.subject for row in first})
        lines = ["# What others see in restored slices", "", f"`{command}`", ""]
        lines += [f"{len(first)} slices of {subjects} held-out subjects; intervals over resampled subjects.", ""]
        if self.classifier is not None:
            body = [
                (one.task, one.method, _told(one.auc, "{:.2f}"), _told(one.same, "{:.0%}"), f"{one.moved:.2f}")
                for one in self.classified()
            ]
            lines += ["## Demented or not", "", *table_lines(_CLASSIFIED, body), ""]
            lines += [
                f"Logistic regression on {self.classifier.components} principal components, learned from true training "
                f"slices; AUC of training subjects by cross-validation {self.classifier.validated:.2f}.", "",
            ]  # fmt: skip
        else:
            lines += ["The archive's names carry no labels: no classifier.", ""]
        true = np.concatenate([_column(rows, "area") for (_, method), rows in self._of.items() if method == TRUE])
        usable = np.isfinite(true)
        middle = np.median(true[usable]) if usable.any() else np.nan
        lines += [f"## Area of the {self.area.name}, {self.area.unit}", ""]
        areas = [
            (
                one.task, one.method, str(one.slices), _told(one.bias, "{:+.3g}"), _told(one.absolute, "{:.3g}"),
                "" if one.held is None else _told(one.held, "{:.0%}"),
            )
            for one in self.areas()
        ]  # fmt: skip
        lines += [*table_lines(_AREAS, areas), ""]
        lines.append(
            f"True areas: median {middle:.4g}; the rule could measure {usable.mean():.0%} of true slices. Intervals are"
            f" those of {self.samples} samples."
        )
        return "\n".join([*lines, ""])

    def write(self, folder: Path, command: str) -> None:
        """Write downstream.md and downstream.csv, a row of each slice and method."""
        (folder / "downstream.md").write_text(self.markdown(command), "utf-8")
        with (folder / "downstream.csv").open("w", newline="", encoding="utf-8") as stream:
            table = csv.DictWriter(stream, [field.name for field in fields(DownstreamRow)])
            table.writeheader()
            table.writerows(asdict(row) for row in self.rows)

    def _auc(self, odds: Floats, subjects: npt.NDArray[np.int64], positive: npt.NDArray[np.bool_]) -> Value:
        """By subject: one that is drawn twice counts twice, with its one mean."""
        owners = np.unique(subjects)
        means = np.array([odds[subjects == owner].mean() for owner in owners])
        labels = np.array([positive[subjects == owner][0] for owner in owners])
        return by_subject(lambda picked: auc(means[picked], labels[picked]), owners, self.seed)

    def _mean(self, values: npt.NDArray[Any], subjects: npt.NDArray[np.int64]) -> Value:
        return by_subject(lambda picked: float(values[picked].mean()), subjects, self.seed)


def _column(rows: Sequence[DownstreamRow], name: str) -> Floats:
    return np.array([getattr(row, name) for row in rows], np.float64)


def _told(value: Value, form: str) -> str:
    middle, low, high = (form.format(part) for part in value)
    return f"{middle} ({low} to {high})"
