"""Figures of the page: cells of its tables, with what is best of a column and what is certain of a difference."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import log10
from typing import TYPE_CHECKING, Literal

from napari_brgm.evaluation.grid.measures import MEASURES, spread_of
from napari_brgm.evaluation.grid.tables import IN_TURN, title_of_task
from napari_brgm.evaluation.method import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.evaluation.grid.measures import Difference
    from napari_brgm.evaluation.grid.rows import Row
    from napari_brgm.evaluation.grid.tables import MethodLine, Tables

    Certainty = Literal["better", "worse", "undecided"]

__all__ = [
    "BOTH", "DifferenceTable", "FigureTable", "Tally", "cost_table", "difference_tables", "figure_table", "main_line",
    "tallies",
]  # fmt: skip

BOTH = ("rmse", "efficientnet")  # in which every line of ours is compared, as in evaluation.md
_FEWEST = 5  # subjects of whom an interval says anything
_COSTS = ("seconds", "busy", "megabytes")
_OTHER_IMAGES = ("mean", "sample")  # of one restoration, at the same cost


@dataclass(frozen=True, slots=True)
class FigureCell:
    """A figure of some images.

    Attributes
    ----------
    value, spread : float
    text, spread_text : str
        With the measure's decimals.
    images : int
    best : bool
        The best of its column among methods that restored the most images.
    """

    value: float
    spread: float
    text: str
    spread_text: str
    images: int
    best: bool


@dataclass(frozen=True, slots=True)
class FigureTable:
    """A measure: a method a line with its number of images, a task a column; None: not measured."""

    measure: str
    title: str
    meaning: str
    better: int
    heads: list[str]
    body: list[tuple[MethodLine, int, list[FigureCell | None]]]


@dataclass(frozen=True, slots=True)
class DifferenceCell:
    """Ours less another: the figure, its interval, and what that says of ours."""

    text: str
    interval: str
    verdict: Certainty
    images: int
    subjects: int


@dataclass(frozen=True, slots=True)
class DifferenceTable:
    """One of our lines less every other method, task by task."""

    ours: MethodLine
    heads: list[str]
    body: list[tuple[MethodLine, list[DifferenceCell | None]]]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many comparisons with a family's methods, one for each method and task, ended how."""

    family: str
    better: int
    worse: int
    undecided: int


@dataclass(frozen=True, slots=True)
class CostRow:
    """Seconds by the clock and of a core, MB, and the length of a bar (0..1) of the seconds on a logarithmic scale."""

    line: MethodLine
    seconds: float
    busy: float
    megabytes: float | None
    bar: float

    @property
    def texts(self) -> tuple[str, str, str]:
        memory = "" if self.megabytes is None else f"{self.megabytes:.0f}"
        return _duration(self.busy), _duration(self.seconds), memory


def main_line(tables: Tables, name: str) -> MethodLine | None:
    """Ours, as it comes; None where the set has none of ours."""
    ours = [line for line in tables.lines(name) if line.family == "ours"]
    return next((line for line in ours if line.method == "ours"), ours[0] if ours else None)


def figure_table(tables: Tables, name: str, measure: str) -> FigureTable:
    """All figures of one measure of a set."""
    about, tasks = MEASURES[measure], tables.tasks(name)
    found = tables.figures(name, measure)
    columns = [
        _column([(value[i], tables.of(name, task, line.method)) for line, value in found], measure)
        for i, task in enumerate(tasks)
    ]
    body = [
        (line, _images(tables, name, line), [column[number] for column in columns])
        for number, (line, _) in enumerate(found)
    ]
    return FigureTable(
        measure, about.title, about.meaning, about.better, [title_of_task(task) for task in tasks], body
    )  # fmt: skip


