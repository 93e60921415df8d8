"""The loop of adversarial training: steps, figures, saves and evaluations against the clock."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.errors import BrgmError, Cancelled, OutputError
from napari_brgm.reason import reason_of
from napari_brgm.training.checkpoint import has_checkpoint, save_checkpoint
from napari_brgm.training.gan_figures import GanFigures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_brgm.training.gan_figures import Judge
    from napari_brgm.training.gan_settings import GanSettings
    from napari_brgm.training.gan_state import GanState
    from napari_brgm.training.gan_step import GanStep
    from napari_brgm.training.slice_bank import SliceBank

__all__ = ["CHECKPOINT", "GanLoop"]

CHECKPOINT = "checkpoint"  # folder inside the work folder
_RESERVE = 10.0  # seconds kept for saving before the first save has shown how long it takes
_RARELY = 20  # an evaluation rests for so many times as long as it took


@dataclass(slots=True)
class GanLoop:
    """A state, what is told about it, and until when it is trained.

    Attributes
    ----------
    began : float
        ``time.monotonic()`` at the start of the run.
    seconds : float
        Length of the run.
    """

    state: GanState
    settings: GanSettings
    work: Path
    judge: Judge
    report: Callable[[str], None]
    progress: Callable[[GanFigures], None] | None
    began: float
    seconds: float
    saving: float = 0.0  # seconds of the longest save
    judging: float = 0.0  # seconds of the longest evaluation

    def left(self) -> float:
        """Seconds until saving must begin, the last evaluation after it included."""
        reserve = 1.5 * self.saving + 1 if self.saving else min(_RESERVE, 0.1 * self.seconds)
        return self.seconds - (time.monotonic() - self.began) - reserve - 1.2 * self.judging

    def train(self, step: GanStep, bank: SliceBank) -> dict[str, float]:
        """Train until all images are shown or the time is over; returns the last figures."""
        state, settings = self.state, self.settings
        values: dict[str, float] = {}
        judged: dict[str, float] = {}
        saved = evaluated = -math.inf  # both once at the start: it shows how long they take, and whether they work
        last = time.monotonic()
        shown = state.shown
        try:
            while state.shown < settings.images and self.left() > 0:
                step(bank)
                if state.steps % settings.report_steps:
                    continue
                values = self._values()
                now = time.monotonic()
                rate = (state.shown - shown) / max(now - last, 1e-9)
                if now - saved > settings.save_seconds:
                    self._save()
                    saved = now
                pause = max(settings.evaluate_seconds, _RARELY * self.judging)
                if now - evaluated > pause and self.left() > self.judging:
                    judged = self._evaluate()
                    evaluated = now
                self._tell(values | judged, rate)
                shown, last = state.shown, time.monotonic()
        except Cancelled:  # raised by those who are told, between two steps
            self._save()
            raise
        rate = (state.shown - shown) / max(time.monotonic() - last, 1e-9)
        self._save()
        if self.seconds - (time.monotonic() - self.began) > self.judging:
            judged = self._evaluate()
        values |= judged
        self._tell(values, rate)
        return values

    def _values(self) -> dict[str, float]:
        state = self.state
        values = state.meter.read()
        values["ada"] = float(state.strength.p)
        values["overfitting"] = float(state.strength.overfitting)
        values["path_mean"] = float(state.path.mean)
        if not all(math.isfinite(value) for value in values.values()):
            raise self._unstable()
        return values

    def _save(self) -> None:
        if not self.state.is_finite():
            raise self._unstable()
        start = time.monotonic()
        save_checkpoint(self.work / CHECKPOINT, self.state.saved(self.settings.compact))
        self.saving = max(self.saving, time.monotonic() - start)

    def _evaluate(self) -> dict[str, float]:
        start = time.monotonic()
        try:
            found = self.judge(self.state.average, self.work / "samples.png")
        except (RuntimeError, ValueError, ArithmeticError) as error:  # a judge that fails must not end hours of work
            self.report(f"the samples could not be judged this time: {error}")
            found = {}
        self.judging = max(self.judging, time.monotonic() - start)
        return found

    def _tell(self, values: dict[str, float], rate: float) -> None:
        figures = GanFigures(self.state.shown, self.settings.images, rate, values)
        line = {"shown": figures.shown, "seconds": round(time.monotonic() - self.began, 1), "rate": round(rate, 1)}
        try:
            with (self.work / "log.jsonl").open("a") as log:
                log.write(json.dumps(line | {name: float(f"{value:.6g}") for name, value in values.items()}) + "\n")
        except OSError as error:
            raise OutputError(
                f"the log in {self.work} cannot be written: {reason_of(error)}; make room there"
            ) from error
        self.report(str(figures))
        if self.progress is not None:
            self.progress(figures)

    def _unstable(self) -> BrgmError:
        kept = "the last checkpoint is kept" if has_checkpoint(self.work / CHECKPOINT) else "nothing was kept"
        return BrgmError(
            f"the training became unstable before {self.state.shown:,} images (a loss or weight is no longer a number) "
            f"and {kept}; go on with a lower learning_rate or a larger r1_gamma"
        )
