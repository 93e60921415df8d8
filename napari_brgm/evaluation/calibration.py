"""The table of calibrated uncertainty: validation slices, half of the subjects to fit factors on, half to report.

All ten tasks are restored without calibration, each slice kept when it is done, so that a cut run goes on. Scales and
factors are those of the first half of the subjects (even numbers), scales those of the first method; figures are those
of the second half: unscaled, before (scaled alone) and after. Coverage is told the other way round too, the first half
by factors of the second, and over random halvings: how much of a figure is luck. Brush strokes, which nothing was
fitted to, show whether factors of boxes hold for a painted mask.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_brgm import __version__
from napari_brgm.errors import InputError, OutputError
from napari_brgm.evaluation.calibration_measure import HowToCalibrate, MeasuredPrior
from napari_brgm.evaluation.calibration_report import CalibrationReport
from napari_brgm.evaluation.given_prior import as_prior, label_of
from napari_brgm.evaluation.held_out import SETS, HeldOutSet, set_of
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
    loaded = [(label_of(given), as_prior(given)) for given in priors]
    every = [MeasuredPrior(label, prior, data, out, how, set_of(prior, sets), log) for label, prior in loaded]
    log.total = sum(one.restorations for one in every)
    report = CalibrationReport(out, _about(how))
    for one in every:
        curves: dict[Any, Any] = {}
        scales = None
        for method in how.methods:
            found, record, scales = one.measured(method, scales)
            curves |= found.curves
            report.add(one.label, method, record, one.calibration(scales[0], curves))
    log.tell("done")
    return report


class _Log:
    """Counts restorations, and tells what comes next to a bar and a file."""

    def __init__(self, path: Path, progress: Tell | None) -> None:
        self.path, self.progress = path, progress
        self.done = self.total = self.made = 0
        self.spent = 0.0

    def tell(self, text: str) -> None:
        left = f"; about {(self.total - self.done) * self.spent / self.made / 60:.0f} min left" if self.made else ""
        with self.path.open("a") as stream:
            stream.write(f"{time.strftime('%H:%M:%S')} {self.done}/{self.total} {text}{left}\n")
        if self.progress:
            self.progress(self.done, self.total, text)

    def finished(self, seconds: float | None) -> None:
        """One more; ``seconds`` it took, None if it was kept from before."""
        self.done += 1
        if seconds is not None:
            self.made, self.spent = self.made + 1, self.spent + seconds


def _about(how: HowToCalibrate) -> dict[str, Any]:
    return {
        "version": __version__, "images of each set": how.slices, "methods": list(how.methods),
        "samples": how.samples, "seed": how.seed, "device": how.device, "slices of the rival": how.rival_slices,
    }  # fmt: skip
