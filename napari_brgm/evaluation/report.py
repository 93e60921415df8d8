"""The results as tables: Markdown for people, JSON for programs, rich for the screen."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.evaluation.scores import MEASURES, Scores
from napari_brgm.evaluation.tasks import TASKS
from napari_brgm.text import as_markup

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from napari_brgm.evaluation.tasks import Task

__all__ = ["Report", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One method's scores by task name; a task it cannot do is left out."""

    method: str
    title: str
    scores: dict[str, Scores]


@dataclass(frozen=True, slots=True)
class Report:
    """All rows.

    Attributes
    ----------
    rows : sequence of Row
    about : dict
        How the numbers came about: slices, prior, settings, versions; plain values.
    notes : sequence of str
        What was left out and why, one sentence each.
    tasks : sequence of Task
        The columns.
    """

    rows: Sequence[Row]
    about: dict[str, Any]
    notes: Sequence[str] = ()
    tasks: Sequence[Task] = TASKS

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as written to results.json."""
        methods = {
            row.method: {"title": row.title, "tasks": {task: asdict(scores) for task, scores in row.scores.items()}}
            for row in self.rows
        }
        return {"about": self.about, "notes": list(self.notes), "methods": methods}

    def markdown(self) -> str:
        """One table for each measure."""
        lines = [f"# Measured on {self.about['slices']} validation slices", ""]
        lines += [f"- {key}: {value}" for key, value in self.about.items() if key != "keys"]
        lines += [f"- {note}" for note in self.notes]
        for measure in self._measures():
            lines += ["", f"## {MEASURES[measure][0]}", ""]
            lines.append("| method | " + " | ".join(task.title for task in self.tasks) + " |")
            lines.append("|---" * (len(self.tasks) + 1) + "|")
            lines += [f"| {row.title} | " + " | ".join(_cells(row, measure, self.tasks)) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """results.json and results.md."""
        (folder / "results.json").write_text(json.dumps(self.as_dict(), indent=1) + "\n")
        (folder / "results.md").write_text(self.markdown())

    def show(self, console: Console) -> None:
        """Print one table for each measure."""
        from rich import box
        from rich.table import Table

        for measure in self._measures():
            table = Table(title=MEASURES[measure][0], title_justify="left", box=box.SIMPLE, padding=(0, 0, 0, 1))
            table.add_column("method", no_wrap=True)
            for task in self.tasks:
                table.add_column(task.title.split()[0], justify="right", no_wrap=True)
            for row in self.rows:
                # without the leading 0, so that ten columns fit 80 characters
                table.add_row(
                    as_markup(row.method), *(cell.removeprefix("0") for cell in _cells(row, measure, self.tasks))
                )
            console.print(table)
        console.print("Columns: " + ", ".join(task.title for task in self.tasks))
        for note in self.notes:
            console.print(note, markup=False)

    def _measures(self) -> list[str]:
        """Those that were measured at least once (LPIPS may not have been)."""
        every = [scores for row in self.rows for scores in row.scores.values()]
        return [measure for measure in MEASURES if any(getattr(scores, measure) is not None for scores in every)]


def _cells(row: Row, measure: str, tasks: Sequence[Task]) -> list[str]:
    values = [getattr(row.scores[task.name], measure) if task.name in row.scores else None for task in tasks]
    return ["" if value is None else f"{value:.{MEASURES[measure][1]}f}" for value in values]