def _column(figures: Sequence[tuple[float | None, list[Row]]], measure: str) -> list[FigureCell | None]:
    """Cells of a column; who cannot be told apart as it is written is best together."""
    about = MEASURES[measure]
    made: list[FigureCell | None] = []
    for value, rows in figures:
        spread = spread_of(rows, measure)
        made.append(
            None if value is None or spread is None
            else FigureCell(value, spread, _written(value, about.decimals), _written(spread, about.decimals), len(rows),
                            False)
        )  # fmt: skip
    known = [cell for cell in made if cell is not None]
    most = max((cell.images for cell in known), default=0)
    known = [cell for cell in known if cell.images == most]
    if not about.better or len(known) < 2:
        return made
    best = max(known, key=lambda cell: about.better * cell.value).text
    return [
        replace(cell, best=True) if cell is not None and cell.images == most and cell.text == best else cell
        for cell in made
    ]


def difference_tables(tables: Tables, name: str, measure: str) -> list[DifferenceTable]:
    """Ours less the others; of measures in ``BOTH`` one for each of our lines, ours as it comes first."""
    about, main = MEASURES[measure], main_line(tables, name)
    if not about.better or main is None:
        return []
    lines = [main]
    if measure in BOTH:
        lines += [line for line in tables.lines(name) if line.family == "ours" and line != main]
    heads = [title_of_task(task) for task in tables.tasks(name)]
    made = []
    for ours in lines:
        body = [
            (line, [None if one is None else _cell(one, measure) for one in differences])
            for line, differences in tables.against(name, ours.method, measure)
        ]
        if body:
            made.append(DifferenceTable(ours, heads, body))
    return made


def tallies(tables: Tables, name: str, table: DifferenceTable) -> list[Tally]:
    """Verdicts of a table by family; the masks in turn repeat others and do not count."""
    counted: dict[str, Counter[str]] = {}
    for line, cells in table.body:
        for task, cell in zip(tables.tasks(name), cells, strict=True):
            if cell is not None and task != IN_TURN:
                counted.setdefault(line.family, Counter())[cell.verdict] += 1
    return [
        Tally(family, counted[family]["better"], counted[family]["worse"], counted[family]["undecided"])
        for family in FAMILIES if family in counted
    ]  # fmt: skip


def cost_table(tables: Tables, name: str) -> list[CostRow]:
    """What a slice takes, over all tasks that a method did; quickest first."""
    lines = tables.lines(name)
    methods = {line.method for line in lines}
    found = []
    for line in lines:
        base, _, word = line.method.rpartition("-")
        if word in _OTHER_IMAGES and base in methods:
            continue
        rows = [row for row in tables.rows if row.set == name and row.method == line.method]
        seconds, busy, megabytes = (_mean([getattr(row, what) for row in rows]) for what in _COSTS)
        found.append((line, seconds or 0.0, busy or 0.0, megabytes))
    found.sort(key=lambda one: one[2])
    return [CostRow(line, clock, busy, memory, _bar(busy)) for line, clock, busy, memory in found]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _duration(seconds: float) -> str:
    """Three digits or so, no exponent."""
    return f"{seconds:.{next(i for i, least in enumerate((100, 10, 1, 0)) if seconds >= least)}f}"


def _bar(seconds: float) -> float:
    """0 at a millisecond, 1 at 1,000 s."""
    return min(max((log10(max(seconds, 1e-3)) + 3) / 6, 0.0), 1.0)


def _cell(one: Difference, measure: str) -> DifferenceCell:
    about = MEASURES[measure]
    signed = [_signed(value, about.decimals) for value in (one.value, one.low, one.high)]
    verdict: Certainty = "undecided"
    if one.certain and one.subjects >= _FEWEST:
        verdict = "better" if one.value * about.better > 0 else "worse"
    return DifferenceCell(signed[0], f"{signed[1]} … {signed[2]}", verdict, one.images, one.subjects)


def _written(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}"


def _signed(value: float, decimals: int) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def _images(tables: Tables, name: str, line: MethodLine) -> int:
    return len({row.image for task in tables.tasks(name) for row in tables.of(name, task, line.method)})
