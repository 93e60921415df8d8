"""Explore widget: samples of a prior, and what lies between two slices.

Everything here lives in Qt's main thread; the drawing is a ``Task``, one at a time. Its slots are methods of this
QWidget, so that Qt delivers them in the main thread and drops them when the widget is gone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QTimer

from napari_brgm.errors import BrgmError, Cancelled, InputError
from napari_brgm.plugin import exploring
from napari_brgm.plugin.drawn import add_interpolation, add_samples
from napari_brgm.plugin.explore_panel import ExplorePanel
from napari_brgm.plugin.layers import shown_slice
from napari_brgm.plugin.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer
    from napari.layers import Image

    from napari_brgm.plugin.exploring import Drawn, Tell

__all__ = ["ExploreWidget"]

_LOG = logging.getLogger(__name__)
_LOOK_MS = 300  # between looks at a task; each may repaint the window


class ExploreWidget(ExplorePanel):
    """Draws from a prior into new layers.

    Attributes
    ----------
    task : Task or None
        What is under way.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.task: Task | None = None
        self._add: Callable[[Drawn], Image] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self.draw_button.clicked.connect(lambda: self._guarded(self.draw))
        self.interpolate_button.clicked.connect(lambda: self._guarded(self.interpolate))
        self.cancel_button.clicked.connect(lambda: self.cancel())
        self.show_running(False)

    # verbs

    def draw(self) -> None:
        """Draw images from the chosen prior; they come as one stack."""
        prior, device = self.chosen_prior(), self.device.value
        count, seed = self.count.value, self.seed.value
        self._start(
            lambda tell: exploring.samples(prior, count, seed, device, tell),
            lambda drawn: add_samples(self.viewer, prior, drawn),
        )

    def interpolate(self) -> None:
        """Draw what lies between the slices on show of two layers; it comes as one stack over the first."""
        prior, device, steps = self.chosen_prior(), self.device.value, self.steps.value
        first, second = self.first.value, self.second.value
        if first is None or second is None or first is second:
            raise InputError("an interpolation goes from one image to another; choose two different image layers")
        one, other = (shown_slice(layer, self.viewer.dims) for layer in (first, second))
        self._start(
            lambda tell: exploring.between(prior, one, other, steps, device, tell),
            lambda drawn: add_interpolation(self.viewer, first, second, (one, other), drawn),
        )

    def cancel(self) -> None:
        """Stop what is under way at its next report."""
        if self.task is not None:
            self.task.cancel()
            self.cancel_button.setEnabled(False)
            self._say("cancelling ...")

    def event(self, event: QEvent | None) -> bool:
        """Stop what is under way when napari takes the widget out of its window."""
        orphaned = event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None
        if orphaned and getattr(self, "task", None):
            self.cancel()
        return bool(super().event(event))

    # tasks

    def _start(self, work: Callable[[Tell], Drawn], add: Callable[[Drawn], Image]) -> None:
        if self.task is not None:
            return
        self._add = add
        self._say("loading the prior ...")
        self.show_running(True)
        slots = {"returned": self._on_result, "errored": self._on_error, "finished": self._on_finish}
        self.task = Task(work, slots)
        self._timer.start()

    def _look(self) -> None:
        if self.task is None or self.task.cancelled:
            return
        what, done, total = self.task.state
        if total:
            self.progress.setRange(0, total)
            self.progress.setValue(done)
            self._say(f"{what}, step {done} of {total}")
        elif what:
            self._say(f"{what} ...")

    def _on_result(self, drawn: Drawn) -> None:
        if self._add is None or self.task is None or self.task.cancelled:
            return self._on_error(Cancelled("cancelled"))
        layer = self._add(drawn)
        note = f" {drawn.note[:1].upper()}{drawn.note[1:]}." if drawn.note else ""
        self._say(f"added '{layer.name}'; its slider goes through {len(drawn.images)} images.{note}")

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, Cancelled):
            self._say("cancelled; nothing was changed")
        elif isinstance(error, BrgmError):
            self._fail(error)
        else:
            _LOG.error("exploring the prior failed", exc_info=error)
            self._fail(f"unexpected {type(error).__name__}: {error}; the log has the details")

    def _on_finish(self) -> None:
        self._timer.stop()
        self.task = self._add = None
        self.show_running(False)

    def _guarded(self, verb: Callable[[], None]) -> None:
        """Do what a click asks for; nothing may leave a slot but as a sentence."""
        try:
            verb()
        except BrgmError as error:
            self._fail(error)
