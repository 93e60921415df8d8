"""The table of calibrated uncertainty: validation slices, half of the subjects to fit factors on, half to report.

The ten tasks of the measuring stick, 95 % missing and strokes are restored without calibration, in cells of the grid,
so that a cut run goes on. Scales and factors are those of the first half of the subjects (even numbers), scales those
of the first method; figures are those of the second half: unscaled, before (scaled alone) and after. Coverage is told
the other way round too, the first half by factors of the second, and over random halvings: how much of a figure is
luck. Brush strokes, which nothing was fitted to, show whether factors of boxes hold for a painted mask.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_brgm import __version__
from napari_brgm.errors import InputError, OutputError
from napari_brgm.evaluation.calibration_measure import HowToCalibrate, MeasuredPrior
from napari_brgm.evaluation.calibration_report import CalibrationReport
from napari_brgm.evaluation.held_out import SETS, HeldOutSet
from napari_brgm.reason import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_brgm.priors.prior import Prior

    Tell = Callable[[int, int, str], None]

__all__ = ["run"]


def run(
    data_dir: str | Path, out_dir: str | Path, priors: Sequence[str | Path | Prior], progress: Tell | None = None,
    *, how: HowToCalibrate | None = None, sets: Sequence[HeldOutSet] = SETS,
) -> CalibrationReport:  # fmt: skip
    """Restore, fit, measure; write results.json, results.md, calibration.json and two plots for each prior and method.

    A line for each restoration goes to progress.log. Call again with the same folder to go on.

    Raises
    ------
    InputError
        A prior fits none of the sets, there are fewer images than asked for, or all are of one half of the subjects.
    ScanError
        An archive is missing or damaged.
    OutputError
        The folder cannot be made.
    """
    data, out, how = Path(data_dir), Path(out_dir), how or HowToCalibrate()
    if not priors:
        raise InputError("there is no prior to calibrate; name one or more")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {out}: {reason_of(error)}; choose another one with --out") from error
    log = _Log(out / "progress.log", progress)
    every = [MeasuredPrior(given, data, out, how, sets) for given in priors]
    log.total = sum(one.restorations for one in every)
    report = CalibrationReport(out, _about(how))
    for one in every:
        curves: dict[Any, Any] = {}
        scales = None
        for method in how.methods:
            log.name = f"{one.label} {method}"
            found, record, scales = one.measured(method, scales, log.tell)
            curves |= found.curves
            report.add(one.label, method, record, one.calibration(scales[0], curves))
    log.write("done")
    return report


class _Log:
    """Tells how far it is, of all parts, to a bar and a file. A part ends when as many are done as it has."""

    def __init__(self, path: Path, progress: Tell | None) -> None:
        self.path, self.progress, self.name = path, progress, ""
        self.done = self.total = self.made = 0
        self.spent = 0.0
        self._last: tuple[int, float] | None = None  # of the part in hand: what was done, and when

    def tell(self, done: int, total: int, text: str) -> None:
        """So many of a part are done, and ``text`` comes next."""
        now = time.perf_counter()
        if self._last is not None:
            self.made, self.spent = self.made + done - self._last[0], self.spent + now - self._last[1]
        self._last = None if done == total else (done, now)
        left = (self.total - self.done - done) * self.spent / self.made / 60 if self.made else None
        self.write(f"{self.name}: {text}" + ("" if left is None else f"; about {left:.0f} min left"), done)
        if done == total:
            self.done += total

    def write(self, text: str, more: int = 0) -> None:
        """Write a line."""
        with self.path.open("a") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {self.done + more}/{self.total} {text}\n")
        if self.progress:
            self.progress(self.done + more, self.total, text)


def _about(how: HowToCalibrate) -> dict[str, Any]:
    return {
        "version": __version__, "images of each set": how.slices, "methods": list(how.methods),
        "samples": how.samples, "seed": how.seed, "device": how.device, "slices of the rival": how.rival_slices,
    }  # fmt: skip
