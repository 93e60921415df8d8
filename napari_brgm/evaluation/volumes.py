"""Volumes: holes in stacks and thick slices, on held-out subjects; a table that goes on where it was cut.

Holes: a mask hidden in 1, 3, 5 or 9 neighbouring slices in the middle of a stack, the slices above and below measured;
stacks of every slice, every second and every third one. Rivals: a straight line between the nearest measured slices,
and each slice restored by itself. Thick slices: means of 3, 5 or 8 thin ones, without gaps. Rivals: linear and cubic
interpolation between their middles, each with and without back-projection (through_splines.py), which makes the thick
slices of the result the given ones.

Factors of all subjects come out as ``calibration.json``, for the prior's card.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.calibration import TISSUE
from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.restore import restore
from napari_brgm.engine.volume import restore_volume
from napari_brgm.errors import InputError
from napari_brgm.evaluation.held_out import set_of
from napari_brgm.evaluation.stack_scores import StackScores, gathered_scores, stack_curves
from napari_brgm.evaluation.through_splines import interpolated, projected
from napari_brgm.evaluation.volume_cases import Case
from napari_brgm.evaluation.volume_table import table
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.calibration import Calibration
    from napari_brgm.evaluation.calibration_fit import Gathered
    from napari_brgm.priors.prior import Prior

__all__ = ["VolumeStudy"]

_EVERY = 8  # hidden pixels for one that scores are kept of
_SLICE_MM = 1.0  # of the validation sets


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
        self.stacks = held.read(data, "validation").stacks()
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
        kept = {key: curve for key, curve in known.curves.items() if key[1] in ("mask", "scattered", "downsample")}
        return replace(known, curves=kept | stack_curves(self.gathered(), subjects))

    def table(self) -> str:
        """Markdown; see volume_table.py."""
        return table(list(self.rows.values()), self.gathered() if self.samples else None)

    def _hole(self, case: Case) -> tuple[dict[str, Any], StackScores | None]:
        stack = self.stacks[case.subject][:: case.step]
        first = (len(stack) - case.hidden) // 2
        hole, last = case.hole(stack.shape[1]), first + case.hidden
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


def _jump(stack: npt.NDArray[Any], hole: npt.NDArray[np.bool_]) -> float:
    return float(np.sqrt(np.square(np.diff(stack, axis=0)[:, hole]).mean()))
