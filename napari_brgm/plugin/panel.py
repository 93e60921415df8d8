"""What the widgets have in common: Run and Cancel, progress, previews, results, and one run at a time.

Everything here lives in Qt's main thread. The worker is heard through signals whose slots are methods of this QWidget,
so that Qt delivers them in the main thread and drops them when the widget is gone.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari.utils.notifications import show_warning
from qtpy.QtCore import QEvent, QEventLoop
from qtpy.QtWidgets import QApplication

import napari_brgm
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.plugin import worker
from napari_brgm.plugin.before_run import advice_for, turned_about
from napari_brgm.plugin.choices import ChoicesPanel
from napari_brgm.plugin.estimate import Work, estimated_seconds, in_words, learn
from napari_brgm.plugin.job import Job
from napari_brgm.plugin.layers import shown_slice
from napari_brgm.plugin.preferences import preferences
from napari_brgm.plugin.preview import Preview
from napari_brgm.plugin.results import Extras, add_results

if TYPE_CHECKING:
    import napari.viewer
    import numpy as np
    import numpy.typing as npt
    from napari.layers import Image

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.engine.volume import SliceStep
    from napari_brgm.plugin.job import Piece
    from napari_brgm.plugin.layers import ShownSlice
    from napari_brgm.plugin.worker import RestorationWorker
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["RestorationPanel"]

_LOG = logging.getLogger(__name__)
_PACKAGE = str(Path(napari_brgm.__file__).parent)
_TELL_SECONDS = 2.0  # a repaint draws the whole window again: one a step, or a busy bar, halved the speed on 2 cores


@dataclass(slots=True, eq=False)
class _Run:
    """The run in progress: its source, what it will show, and when it was last told of."""

    image: Image
    planes: list[ShownSlice]
    extras: Extras
    work: Work | None
    entry: PriorEntry | None  # of the prior that it uses, whatever is chosen since
    preview: Preview | None
    began: float
    told: float = -math.inf
    estimate: npt.NDArray[np.float32] | None = None  # told, not shown yet


class RestorationPanel(ChoicesPanel):
    """Base of the widgets; a subclass names its task, adds its inputs and says what happened to which slices.

    Attributes
    ----------
    worker : RestorationWorker or None
        The run in progress.
    """

    task: ClassVar[str]

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.worker: RestorationWorker | None = None
        self._run: _Run | None = None
        self.run_button.clicked.connect(lambda: self.run())
        self.run_all_button.clicked.connect(lambda: self.run(everywhere=True))
        self.cancel_button.clicked.connect(lambda: self.cancel())
        self.inspect_button.clicked.connect(lambda: self._open("Uncertainty"))
        self.save_button.clicked.connect(lambda: self._open("Save with provenance"))
        self._show_running(False)

    def pieces(self, image: Image, shown: ShownSlice, everywhere: bool) -> list[tuple[ShownSlice, Piece]]:
        """Say what happened to the slice on show, or to all slices that are meant.

        Raises
        ------
        BrgmError
            The inputs cannot be used.
        """
        raise NotImplementedError

    # one run

    def run(self, *, everywhere: bool = False) -> None:
        """Restore the slice on show, or all that are meant; what is wrong is said in one sentence."""
        if self.worker is not None:
            return
        try:
            image = self.chosen_image()
            parts = self.pieces(image, shown_slice(image, self.viewer.dims), everywhere)
            job = Job(tuple(piece for _, piece in parts), **self.common())
        except BrgmError as error:
            self._fail(error)
            return
        planes = [shown for shown, _ in parts]
        preview = Preview(self.viewer, image, parts) if preferences().preview else None
        work, entry = self.work(len(planes)), self._entries.get(job.prior)
        self._run = _Run(image, planes, self.extras(), work, entry, preview, time.monotonic())
        self._show_advice(advice_for(image, parts, entry, job.prior))
        self._show_running(True, len(planes))
        takes = "" if work is None else f", {in_words(estimated_seconds(work))}"
        slices = "one slice" if len(planes) == 1 else f"{len(planes)} slices"
        self._say(f"{slices}{takes}; loading the prior ...")
        # paint now: the tag's letters, drawn for the first time, would hold up the window in the run
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
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

    def _on_step(self, told: SliceStep) -> None:
        run = self._run
        if run is None or self.worker is None or self.worker.abort_requested:
            return
        step = told.step
        run.estimate = run.estimate if step.preview is None else step.preview
        now = time.monotonic()
        last = step.iteration == step.total
        if now - run.told < _TELL_SECONDS and not last:
            return
        run.told = now
        self.slice_progress.setValue(told.done // step.total)
        self.progress.setRange(0, step.total)
        self.progress.setValue(step.iteration)
        left = (now - run.began) / told.done * (told.count * step.total - told.done)
        rest = "drawing samples ..." if told.done == told.count * step.total else f"{in_words(left)} left"
        loss = f"loss {step.loss:.4g}, " if math.isfinite(step.loss) else ""  # samples have none
        where = "" if told.count == 1 else f"slice {told.number} of {told.count}, "
        self._say(f"{where}{step.phase.upper()} step {step.iteration} of {step.total}, {loss}{rest}")
        if run.estimate is not None and run.preview is not None:
            run.preview.show(told.number - 1, run.estimate)
            run.estimate = None

    def _on_result(self, results: list[Restoration | InputError]) -> None:
        self._clear_preview()
        run = self._run
        if run is None:
            return
        done = [(s, r) for s, r in zip(run.planes, results, strict=True) if not isinstance(r, InputError)]
        failed = [r for r in results if isinstance(r, InputError)]
        scan = run.image.metadata.get("scan")
        units = str(scan.get("units", "a.u.")) if isinstance(scan, dict) else "a.u."
        layers = add_results(self.viewer, run.image, done, self.task, run.extras, units)
        seconds = time.monotonic() - run.began
        if run.work is not None:
            learn(run.work, seconds)
            self._on_cost()
        self.alignment.show_used(done[0][1].provenance.get("alignment"))
        notes = [note for _, result in done for note in result.provenance.get("notes", ())]
        notes += turned_about(done[0][1].provenance.get("alignment"), run.entry)
        if failed:
            notes.insert(0, f"{len(failed)} of {len(results)} slices were left as they are: {failed[0]}")
        self._show_advice(list(dict.fromkeys(notes)), after=True)
        for button in (self.inspect_button, self.save_button):
            button.show()
        where = "the tint over it" if layers[-1].visible else "the hidden layer over it"
        self._say(f"added '{layers[0].name}' after {seconds:.0f} s; its variance is {where}")

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
        self._run = None
        self._show_running(False)

    # display

    def _open(self, widget: str) -> None:
        """Open another widget of ours beside this one; napari brings it up where it is open."""
        self.viewer.window.add_plugin_dock_widget("napari-brgm", widget, tabify=True)

    def _show_advice(self, sentences: list[str], *, after: bool = False) -> None:
        """Show what speaks against a run; what a finished run found is added to what was said before it."""
        text = "\n".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences)
        before = self.advice.text() if after else ""
        self.advice.setText("\n".join(filter(None, (before, text))))

    def _clear_preview(self) -> None:
        if self._run is not None and self._run.preview is not None:
            self._run.preview.remove()
            self._run.preview = None

    def _show_running(self, running: bool, slices: int = 1) -> None:
        self.run_button.setEnabled(not running)
        self.run_all_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.progress.setVisible(running)
        self.slice_progress.setVisible(running and slices > 1)
        self.slice_progress.setRange(0, slices)
        self.slice_progress.setValue(0)
        self.progress.setRange(0, 1)
        self.progress.setValue(0)
