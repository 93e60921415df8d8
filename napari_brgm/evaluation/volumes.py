"""Volumes: holes in stacks and thick slices, on held-out subjects; a table that goes on where it was cut.

Holes: a mask hidden in 1, 3, 5 or 9 neighbouring slices in the middle of a stack, the slices above and below measured;
stacks of every slice, every second and every third one. Rivals: a straight line between the nearest measured slices,
and each slice restored by itself. Thick slices: means of 3, 5 or 8 thin ones, without gaps. Rivals: linear and cubic
interpolation between their middles, each with and without back-projection (Irani and Peleg, "Improving resolution by
image registration", CVGIP 53, 1991), which makes the thick slices of the result the given ones.

RMSE is over the hidden pixels, or all tissue, grey levels. 'jump': rms difference of neighbouring slices in the hole,
of samples over that of what was hidden. 'as it came': share of what was hidden in uncalibrated 90 % intervals;
'calibrated': by factors of one half of the subjects on the other, mean and standard deviation over random halvings.
Factors of all subjects come out as ``calibration.json``, for the prior's card.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_brgm.calibration import TISSUE
from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.restore import restore
from napari_brgm.engine.volume import restore_volume
from napari_brgm.errors import InputError
from napari_brgm.evaluation.held_out import set_of
from napari_brgm.evaluation.masks import MASK_NAMES, brush_strokes, paper_masks
from napari_brgm.evaluation.stack_scores import StackScores, gathered_scores, stack_curves
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.calibration import Calibration
    from napari_brgm.datasets import SliceSet
    from napari_brgm.evaluation.calibration_fit import Gathered
    from napari_brgm.priors.prior import Prior

    GreyStack = npt.NDArray[np.float32]

__all__ = [
    "FACTORS",
    "HIDDEN",
    "MASKS",
    "STEPS",
    "Case",
    "VolumeStudy",
    "cases_of",
    "interpolated",
    "projected",
    "stacks_in",
]

HIDDEN = (1, 3, 5, 9)  # neighbouring slices
STEPS = (1, 2, 3)  # every so many slices was measured
FACTORS = (3, 5, 8)  # thin slices in a thick one
MASKS = len(MASK_NAMES) + 1  # the paper's, and brush strokes
_HALVINGS = 50
_EVERY = 8  # hidden pixels for one that scores are kept of
_ROUNDS = 10  # of back-projection; plain means are met after the first
_SLICE_MM = 1.0  # of the validation sets


@dataclass(frozen=True, slots=True)
class Case:
    """One stack with what was hidden of it.

    Attributes
    ----------
    subject : int
    step : int
        Every so many slices.
    hidden : int
        GreyStack with the hole; 0: thick slices.
    mask : int
        Which of the paper's, or 7: brush strokes; -1: thick slices.
    factor : int
        Thin slices in a thick one; 1: a hole.
    """

    subject: int
    step: int = 1
    hidden: int = 0
    mask: int = -1
    factor: int = 1

    @property
    def key(self) -> str:
        return json.dumps(asdict(self))

    @property
    def group(self) -> str:
        """Of the table."""
        if self.factor > 1:
            return f"thick {self.factor} mm"
        return f"{self.hidden} hidden, every {self.step} mm"


class VolumeStudy:
    """Measures cases and keeps each as soon as it is there.

    Parameters
    ----------
    prior : Prior
    data : Path
        Folder with the validation sets.
    out : Path
        Its file ``volumes.jsonl`` keeps the cases; those that are there are not measured again, if they were with the
        same prior, samples and seed.
    samples : int
        0: no intervals, no jumps, no factors.
    alone : bool
        Whether to restore each slice by itself, too, which takes most of the time.
    """

    def __init__(self, prior: Prior, data: Path, out: Path, samples: int, seed: int, *, alone: bool) -> None:
        self.prior, self.samples, self.seed, self.alone = prior, samples, seed, alone
        self.file, self.scores = out / "volumes.jsonl", out / "scores"
        self.mark = {"prior": prior.info.weights_sha256, "samples": samples, "seed": seed, "alone": alone}
        self.settings = preset(prior.info.preset).but(calibrate=False)
        held = set_of(prior)
        self.source = f"validation slices of {held.name}"
        self.stacks = stacks_in(held.read(data, "validation"))
        self.pixel = held.framing.spacing_mm
        if not self.pixel:
            raise InputError(f"{prior.info.name} has no pixel size, so that its slices are no stack")
        self.rows: dict[str, dict[str, Any]] = {}
        if self.file.is_file():
            for line in self.file.read_text().splitlines():
                row = json.loads(line)
                if row.pop("mark") == self.mark:
                    self.rows[json.dumps(row["case"])] = row

    def run(self, cases: Iterable[Case], tell: Callable[[int, int, str], None] | None = None) -> None:
        """Measure what is not there yet."""
        every = list(cases)
        for number, case in enumerate(every):
            if case.key not in self.rows:
                row, scores = self._thick(case) if case.factor > 1 else self._hole(case)
                row = {"case": asdict(case), **row}
                if scores is not None:
                    self.scores.mkdir(exist_ok=True)
                    scores.save(self._scores_of(case))
                self.rows[case.key] = row
                with self.file.open("a") as file:
                    file.write(json.dumps({"mark": self.mark, **row}) + "\n")
            if tell is not None:
                tell(number + 1, len(every), case.group)

    def _scores_of(self, case: Case) -> Path:
        mark = hashlib.sha256(json.dumps(self.mark).encode()).hexdigest()[:8]
        return self.scores / f"{mark}-{'-'.join(map(str, asdict(case).values()))}.npz"

    def gathered(self) -> Gathered:
        """Scores of all rows, by group and mask."""
        cases = [Case(**row["case"]) for row in self.rows.values()]
        return gathered_scores(
            (f"{case.group}|{case.mask}", case.subject, StackScores.load(self._scores_of(case))) for case in cases
        )

    def calibration(self) -> Calibration:
        """That of the prior's card, with factors of stacks from all rows."""
        known = self.prior.info.calibration
        if known is None:
            raise InputError(f"{self.prior.info.name} has no calibration of single slices to add to; make it first")
        subjects = {row["case"]["subject"] for row in self.rows.values()}
        kept = {key: curve for key, curve in known.curves.items() if key[1] in ("mask", "downsample")}
        return replace(known, curves=kept | stack_curves(self.gathered(), subjects))

    def table(self) -> str:
        """Markdown: a row for each group, then one for each group and mask."""
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in self.rows.values():
            case = Case(**row["case"])
            groups.setdefault((case.group, "all"), []).append(row)
            if case.mask >= 0:
                groups.setdefault((case.group, f"mask {case.mask}"), []).append(row)
        names = list(dict.fromkeys(name for row in self.rows.values() for name in row["squares"]))
        held = self._held() if self.samples else {}
        head = [
            "task", "holes", "subjects", *names, "ours / best line", "ours / alone", "as it came", "calibrated", "jump",
            "seconds",
        ]  # fmt: skip
        lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        for (group, mask), rows in sorted(groups.items(), key=lambda item: (item[0][1] != "all", item[0])):
            rmse = {
                name: (sum(r["squares"][name] for r in rows) / sum(r["count"] for r in rows)) ** 0.5
                for name in names
                if all(name in r["squares"] for r in rows)
            }
            ruled = [value for name, value in rmse.items() if name not in ("ours", "mean", "alone")]
            jumps = [row["jump"] / row["true jump"] for row in rows if "jump" in row]
            cells = [group, mask, str(len({r["case"]["subject"] for r in rows}))]
            cells += [f"{rmse[name]:.2f}" if name in rmse else "" for name in names]
            cells += [
                f"{rmse['ours'] / min(ruled):.3f}",
                f"{rmse['ours'] / rmse['alone']:.3f}" if "alone" in rmse else "",
                *held.get((group, mask), ("", "")),
                f"{np.mean(jumps):.2f}" if jumps else "",
                f"{np.mean([r['seconds'] for r in rows]):.0f}",
            ]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def _held(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Shares of the 90 % intervals as they came, and by halvings, of groups and masks."""
        scores = self.gathered()
        subjects = {row["case"]["subject"] for row in self.rows.values()}
        raw = scores.coverage({}, subjects)
        halves = scores.halvings(_HALVINGS) if len(subjects) > 1 else {}
        weights = scores.counts()
        found: dict[tuple[str, str], tuple[str, str]] = {}
        for group in dict.fromkeys(task.split("|")[0] for task in raw):
            own = [task for task in raw if task.split("|")[0] == group]
            for mask, tasks in [("all", own)] + [(f"mask {task.split('|')[1]}", [task]) for task in own]:
                shares = [weights[task] for task in tasks]
                came = f"{np.average([raw[task] for task in tasks], weights=shares):.1%}"
                there = [task for task in tasks if task in halves]
                calibrated = ""
                if there:
                    mean = np.average([halves[task].mean for task in there], weights=[weights[task] for task in there])
                    calibrated = f"{mean:.1%}"
                    if len(there) == 1:
                        calibrated += f" +- {halves[there[0]].std:.1%}"
                found[group, mask] = came, calibrated
        return found

    def _hole(self, case: Case) -> tuple[dict[str, Any], StackScores | None]:
        stack = self.stacks[case.subject][:: case.step]
        first = (len(stack) - case.hidden) // 2
        hole, last = _mask(case, stack.shape[1]), first + case.hidden
        missing = np.zeros(stack.shape, dtype=bool)
        missing[first:last] = hole
        began = time.process_time()
        spacing = (case.step * _SLICE_MM, self.pixel, self.pixel)
        seen = np.where(missing, 0, stack).astype(np.float32)
        ours = restore_volume(
            seen, Mask(missing), self.prior, spacing=spacing, samples=self.samples, seed=self.seed, device="cpu",
            settings=self.settings,
        )  # fmt: skip
        seconds = time.process_time() - began
        share = ((np.arange(first, last) - first + 1) / (case.hidden + 1))[:, None, None]
        line = stack.copy()
        line[first:last] = (1 - share) * stack[first - 1] + share * stack[last]
        found = {"line": line, "ours": ours.estimate, "mean": ours.mean}
        if self.alone:
            single = stack.copy()
            for i in range(first, last):
                single[i] = restore(
                    seen[i], Mask(hole), self.prior, spacing=spacing[1:], samples=0, seed=self.seed, device="cpu"
                ).estimate
            found["alone"] = single
        squares = {name: float(np.square((x - stack)[missing]).sum()) for name, x in found.items()}
        row: dict[str, Any] = {"squares": squares, "count": int(missing.sum()), "seconds": seconds}
        if not self.samples:
            return row, None
        near = slice(first - 1, last + 1)
        jumps = [_jump(np.asarray(sample)[near], hole) for sample in ours.samples]
        row |= {"jump": float(np.mean(jumps)), "true jump": _jump(stack[near], hole)}
        return row, StackScores.of_hole(missing, spacing[0], ours.mean, ours.std, stack, _EVERY)

    def _thick(self, case: Case) -> tuple[dict[str, Any], StackScores | None]:
        count = len(self.stacks[case.subject]) // case.factor
        stack = self.stacks[case.subject][: count * case.factor]
        thick = stack.reshape(count, case.factor, *stack.shape[1:]).mean(axis=1)
        began = time.process_time()
        ours = restore_volume(
            thick, Downsample((case.factor, 1, 1)), self.prior, samples=self.samples, seed=self.seed, device="cpu",
            spacing=(case.factor * _SLICE_MM, self.pixel, self.pixel), settings=self.settings,
        )  # fmt: skip
        seconds = time.process_time() - began
        found = {"ours": ours.estimate, "mean": ours.mean}
        for order, name in ((1, "linear"), (3, "cubic")):
            plain = interpolated(thick, case.factor, order)
            found |= {name: plain, f"{name}, projected": projected(plain, thick)}
        tissue = stack > TISSUE
        squares = {name: float(np.square((x - stack)[tissue]).sum()) for name, x in found.items()}
        row: dict[str, Any] = {"squares": squares, "count": int(tissue.sum()), "seconds": seconds}
        if not self.samples:
            return row, None
        thickness = case.factor * _SLICE_MM
        return row, StackScores.of_thick(thickness, ours.mean, ours.std, stack, _EVERY * case.factor)


def cases_of(
    tasks: Sequence[str], every: Sequence[int], subjects: Sequence[int], masks: int = MASKS
) -> list[Case]:  # fmt: skip
    """Cases of tasks such as 'hole-3' (slices hidden) and 'thick-5' (mm), one subject after the other.

    With fewer masks than there are, each subject has its own in turn.

    Raises
    ------
    InputError
        There is no such task, or no such step.
    """
    known = {f"hole-{n}": n for n in HIDDEN} | {f"thick-{n}": n for n in FACTORS}
    wrong = [task for task in tasks if task not in known] + [str(step) for step in every if step not in STEPS]
    if wrong:
        steps = ", ".join(map(str, STEPS))
        raise InputError(f"there is no {wrong[0]!r}; tasks are {', '.join(known)}, and every {steps} slices")
    found = []
    for turn, subject in enumerate(subjects):
        own = sorted((turn * masks + i) % MASKS for i in range(min(masks, MASKS)))
        for task in tasks:
            if task.startswith("thick"):
                found.append(Case(subject, factor=known[task]))
            else:
                found += [Case(subject, step, known[task], mask) for step in every for mask in own]
    return found


def _mask(case: Case, size: int) -> npt.NDArray[np.bool_]:
    """(size, size) True where hidden."""
    if case.mask < len(MASK_NAMES):
        found: npt.NDArray[np.bool_] = paper_masks(size)[case.mask]
        return found
    return brush_strokes((size, size), case.subject)


def interpolated(thick: GreyStack, factor: int, order: int) -> GreyStack:
    """Thin slices (n factor, H, W) by splines of this order between the middles of thick ones (n, H, W)."""
    at = (np.arange(len(thick) * factor) + 0.5) / factor - 0.5
    inside = np.clip(at, 0, len(thick) - 1)
    rows = ndimage.map_coordinates(np.eye(len(thick)), np.meshgrid(inside, np.arange(len(thick)), indexing="ij"),
                                   order=order, mode="nearest") if order > 1 else None  # fmt: skip
    if rows is None:
        below = np.minimum(inside.astype(int), max(len(thick) - 2, 0))
        share = (inside - below)[:, None, None]
        above = np.minimum(below + 1, len(thick) - 1)
        return np.asarray((1 - share) * thick[below] + share * thick[above], np.float32)
    return np.asarray(np.einsum("ij,jhw->ihw", rows, thick), np.float32)


def projected(thin: GreyStack, thick: GreyStack) -> GreyStack:
    """Thin slices whose means are the thick ones, none below black."""
    factor = len(thin) // len(thick)
    x = thin.astype(np.float64)
    for _ in range(_ROUNDS):
        x = np.maximum(x, 0)
        means = x.reshape(len(thick), factor, *x.shape[1:]).mean(axis=1)
        x += np.repeat(thick - means, factor, axis=0)
    return np.asarray(x, np.float32)


def stacks_in(slices: SliceSet) -> list[GreyStack]:
    """(Z, R, R) neighbouring slices of each subject, grey levels 0..255."""
    grey = slices.images[:, 0].astype(np.float32) * np.float32(255 / slices.white)
    return [grey[slices.subjects == subject] for subject in np.unique(slices.subjects)]


def _jump(stack: npt.NDArray[Any], hole: npt.NDArray[np.bool_]) -> float:
    return float(np.sqrt(np.square(np.diff(stack, axis=0)[:, hole]).mean()))
