"""The run in progress, and what is said of its steps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_brgm.engine.estimate import in_words
from napari_brgm.engine.previews import Previews
from napari_brgm.errors import InputError
from napari_brgm.plugin.restore.matching import turned_about
from napari_brgm.plugin.restore.run_order import WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

    from napari_brgm.engine.estimate import Work
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference.step import Step
    from napari_brgm.plugin.layers.results import Extras
    from napari_brgm.plugin.layers.shown import ShownSlice
    from napari_brgm.plugin.restore.preview import Part, Preview
    from napari_brgm.plugin.restore.run_order import RunOrder
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["Ongoing"]


@dataclass(slots=True, eq=False)
class Ongoing:
    """The run in progress: its source, what it will show, and when it was last told of."""

    image: Image
    parts: list[Part]
    extras: Extras
    entry: PriorEntry  # of the prior
    work: Work
    order: RunOrder
    shape: tuple[int, ...]  # of the image's data
    warnings: list[str]  # before it
    preview: Preview | None = None
    began: float = field(default_factory=time.monotonic)
    first: tuple[float, float] | None = None  # when the first step was told of, and what was done by then
    done: float = 0.0  # share that was told last
    told: float = -math.inf
    last: tuple[int, int] = (-1, -1)  # slice and iteration that were told last
    previews: Previews = field(default_factory=Previews)  # written by the worker's thread

    def in_words(self, step: Step, now: float) -> str:
        """What a step is, and how long the rest will take, by the time since the first that was told of."""
        self.first = self.first or (now, step.done)
        if not step.iteration:
            waits = step.phase == WAITING
            what = "sent; waiting for a worker ..." if waits else "fitting the slice to the prior ..."
            return _which(step) + what
        loss = f", loss {step.loss:.4g}" if math.isfinite(step.loss) else ""  # samples have none
        rest = _time_left(now - self.first[0], self.first[1], step.done)
        return f"{_which(step)}{step.phase.upper()} step {step.iteration} of {step.total}{loss}{rest}"

    def notes(self, told: Sequence[tuple[ShownSlice, Restoration | InputError]]) -> list[str]:
        """What the person is to know of its results, each once: slices, and what became of them, one at least."""
        done = [(shown, result) for shown, result in told if not isinstance(result, InputError)]
        failed = [result for _, result in told if isinstance(result, InputError)]
        records = [result.provenance for _, result in done]
        found = [note for record in records for note in record.get("notes", ())]
        found += turned_about(self.image, done[0][0], records, self.entry)
        if failed:
            found.insert(0, f"{len(failed)} of {len(told)} slices were left as they are: {failed[0]}")
        return list(dict.fromkeys(found))


def _which(step: Step) -> str:
    """Which slices a step is of, where there are several."""
    if step.slices == 1:
        return ""
    if step.together == 1:
        return f"slice {step.slice + 1} of {step.slices}, "
    return f"{step.together} slices together, "


def _time_left(seconds: float, before: float, done: float) -> str:
    """What is left, by the time that the share from ``before`` to ``done`` took: loading the prior is no step."""
    if done >= 1:
        return ", finishing ..."
    return f", {in_words(seconds * (1 - done) / (done - before))} left" if done > before else ""
