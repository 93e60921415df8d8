"""What the widgets have in common: Run and Cancel, progress, previews, results, and one run at a time.

Everything here lives in Qt's main thread. The worker is heard through signals whose slots are methods of this QWidget,
so that Qt delivers them in the main thread and drops them when the widget is gone.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent

import napari_brgm
from napari_brgm.errors import BrgmError
from napari_brgm.plugin import worker
from napari_brgm.plugin.choices import ChoicesPanel
from napari_brgm.plugin.layers import shown_slice
from napari_brgm.plugin.preview import Preview
from napari_brgm.plugin.results import Extras, add_results

if TYPE_CHECKING:
    import napari.viewer
    import numpy as np
    import numpy.typing as npt
    from napari.layers import Image

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference.step import Step
    from napari_brgm.plugin.layers import ShownSlice
    from napari_brgm.plugin.worker import Job, RestorationWorker

__all__ = ["RestorationPanel"]

_LOG = logging.getLogger(__name__)
_PACKAGE = str(Path(napari_brgm.__file__).parent)
_TELL_SECONDS = 1.0  # a repaint draws the whole window again: one a step, or a busy bar, halved the speed on 2 cores


class RestorationPanel(ChoicesPanel):
    """Base of the widgets; a subclass names its task, adds its inputs and makes the job.

    Attributes
    ----------
    worker : RestorationWorker or None
        The run in progress.
    """

    task: ClassVar[str]

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.worker: RestorationWorker | None = None
        self._preview: Preview | None = None
        self._source: tuple[Image, ShownSlice, Extras] | None = None
        self._estimate: npt.NDArray[np.float32] | None = None  # told, not shown yet
        self._began = self._told = 0.0
        self.run_button.clicked.connect(lambda: self.run())
        self.cancel_button.clicked.connect(lambda: self.cancel())
        self._show_running(False)

    def job(self, image: Image, shown: ShownSlice) -> Job:
        """Make the job for this slice.

        Raises
        ------
        BrgmError
            The inputs cannot be used.
        """
        raise NotImplementedError

    # one run

    def run(self) -> None:
        """Restore the slice on show; what is wrong is said in one sentence."""
        if self.worker is not None:
            return
        try:
            image = self.chosen_image()
            shown = shown_slice(image, self.viewer.dims)
            job = self.job(image, shown)
        except BrgmError as error:
            self._fail(error)
            return
        self._source = (image, shown, Extras(std=self.with_std.value, samples=self.with_samples.value))
        self._preview = Preview(self.viewer, image, shown)
        self._began, self._told, self._estimate = time.monotonic(), -math.inf, None
        self._show_running(True)
        self._say("loading the prior ...")
        slots = {
            "yielded": self._on_step,
            "returned": self._on_result,
            "errored": self._on_error,
            "warned": self._on_warning,
            "aborted": self._on_abort,
            "finished": self._on_finish,
        }
        self.worker = worker.start(job, slots)

    def cancel(self) -> None:
        """Stop the run in progress within one step."""
        if self.worker is not None:
            self.worker.quit()
            self.cancel_button.setEnabled(False)
            self._say("cancelling ...")

    def event(self, event: QEvent | None) -> bool:
        """Stop the run when napari takes the widget out of its window."""
        orphaned = event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None
        if orphaned and getattr(self, "worker", None):
            self.cancel()
            self._clear_preview()
        return bool(super().event(event))

    # slots

    def _on_step(self, step: Step) -> None:
        if self.worker is None or self.worker.abort_requested:
            return
        self._estimate = self._estimate if step.preview is None else step.preview
        now = time.monotonic()
        if now - self._told < _TELL_SECONDS and step.iteration < step.total:
            return
        self._told = now
        self.progress.setRange(0, step.total)
        self.progress.setValue(step.iteration)
        left = (now - self._began) / step.iteration * (step.total - step.iteration)
        rest = f"about {left:.0f} s left" if step.iteration < step.total else "drawing samples ..."
        loss = f"loss {step.loss:.4g}, " if math.isfinite(step.loss) else ""  # samples have none
        self._say(f"{step.phase.upper()} step {step.iteration} of {step.total}, {loss}{rest}")
        if self._estimate is not None and self._preview is not None:
            self._preview.show(self._estimate)
            self._estimate = None

    def _on_result(self, result: Restoration) -> None:
        self._clear_preview()
        if self._source is None:
            return
        image, shown, extras = self._source
        layers = add_results(self.viewer, image, shown, result, self.task, extras)
        seconds = time.monotonic() - self._began
        notes = [f"{note[:1].upper()}{note[1:]}." for note in result.provenance.get("notes", ())]
        where = "the tint over it" if layers[-1].visible else "the hidden layer over it"
        self._say(" ".join([f"added '{layers[0].name}' after {seconds:.0f} s; its variance is {where}.", *notes]))

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, BrgmError):
            self._fail(error)
        else:
            _LOG.error("the restoration failed", exc_info=error)
            self._fail(f"unexpected {type(error).__name__}: {error}; the log has the details")

    def _on_warning(self, warning: tuple[Any, ...]) -> None:
        message, category, file = warning[:3]
        if issubclass(category, UserWarning) and str(file).startswith(_PACKAGE):
            show_warning(str(message))
        else:
            _LOG.debug("%s: %s (%s)", category.__name__, message, file)

    def _on_abort(self) -> None:
        self._say("cancelled; nothing was changed")

    def _on_finish(self) -> None:
        self._clear_preview()
        self.worker = None
        self._source = None
        self._show_running(False)

    # display

    def _clear_preview(self) -> None:
        if self._preview is not None:
            self._preview.remove()
            self._preview = None

    def _show_running(self, running: bool) -> None:
        self.run_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.progress.setVisible(running)
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
