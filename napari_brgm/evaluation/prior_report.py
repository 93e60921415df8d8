"""The table of priors as Markdown, JSON and on the screen, with what was reached of the goals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.evaluation.grid.measures import pooled
from napari_brgm.evaluation.markdown import table_lines
from napari_brgm.evaluation.tasks import tasks_of_size
from napari_brgm.text import as_markup, plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import Console

    from napari_brgm.evaluation.grid.rows import Row

__all__ = ["GOAL_PERCEPTUAL", "GOAL_RMSE", "PriorReport", "PriorRow"]

GOAL_RMSE = 8.0  # grey levels, W+ reconstruction
GOAL_PERCEPTUAL = -30.0  # percent, a single restoration against the linear mean
KINDS = {"mean": "posterior mean", "map": "MAP image", "draw": "one draw"}
# what a method of the grid is here
_METHODS = {
    "linear": "linear", "invert-wplus": "w+", "invert-w": "w", "ours": "map", "ours-mean": "mean",
    "ours-sample": "draw", "laplace": "map", "laplace-mean": "mean", "laplace-sample": "draw", "vi": "mean",
    "vi-sample": "draw",
}  # fmt: skip
# measure: heading, decimals
_MEASURES = {
    "rmse": ("RMSE inside the hole; super-resolution: whole image (grey levels of 0..255, lower is better)", 1),
    "ms_ssim": ("1 - MS-SSIM, whole image (lower is better)", 3),
    "gmsd": ("GMSD, whole image (lower is better)", 3),
    "efficientnet": ("Distance of EfficientNet-Lite0's features, whole image (lower is better)", 3),
    "lpips": ("LPIPS (vgg), whole image (lower is better)", 3),
    "sharpness": ("Laplacian energy inside the hole over the truth's (1 = as sharp)", 2),
}
_SHORT = {
    "rmse": "RMSE", "ms_ssim": "1 - MS-SSIM", "gmsd": "GMSD", "sharpness": "Laplacian", "efficientnet": "EfficientNet",
    "lpips": "LPIPS",
}  # fmt: skip
_DISTANCES = {"efficientnet": "EfficientNet-Lite0", "lpips": "LPIPS", "ms_ssim": "1 - MS-SSIM", "gmsd": "GMSD"}


@dataclass(frozen=True, slots=True)
class PriorRow:
    """One prior.

    Attributes
    ----------
    label, set_name : str
    resolution : int
    rows : list of Row
        Of the grid: linear rival, reconstructions and restorations.
    frechet : dict
        Fréchet distance to all validation images of 'samples', of 'training images' (the floor) and of the 'linear'
        model's samples.
    about : dict
        Plain values.
    """

    label: str
    set_name: str
    resolution: int
    rows: list[Row]
    frechet: dict[str, float]
    about: dict[str, Any]

    def of(self, kind: str, task: str) -> list[Row]:
        """Rows of 'linear', 'w+', 'w', 'mean', 'map' or 'draw'."""
        return [row for row in self.rows if row.task == task and _METHODS.get(row.method) == kind]

    def value(self, kind: str, task: str, measure: str) -> float | None:
        """A figure over all images."""
        return pooled(self.of(kind, task), measure)

    @property
    def images(self) -> list[str]:
        """Names of the held-out images."""
        return list(dict.fromkeys(row.image for row in self.rows))

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(row.task for row in self.rows if row.method == "linear"))

    @property
    def holes(self) -> list[str]:
        return [task for task in self.tasks if task.startswith("mask")]

    @property
    def factors(self) -> list[str]:
        return [task for task in self.tasks if not task.startswith("mask")]

    @property
    def kinds(self) -> list[str]:
        """Kinds of restorations."""
        has = {_METHODS.get(row.method) for row in self.rows}
        return [kind for kind in KINDS if kind in has]

    @property
    def singles(self) -> list[str]:
        """Kinds of single restorations."""
        return [kind for kind in self.kinds if kind != "mean"]

    def mean(self, kind: str, measure: str, tasks: Sequence[str]) -> float:
        """Mean of a figure over tasks."""
        return sum(self.value(kind, task, measure) or 0.0 for task in tasks) / len(tasks)

    def at_or_under(self, tasks: Sequence[str]) -> int:
        """Tasks on which the posterior mean's RMSE, to a tenth of a grey level, is not above the rival's."""
        pairs = [(self.value("mean", task, "rmse"), self.value("linear", task, "rmse")) for task in tasks]
        return sum(a is not None and b is not None and round(a, 1) <= round(b, 1) for a, b in pairs)

    def percent(self, kind: str, measure: str, task: str) -> float | None:
        """Distance of a kind against that of the linear mean: -30 means 30 % nearer to the truth."""
        own, other = self.value(kind, task, measure), self.value("linear", task, measure)
        return None if own is None or not other else 100 * (own / other - 1)

    def mean_percent(self, kind: str, measure: str, tasks: Sequence[str]) -> float | None:
        """Mean of ``percent`` over tasks."""
        found = [self.percent(kind, measure, task) for task in tasks]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known else None

    def as_dict(self) -> dict[str, Any]:
        """Plain values: all figures by kind, task and measure."""
        figures: dict[str, Any] = {}
        for kind in ("linear", *self.kinds, "w+", "w"):
            for task in (*self.tasks, "whole"):
                if self.of(kind, task):
                    figures.setdefault(kind, {})[task] = {
                        name: self.value(kind, task, name) for name in (*_MEASURES, "busy")
                    }
        return {
            "set": self.set_name, "resolution": self.resolution, "images": self.images, "figures": figures,
            "frechet": self.frechet, "about": self.about, "goals": _sentences(self),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class PriorReport:
    """All rows, and how the numbers came about."""

    rows: Sequence[PriorRow]
    about: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as written to results.json."""
        return {"about": self.about, "priors": {row.label: row.as_dict() for row in self.rows}}

    def write(self, folder: Path) -> None:
        """results.json and results.md."""
        (folder / "results.json").write_text(json.dumps(self.as_dict(), indent=1) + "\n")
        (folder / "results.md").write_text(self.markdown())

    def markdown(self) -> str:
        """The summary, then one table for each measure."""
        lines = ["# Priors on validation subjects", ""]
        lines += [f"- {key}: {value}" for key, value in self.about.items()]
        lines += [
            "- The rival is the exact posterior mean of a linear-Gaussian prior fitted to the same training set in the "
            "same frame, with hard data consistency at x2, x4, x8.",
            "- At or under: to a tenth of a grey level. Percentages: distance of one restoration against that of the "
            "linear mean; below 0 is nearer the truth.",
            "- Fréchet: samples against all validation images on simple named features (evaluation/frechet.py); "
            "training images give the floor.",
        ]
        if all(one.lpips is None for row in self.rows for one in row.rows):
            lines.append("- LPIPS is left out: its backbone is not on this machine.")
        lines += ["", *table_lines(*self._summary()), "", "## Goals", ""]
        lines += [f"- {row.label}: {sentence}" for row in self.rows for sentence in _sentences(row)]
        lines += ["", "## Reconstruction of complete images", "", *table_lines(*self._reconstruction())]
        for measure, (heading, decimals) in _MEASURES.items():
            if body := self._by_task(measure, decimals):
                lines += ["", f"## {heading}", "", *table_lines(self._task_heads(), body)]
        lines += ["", "## One restoration against the linear mean, percent", "", *self._percentages()]
        lines += ["", "## Seconds an image", ""]
        lines += table_lines(self._task_heads(), self._seconds())
        return "\n".join(lines) + "\n"

    def show(self, console: Console) -> None:
        """Print the summary, one line a figure."""
        from rich import box
        from rich.table import Table

        heads, body = self._summary()
        table = Table(box=box.SIMPLE, padding=(0, 1), show_header=True)
        table.add_column(heads[0])
        for line in body:
            table.add_column(as_markup(line[0]), justify="right")
        for i, head in enumerate(heads[1:], 1):
            table.add_row(as_markup(head), *(as_markup(line[i]) for line in body))
        console.print(table)
        for row in self.rows:
            for sentence in _sentences(row):
                console.print(plain_text(f"{row.label}: {sentence}"), markup=False)

    def _summary(self) -> tuple[list[str], list[list[str]]]:
        heads = [
            "prior", "resolution", "set", "images", "W+ RMSE", "W RMSE", "W+ 1 - MS-SSIM", "W+ GMSD", "W+ Laplacian",
            "in-painting RMSE, mean of masks: ours / linear", "masks at or under linear",
            "super-resolution RMSE, mean of factors: ours / linear", "factors at or under linear",
            "in-painting, one draw: 1 - MS-SSIM, GMSD", "in-painting, MAP image: 1 - MS-SSIM, GMSD",
            "Fréchet: samples (training images, linear samples)",
        ]  # fmt: skip
        body = []
        for row in self.rows:
            line = [row.label, str(row.resolution), row.set_name, str(len(row.images))]
            line += [f"{row.value(space, 'whole', 'rmse'):.1f}" for space in ("w+", "w")]
            full = [row.value("w+", "whole", measure) for measure in ("ms_ssim", "gmsd", "sharpness")]
            line += [f"{value:.{decimals}f}" for value, decimals in zip(full, (3, 3, 2), strict=True)]
            for tasks in (row.holes, row.factors):
                ours, other = (row.mean(kind, "rmse", tasks) for kind in ("mean", "linear"))
                line += [f"{ours:.1f} / {other:.1f}", f"{row.at_or_under(tasks)} of {len(tasks)}"]
            for kind in ("draw", "map"):
                shares = (
                    [row.mean_percent(kind, m, row.holes) for m in ("ms_ssim", "gmsd")] if kind in row.kinds else []
                )
                line.append(", ".join("" if v is None else f"{v:+.0f} %" for v in shares))
            f = row.frechet
            line.append(f"{f['samples']:.1f} ({f['training images']:.1f}, {f['linear']:.1f})")
            body.append(line)
        return heads, body

    def _reconstruction(self) -> tuple[list[str], list[list[str]]]:
        heads = ["prior", "space", *(measure for measure in _SHORT.values()), "seconds an image"]
        body = []
        for row in self.rows:
            for space in ("w+", "w"):
                values = [(row.value(space, "whole", measure), _MEASURES[measure][1]) for measure in _SHORT]
                figures = ["" if value is None else f"{value:.{decimals}f}" for value, decimals in values]
                body.append([row.label, space.upper(), *figures, f"{row.value(space, 'whole', 'busy'):.1f}"])
        return heads, body

    def _task_heads(self) -> list[str]:
        return ["prior", "what", *(task.title for task in tasks_of_size(128))]

    def _by_task(self, measure: str, decimals: int) -> list[list[str]]:
        """Lines of each prior: its kinds and the rival; empty if nothing was measured."""
        body = []
        for row in self.rows:
            titles = {kind: KINDS[kind] for kind in row.kinds} | {"linear": "linear-Gaussian mean"}
            for kind, title in titles.items():
                values = [row.value(kind, task, measure) for task in row.tasks]
                if any(value is not None for value in values):
                    body.append([row.label, title, *("" if v is None else f"{v:.{decimals}f}" for v in values)])
        return body

    def _seconds(self) -> list[list[str]]:
        return [
            [row.label, "restoration with its draws", *(f"{row.value('mean', task, 'busy'):.1f}" for task in row.tasks)]
            for row in self.rows
        ]

    def _percentages(self) -> list[str]:
        body = []
        for row in self.rows:
            for kind in row.singles:
                for measure, title in _DISTANCES.items():
                    values = [row.percent(kind, measure, task) for task in row.tasks]
                    if any(v is not None for v in values):
                        cells = ["" if v is None else f"{v:+.0f}" for v in values]
                        body.append([row.label, f"{KINDS[kind]}, {title}", *cells])
        return table_lines(self._task_heads(), body)


def _sentences(row: PriorRow) -> list[str]:
    """What was reached of the goals."""
    rmse = row.value("w+", "whole", "rmse")
    reached = "reached" if rmse is not None and rmse <= GOAL_RMSE else "not reached"
    count, holes = row.at_or_under(row.holes), len(row.holes)
    sentences = [
        f"W+ reconstruction RMSE {rmse:.1f}, goal {GOAL_RMSE:g}: {reached}.",
        f"Posterior mean at or under the linear-Gaussian posterior on {count} of {holes} masks: "
        f"{'reached' if count == holes else 'not reached'}.",
    ]
    for kind in row.singles:
        for measure, title in _DISTANCES.items():
            shares = [row.percent(kind, measure, task) for task in row.holes]
            known = [share for share in shares if share is not None]
            if known:
                below = sum(share <= GOAL_PERCEPTUAL for share in known)
                sentences.append(
                    f"{KINDS[kind][0].upper()}{KINDS[kind][1:]}, {title} against the linear mean: "
                    f"{sum(known) / len(known):+.0f} % over the masks, goal {GOAL_PERCEPTUAL:.0f} %: "
                    f"reached on {below} of {len(known)}."
                )
    return sentences
