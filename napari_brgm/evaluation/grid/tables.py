"""Tables of a grid: a method a line, a task a column; and ours against each of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.evaluation.grid.measures import MEASURES, difference, pooled
from napari_brgm.evaluation.markdown import table_lines
from napari_brgm.evaluation.own_scans import OWN
from napari_brgm.evaluation.tasks import grid_tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_brgm.evaluation.grid.measures import Difference
    from napari_brgm.evaluation.grid.rows import Row

__all__ = ["IN_TURN", "MethodLine", "Tables", "in_turn", "markdown", "title_of_task", "unseen"]

IN_TURN = "masks"  # the seven masks given in turn to the images, as BRGM's table has them
_MASKS = 7
_TASK_TITLES = {task.name: task.title for task in grid_tasks(256)}
_ORDER = [*list(_TASK_TITLES)[:_MASKS], IN_TURN, *list(_TASK_TITLES)[_MASKS:]]
_TASK_TITLES[IN_TURN] = "7 masks in turn"


@dataclass(frozen=True, slots=True)
class MethodLine:
    """One method of one set."""

    method: str
    title: str
    family: str


class Tables:
    """Figures of rows, found by set, task and method.

    Parameters
    ----------
    rows : iterable of Row
    notes : sequence of str
        What was left out and why, a sentence each.
    doubts : mapping
        Sentences by the set whose figures they are of.
    """

    def __init__(
        self, rows: Iterable[Row], notes: Sequence[str] = (), doubts: Mapping[str, Sequence[str]] | None = None
    ) -> None:  # fmt: skip
        self.rows, self.notes, self.doubts = list(rows), list(notes), dict(doubts or {})
        self._found: dict[tuple[str, str, str], list[Row]] = {}
        self._lines: dict[str, dict[MethodLine, None]] = {}
        for row in self.rows:
            self._lines.setdefault(row.set, {})[MethodLine(row.method, row.title, row.family)] = None
            self._found.setdefault((row.set, row.task, row.method), []).append(row)
        for name in self.sets:
            for line in self.lines(name):
                if turned := in_turn(self._found, name, line.method):
                    self._found[name, IN_TURN, line.method] = turned

    @property
    def sets(self) -> list[str]:
        return list(self._lines)

    def tasks(self, name: str) -> list[str]:
        """Tasks of a set, in the order of the grid, the masks in turn after the masks."""
        has = {task for held, task, _ in self._found if held == name}
        return [task for task in _ORDER if task in has]

    def lines(self, name: str) -> list[MethodLine]:
        """Methods of a set, in the order of its rows."""
        return list(self._lines.get(name, ()))

    def of(self, name: str, task: str, method: str) -> list[Row]:
        """Rows of a method on a task; none if it did not do it."""
        return self._found.get((name, task, method), [])

    def measures(self, name: str) -> list[str]:
        """Those that some row of the set has."""
        rows = [row for row in self.rows if row.set == name]
        return [measure for measure in MEASURES if pooled(rows, measure) is not None]

    def figures(self, name: str, measure: str) -> list[tuple[MethodLine, list[float | None]]]:
        """A line for each method that has any figure, one for each of ``tasks``."""
        found = [
            (line, [pooled(self.of(name, task, line.method), measure) for task in self.tasks(name)])
            for line in self.lines(name)
        ]
        return [(line, values) for line, values in found if any(value is not None for value in values)]

    def against(self, name: str, ours: str, measure: str) -> list[tuple[MethodLine, list[Difference | None]]]:
        """Ours less each other method, task by task; below 0 is ours nearer the truth where less is better."""
        found = []
        for line in self.lines(name):
            if line.family != "ours":
                differences = [
                    difference(self.of(name, task, ours), self.of(name, task, line.method), measure)
                    for task in self.tasks(name)
                ]
                if any(one is not None for one in differences):
                    found.append((line, differences))
        return found


def in_turn(found: dict[tuple[str, str, str], list[Row]], name: str, method: str) -> list[Row]:
    """Rows of image i under mask i mod 7: every image once, as in BRGM's table; none where a mask was left out.

    i counts the images that any method of the set restored under a mask, so that all methods see one image alike.
    """
    masks = [{row.image: row for row in found.get((name, f"mask-{k}", method), [])} for k in range(_MASKS)]
    own = set.intersection(*(set(mask) for mask in masks))
    every = {
        row.image
        for (held, task, _), rows in found.items()
        if held == name and task.startswith("mask-")
        for row in rows
    }
    return [masks[i % _MASKS][image] for i, image in enumerate(sorted(every)) if image in own]


def markdown(tables: Tables) -> str:
    """All tables as Markdown."""
    lines = ["# Evaluation", ""]
    for name in tables.sets:
        rows = [row for row in tables.rows if row.set == name]
        images, subjects = ({getattr(row, what) for row in rows} for what in ("image", "subject"))
        made = sorted({f"{row.version} ({row.commit})" if row.commit else row.version for row in rows})
        seeds = ", ".join(sorted({str(row.seed) for row in rows}))
        lines += [
            f"## {name}", "",
            f"{len(images)} images of {len(subjects)} {unseen(name)}; seed {seeds}; made by version "
            f"{', '.join(made)}. Methods that take long restored fewer of them; differences are on common images.", "",
        ]  # fmt: skip
        lines += [line for doubt in tables.doubts.get(name, ()) for line in (f"**{doubt}.**", "")]
        for measure in tables.measures(name):
            about = MEASURES[measure]
            lines += [f"### {about.title}", "", about.meaning, ""]
            lines += table_lines(
                ["method", "images", *map(title_of_task, tables.tasks(name))],
                [[line.title, str(_count(tables, name, line)), *(_text(value, about.decimals) for value in values)]
                 for line, values in tables.figures(name, measure)],
            )  # fmt: skip
            lines.append("")
        for measure in ("rmse", "efficientnet"):
            for ours in (line for line in tables.lines(name) if line.family == "ours"):
                lines += _against(tables, name, ours, measure)
    if tables.notes:
        lines += ["## Left out", "", *(f"- {note}" for note in tables.notes), ""]
    return "\n".join(lines).rstrip() + "\n"


def unseen(name: str) -> str:
    """What is known of the subjects of a set, to follow their number."""
    if name.startswith(OWN):
        return "subjects (scans of one's own: whether a prior was trained on them is not known here)"
    return "subjects that no training saw"


def title_of_task(name: str) -> str:
    """Head of a task's column."""
    return _TASK_TITLES.get(name, name)


def _against(tables: Tables, name: str, ours: MethodLine, measure: str) -> list[str]:
    about = MEASURES[measure]
    found = tables.against(name, ours.method, measure)
    if not found:
        return []

    def text(one: Difference | None) -> str:
        if one is None:
            return ""
        low, high = (f"{value:+.{about.decimals}f}" for value in (one.low, one.high))
        return f"{one.value:+.{about.decimals}f} ({low} to {high}){'' if one.certain else ' ?'}"

    body = [[line.title, *map(text, differences)] for line, differences in found]
    return [
        f"### {about.title}: {ours.title} less the others", "",
        "With 95 % intervals over subjects; below 0: ours is nearer the truth; ?: the interval holds 0.", "",
        *table_lines(["method", *map(title_of_task, tables.tasks(name))], body), "",
    ]  # fmt: skip


def _count(tables: Tables, name: str, line: MethodLine) -> int:
    return len({row.image for row in tables.rows if row.set == name and row.method == line.method})


def _text(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"
