"""The table of priors as Markdown, JSON and on the screen, with what was reached of the goals."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.text import as_markup, plain_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from rich.console import Console

    from napari_brgm.evaluation.scores import Scores

__all__ = ["GOAL_PERCEPTUAL", "GOAL_RMSE", "PriorReport", "PriorRow"]

GOAL_RMSE = 8.0  # grey levels, W+ reconstruction
GOAL_PERCEPTUAL = -30.0  # percent, a single restoration against the linear mean
KINDS = {"mean": "posterior mean", "map": "MAP image", "draw": "one draw"}
# measure: heading, decimals
_MEASURES = {
    "rmse": ("RMSE inside the hole; super-resolution: whole image (grey levels of 0..255, lower is better)", 1),
    "ms_ssim": ("1 - MS-SSIM, whole image (lower is better)", 3),
    "gmsd": ("GMSD, whole image (lower is better)", 3),
    "lpips": ("LPIPS (vgg), whole image (lower is better)", 3),
    "laplacian": ("Laplacian energy inside the hole over the truth's (1 = as sharp)", 2),
}
_DISTANCES = {"lpips": "LPIPS", "ms_ssim": "1 - MS-SSIM", "gmsd": "GMSD"}


@dataclass(frozen=True, slots=True)
class PriorRow:
    """One prior.

    Attributes
    ----------
    label, set_name : str
    resolution : int
    images : list of str
        Names of the held-out images.
    reconstruction : dict
        Scores by space, 'w+' and 'w'.
    restored : dict
        Scores by kind ('mean', 'map', 'draw') and task.
    linear : dict
        The rival's scores by task.
    frechet : dict
        Fréchet distance to all validation images of 'samples', of 'training images' (the floor) and of the 'linear'
        model's samples.
    about : dict
        Plain values.
    """

    label: str
    set_name: str
    resolution: int
    images: list[str]
    reconstruction: dict[str, Scores]
    restored: dict[str, dict[str, Scores]]
    linear: dict[str, Scores]
    frechet: dict[str, float]
    about: dict[str, Any]

    @property
    def holes(self) -> list[str]:
        return [task for task in self.linear if task.startswith("mask")]

    @property
    def factors(self) -> list[str]:
        return [task for task in self.linear if not task.startswith("mask")]

    @property
    def singles(self) -> list[str]:
        """Kinds of single restorations."""
        return [kind for kind in self.restored if kind != "mean"]

    def at_or_under(self, tasks: Sequence[str]) -> int:
        """Tasks on which the posterior mean's RMSE, to a tenth of a grey level, is not above the rival's."""
        mean = self.restored["mean"]
        return sum(round(mean[task].rmse, 1) <= round(self.linear[task].rmse, 1) for task in tasks)

    def percent(self, kind: str, measure: str, task: str) -> float | None:
        """Distance of a kind against that of the linear mean: -30 means 30 % nearer to the truth."""
        own, other = getattr(self.restored[kind][task], measure), getattr(self.linear[task], measure)
        return None if own is None or not other else 100 * (own / other - 1)

    def mean_percent(self, kind: str, measure: str, tasks: Sequence[str]) -> float | None:
        """Mean of ``percent`` over tasks."""
        found = [self.percent(kind, measure, task) for task in tasks]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known else None


@dataclass(frozen=True, slots=True)
class PriorReport:
    """All rows, and how the numbers came about."""

    rows: Sequence[PriorRow]
    about: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as written to results.json."""
        return {"about": self.about, "priors": {row.label: asdict(row) | self._goals(row) for row in self.rows}}

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
        if not any(scores.lpips is not None for row in self.rows for scores in row.reconstruction.values()):
            lines.append("- LPIPS is left out: its backbone is not on this machine.")
        lines += ["", *_table(*self._summary()), "", "## Goals", ""]
        lines += [f"- {row.label}: {sentence}" for row in self.rows for sentence in _sentences(row)]
        lines += ["", "## Reconstruction of complete images", "", *_table(*self._reconstruction())]
        for measure, (heading, decimals) in _MEASURES.items():
            if body := self._by_task(lambda s, m=measure: getattr(s, m), decimals):  # type: ignore[misc]
                lines += ["", f"## {heading}", "", *_table(self._task_heads(), body)]
        lines += ["", "## One restoration against the linear mean, percent", "", *self._percentages()]
        lines += ["", "## Seconds an image", ""]
        lines += _table(self._task_heads(), self._seconds())
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
            full, mean = row.reconstruction["w+"], row.restored["mean"]
            line = [row.label, str(row.resolution), row.set_name, str(len(row.images)), f"{full.rmse:.1f}"]
            line += [f"{row.reconstruction['w'].rmse:.1f}", f"{full.ms_ssim:.3f}", f"{full.gmsd:.3f}"]
            line.append(f"{full.laplacian:.2f}")
            for tasks in (row.holes, row.factors):
                ours, other = (sum(found[t].rmse for t in tasks) / len(tasks) for found in (mean, row.linear))
                line += [f"{ours:.1f} / {other:.1f}", f"{row.at_or_under(tasks)} of {len(tasks)}"]
            for kind in ("draw", "map"):
                shares = (
                    [row.mean_percent(kind, m, row.holes) for m in ("ms_ssim", "gmsd")] if kind in row.restored else []
                )
                line.append(", ".join("" if v is None else f"{v:+.0f} %" for v in shares))
            f = row.frechet
            line.append(f"{f['samples']:.1f} ({f['training images']:.1f}, {f['linear']:.1f})")
            body.append(line)
        return heads, body

    def _reconstruction(self) -> tuple[list[str], list[list[str]]]:
        heads = ["prior", "space", "RMSE", "1 - MS-SSIM", "GMSD", "Laplacian", "LPIPS", "seconds an image"]
        body = []
        for row in self.rows:
            for space, s in row.reconstruction.items():
                lpips = "" if s.lpips is None else f"{s.lpips:.3f}"
                figures = [f"{s.rmse:.2f}", f"{s.ms_ssim:.3f}", f"{s.gmsd:.3f}", f"{s.laplacian:.2f}", lpips]
                body.append([row.label, space.upper(), *figures, f"{s.seconds:.1f}"])
        return heads, body

    def _task_heads(self) -> list[str]:
        from napari_brgm.evaluation.tasks import TASKS

        return ["prior", "what", *(task.title for task in TASKS)]

    def _by_task(self, value: Callable[[Scores], float | None], decimals: int) -> list[list[str]]:
        """Lines of each prior: its kinds and the rival; empty if nothing was measured."""
        body = []
        for row in self.rows:
            kinds = [(KINDS[kind], found) for kind, found in row.restored.items()]
            for title, found in [*kinds, ("linear-Gaussian mean", row.linear)]:
                values = [value(found[task]) for task in row.linear]
                if any(v is not None for v in values):
                    body.append([row.label, title, *("" if v is None else f"{v:.{decimals}f}" for v in values)])
        return body

    def _seconds(self) -> list[list[str]]:
        times = [(row.label, [f"{s.seconds:.1f}" for s in row.restored["mean"].values()]) for row in self.rows]
        return [[label, "restoration with its draws", *seconds] for label, seconds in times]

    def _percentages(self) -> list[str]:
        body = []
        for row in self.rows:
            for kind in row.singles:
                for measure, title in _DISTANCES.items():
                    values = [row.percent(kind, measure, task) for task in row.linear]
                    if any(v is not None for v in values):
                        cells = ["" if v is None else f"{v:+.0f}" for v in values]
                        body.append([row.label, f"{KINDS[kind]}, {title}", *cells])
        return _table(self._task_heads(), body)

    def _goals(self, row: PriorRow) -> dict[str, Any]:
        return {"goals": _sentences(row)}


def _sentences(row: PriorRow) -> list[str]:
    """What was reached of the goals."""
    rmse = row.reconstruction["w+"].rmse
    reached = "reached" if rmse <= GOAL_RMSE else "not reached"
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


def _table(heads: list[str], body: list[list[str]]) -> list[str]:
    """Markdown lines."""
    return [
        "| " + " | ".join(heads) + " |",
        "|---" * len(heads) + "|",
        *("| " + " | ".join(line) + " |" for line in body),
    ]
