"""TARP of restorations of held-out slices: rows of each slice, a table and a picture.

Pixels: those that were hidden (super-resolution: all) and whose standard deviation over the set is above 3 grey levels
('all') or 30 ('varied'), in units of it. What is dark in nearly all slices weighs much in 'all': its unit is small.
Distance: L2. References, stated with every figure:

    box        even between the 1st and the 99th percentile of each pixel over the set, drawn anew for each slice
    nearest    the slice of another subject whose measured pixels are nearest: it depends on what was measured

Draws: 'as it came', the posterior itself, and 'scaled' by the prior's card. Their mean is q's mean exactly; each alone
is a fair draw. Slices of a subject are alike: the limit is that of as many truths as there are subjects.
"""

from __future__ import annotations

import csv
import itertools
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.evaluation.tarp import box_references, expected_coverage, gap_limit, nearer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.evaluation.held_out_draws import DrawnSlice, HeldOutDraws

    Floats = npt.NDArray[np.float64]

__all__ = ["REFERENCES", "TarpRow", "TarpTable", "tarp_rows"]

REFERENCES = ("box", "nearest")
STAGES = ("as it came", "scaled")
PIXELS = {"all": 3.0, "varied": 30.0}  # least standard deviation over the set, grey levels
_LEVELS = np.linspace(0.1, 0.9, 9)
_PLOTTED = np.linspace(0, 1, 51)
_SHOWN = (0.1, 0.5, 0.9)
_BOX = (1, 99)  # percentiles
_FEW = 16  # pixels: fewer are left out
_OBSERVED_AT_ONCE = 64
_EPSILON = 0.02  # of a curve that stays on one side


@dataclass(frozen=True, slots=True)
class TarpRow:
    """One slice against one reference: ``nearer`` of ``draws`` draws are nearer to it than the truth."""

    task: str
    slice: int
    subject: int
    reference: str
    stage: str
    pixels: str
    nearer: int
    draws: int


def tarp_rows(drawn: HeldOutDraws, tell: Callable[[int, int, str], None] | None = None) -> list[TarpRow]:
    """Rows of all slices, restored or kept; the seed of ``drawn`` places the boxes' references."""
    rows: list[TarpRow] = []
    spread = drawn.images.std(axis=0, dtype=np.float64)
    ends = np.percentile(drawn.images, _BOX, axis=0)
    for one in drawn.slices(tell):
        region = one.task.region
        seed = int(np.random.SeedSequence([drawn.seed, one.index]).generate_state(1)[0])
        low, high = (end[region] for end in ends)
        references: dict[str, Floats] = {
            "box": box_references(low, high, 1, seed)[0],
            "nearest": drawn.images[_nearest(drawn, one)][region].astype(np.float64),
        }
        stages: dict[str, npt.NDArray[Any]] = {STAGES[0]: one.kept.draws, STAGES[1]: drawn.calibrated(one)}
        for pixels, least in PIXELS.items():
            chosen = spread[region] > least
            unit = spread[region][chosen]
            if len(unit) < _FEW:
                continue
            for (name, reference), (stage, draws) in itertools.product(references.items(), stages.items()):
                count = nearer(draws[:, chosen] / unit, one.hidden[chosen] / unit, reference[chosen] / unit)
                rows.append(
                    TarpRow(one.task.name, one.index, one.subject, name, stage, pixels, count, len(draws))
                )  # fmt: skip
    return rows


def _nearest(drawn: HeldOutDraws, one: DrawnSlice) -> int:
    """Number of the slice of another subject whose observation is nearest."""
    seen = one.task.observe(one.truth[None])[0]
    far = np.concatenate([
        np.square(one.task.observe(part) - seen).sum(axis=(1, 2), dtype=np.float64)
        for part in np.array_split(drawn.images, -(-len(drawn.images) // _OBSERVED_AT_ONCE))
    ])  # fmt: skip
    far[drawn.subjects == one.subject] = np.inf
    return int(far.argmin())


class TarpTable:
    """Rows as curves."""

    def __init__(self, rows: Sequence[TarpRow]) -> None:
        self.rows = list(rows)
        self._limits: dict[tuple[int, int], float] = {}

    def write(self, out: Path) -> None:
        """Write tarp.csv, tarp.md and tarp.png."""
        with (out / "tarp.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, [field.name for field in fields(TarpRow)])
            writer.writeheader()
            writer.writerows(asdict(row) for row in self.rows)
        (out / "tarp.md").write_text(self.markdown())
        self._plot(out / "tarp.png")

    def markdown(self) -> str:
        """A line for each task, reference, stage and kind of pixels."""
        shown = " / ".join(f"{100 * level:.0f}" for level in _SHOWN)
        lines = [
            f"| task | references | draws | pixels | slices (subjects) | ECP at {shown} %, % | largest gap | limit "
            "| verdict |",
            "|" + "---|" * 9,
        ]
        for (task, reference, stage, pixels), rows in self._groups().items():
            subjects = len({row.subject for row in rows})
            gap, limit = self._gap(rows), self._limit(subjects, rows[0].draws)
            figures = " / ".join(f"{100 * value:.0f}" for value in self._curve(rows, np.array(_SHOWN)))
            lines.append(
                f"| {task} | {reference} | {stage} | {pixels} | {len(rows)} ({subjects}) | {figures} | {100 * gap:.0f} "
                f"| {100 * limit:.0f} | {'within' if gap <= limit else 'outside, ' + self._side(rows)} |"
            )
        return "\n".join(lines) + "\n"

    def _groups(self) -> dict[tuple[str, str, str, str], list[TarpRow]]:
        found: dict[tuple[str, str, str, str], list[TarpRow]] = {}
        for row in self.rows:
            found.setdefault((row.task, row.reference, row.stage, row.pixels), []).append(row)
        return dict(sorted(found.items()))

    def _curve(self, rows: list[TarpRow], levels: Floats) -> Floats:
        return expected_coverage(np.array([row.nearer for row in rows]), rows[0].draws, levels)

    def _gap(self, rows: list[TarpRow]) -> float:
        return float(np.abs(self._curve(rows, _LEVELS) - _LEVELS).max())

    def _limit(self, subjects: int, draws: int) -> float:
        if (subjects, draws) not in self._limits:
            self._limits[subjects, draws] = gap_limit(subjects, draws, _LEVELS)
        return self._limits[subjects, draws]

    def _side(self, rows: list[TarpRow]) -> str:
        gaps = self._curve(rows, _LEVELS) - _LEVELS
        return "above" if gaps.min() >= -_EPSILON else "below" if gaps.max() <= _EPSILON else "crosses"

    def _plot(self, path: Path) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        tasks = sorted({row.task for row in self.rows})
        figure = Figure(figsize=(2.9 * len(tasks), 3.6), layout="constrained")
        FigureCanvasAgg(figure)  # no window, no pyplot state
        panels = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
        for axes, task in zip(panels, tasks, strict=True):
            axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
            for (name, reference, stage, pixels), rows in self._groups().items():
                if (name, stage) == (task, STAGES[1]):
                    colour = "tab:blue" if reference == "box" else "tab:orange"
                    style = "-" if pixels == "varied" else ":"
                    axes.plot(
                        _PLOTTED, self._curve(rows, _PLOTTED), style, color=colour, label=f"{reference}, {pixels}"
                    )
            axes.set_title(task, fontsize=9, parse_math=False)
        figure.supxlabel("level")
        figure.supylabel("expected coverage")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=2, frameon=False, fontsize=8)
        figure.savefig(path, dpi=100)
