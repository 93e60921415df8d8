"""The loop of the finish recipe: steps, figures, saves and sheets against the clock."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch

from napari_brgm.errors import BrgmError
from napari_brgm.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from napari_brgm.training.finish import FinishSettings, FinishTraining
from napari_brgm.training.finish_sheet import FinishSheet

if TYPE_CHECKING:
    from napari_brgm.priors.finish import Finish
    from napari_brgm.training.finish_inputs import FinishInputs
    from napari_brgm.training.finish_run import FinishRun

__all__ = ["FinishLoop"]

_SAVE_SECONDS, _SHEET_SECONDS, _REPORT_SECONDS = 120.0, 240.0, 20.0


class FinishLoop:
    """Steps, figures, saves and sheets against the clock."""

    def __init__(self, inputs: FinishInputs, settings: FinishSettings, run: FinishRun, began: float) -> None:
        self.run, self.began, self.settings = run, began, settings
        self.training = FinishTraining(inputs, settings)
        self.sheet = FinishSheet(inputs)
        self.saving = 0.0  # seconds of the longest save with its sheet
        folder = run.work / "checkpoint"
        if has_checkpoint(folder):
            self._restore(load_checkpoint(folder))
            run.report(f"going on after {self.training.shown:,} images")

    def train(self) -> bool:
        """Train until all images are shown, which gives True, or the time is over."""
        training, run, total = self.training, self.run, self.settings.images
        told = saved = time.monotonic()
        drawn = -math.inf  # the first sheet comes with the first save
        since, slowest = training.shown, 0.0
        while training.shown < total and self._left() > slowest + 1.5 * self.saving:
            start = time.monotonic()
            training.step()
            if run.progress is not None:
                run.progress(min(training.shown, total), total)
            now = time.monotonic()
            slowest = max(slowest, now - start)
            if now - told > _REPORT_SECONDS:
                self._tell((training.shown - since) / (now - told))
                told, since = now, training.shown
            if now - saved > _SAVE_SECONDS:
                with_sheet = now - drawn > _SHEET_SECONDS
                self._save(with_sheet)
                saved = time.monotonic()
                drawn = saved if with_sheet else drawn
        if training.shown > since:
            self._tell((training.shown - since) / max(time.monotonic() - told, 1e-9))
        self._save(with_sheet=True)
        return training.shown >= total

    def _left(self) -> float:
        return self.run.seconds - (time.monotonic() - self.began)

    def _tell(self, rate: float) -> None:
        training = self.training
        figures = {name: float(value) for name, value in training.figures.items()}
        line = "".join(f"  {name} {value:.3g}" for name, value in figures.items())
        self.run.report(f"{training.shown:,} of {self.settings.images:,} images{line}  {rate:.2g} images/s")

    def _save(self, with_sheet: bool) -> None:
        training, inputs, start = self.training, self.training.inputs, time.monotonic()
        if not all(bool(p.isfinite().all()) for p in [*training.network.parameters(), *training.judges]):
            kept = "the last checkpoint is kept" if has_checkpoint(self.run.work / "checkpoint") else "nothing was kept"
            raise BrgmError(
                f"the training became unstable before {training.shown:,} images and {kept}; "
                "go on with a lower learning rate"
            )
        generators = {name: one.get_state() for name, one in self._generators().items()}
        random = {"device": inputs.device.type, "generators": generators, "torch": torch.get_rng_state()}
        save_checkpoint(self.run.work / "checkpoint", training.state() | {"random": random})
        if with_sheet:
            self.sheet.write(training, self.run.work / "samples.png")
        self.saving = max(self.saving, time.monotonic() - start)

    def _restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; on another kind of device, whose generators differ, with new random numbers."""
        random = state.pop("random")
        self.training.load(state)
        if random["device"] == self.training.device.type:
            for name, one in self._generators().items():
                one.set_state(random["generators"][name])
            torch.set_rng_state(random["torch"])
        else:
            for one in self._generators().values():
                one.manual_seed(self.settings.seed + self.training.shown)
        if self.training.device.type == "cuda":  # noise on the critics' images, which nothing else draws
            torch.cuda.manual_seed(self.settings.seed + self.training.shown)

    def _generators(self) -> dict[str, torch.Generator]:
        inputs = self.training.inputs
        return {"noise": self.training.random, "holes": inputs.holes, "draws": inputs.random}

    def begin_with(self, network: Finish) -> None:
        """Take over the weights of a trained network; the discriminators stay new."""
        state = {name: one for name, one in network.state_dict().items() if name != "place"}
        self.training.network.load_state_dict(state)
        self.training.average.load_state_dict(state)
