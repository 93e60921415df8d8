"""Calibration curves of the page: which share of pixels lies within intervals that claim a level, drawn as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.calibration import LEVELS
from napari_brgm.evaluation.grid.measures import pooled
from napari_brgm.evaluation.tasks import grid_tasks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_brgm.evaluation.grid.rows import Row
    from napari_brgm.evaluation.grid.tables import MethodLine, Tables

__all__ = ["KINDS", "CurvePanel", "HeldLine", "curve_panels"]

KINDS = {
    "hole": "hidden parts", "low-res": "lowered resolution", "jpeg": "JPEG compression", "whole": "nothing hidden",
}  # fmt: skip
_STYLES = 8  # that the style sheet tells apart
_SIDE, _LEFT, _TOP = 220, 38, 8  # of the plot, px
_LEAST = 0.4  # level at its left edge; shares begin at 0


@dataclass(frozen=True, slots=True)
class HeldLine:
    """Shares of pixels held at each of LEVELS by one method; ``style`` 0..7 is its colour, dash and mark, 0 ours."""

    line: MethodLine
    style: int
    shares: tuple[float, ...]
    points: list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """Curves of one kind of task; x and y are pixels of a drawing of ``width`` x ``height``.

    Attributes
    ----------
    title : str
    curves : list of HeldLine
    ticks : list of (float, float, str)
        x, y and text of a level on both axes.
    """

    title: str
    curves: list[HeldLine]
    ticks: list[tuple[float, float, str]]

    width: int = _LEFT + _SIDE + 14
    height: int = _TOP + _SIDE + 40
    left: int = _LEFT
    top: int = _TOP
    right: int = _LEFT + _SIDE
    bottom: int = _TOP + _SIDE

    @property
    def truth(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Ends of the line on which claims are true."""
        return place(_LEAST, _LEAST), place(1.0, 1.0)


def curve_panels(tables: Tables, name: str) -> list[CurvePanel]:
    """A panel for each kind of task on which some method of the set has intervals."""
    kinds = {task.name: task.kind for task in grid_tasks(256)}
    lines = tables.lines(name)
    known = [line for line in lines if any(row.held_90 is not None for row in _rows(tables, name, line, kinds))]
    styles = {line: number for number, line in enumerate(sorted(known, key=lambda line: line.method != "ours"))}
    panels = []
    for kind, title in KINDS.items():
        tasks = [task for task, of in kinds.items() if of == kind]
        curves = []
        for line in known:
            shares = [pooled(_rows(tables, name, line, tasks), f"held_{100 * level:.0f}") for level in LEVELS]
            whole = tuple(share for share in shares if share is not None)
            if len(whole) == len(LEVELS):
                points = [place(level, share) for level, share in zip(LEVELS, whole, strict=True)]
                curves.append(HeldLine(line, styles[line] % _STYLES, whole, points))
        if curves:
            panels.append(CurvePanel(title, curves, [(*place(level, level), f"{100 * level:.0f}") for level in LEVELS]))
    return panels


def place(level: float, share: float) -> tuple[float, float]:
    """Where a point lies, pixels.

    Examples
    --------
    >>> place(1.0, 1.0), place(0.4, 0.0)
    ((258.0, 8.0), (38.0, 228.0))
    """
    return round(_LEFT + (level - _LEAST) / (1 - _LEAST) * _SIDE, 1), round(_TOP + (1 - share) * _SIDE, 1)


def _rows(tables: Tables, name: str, line: MethodLine, tasks: Iterable[str]) -> list[Row]:
    return [row for task in tasks for row in tables.of(name, task, line.method)]
