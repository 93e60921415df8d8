"""Work in the background: a thread that reports and can be stopped, and the widget that looks after it.

Functions run in napari's workers here, no generators: a RuntimeError of a generator (running out of GPU memory is one)
vanishes without a signal, and after ``quit()`` a generator stays suspended and keeps its memory.
"""

from __future__ import annotations

import logging
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from napari.qt.threading import create_worker
from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton

import napari_brgm
from napari_brgm.errors import BrgmError, Cancelled, DeviceError
from napari_brgm.plugin.activity import Activity
from napari_brgm.plugin.forms import PROBLEM, wrapped
from napari_brgm.plugin.panel import Panel
from napari_brgm.plugin.torch_loading import load_triton_apart
from napari_brgm.reason import lacks_memory, reason_of
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from superqt.utils import FunctionWorker

    Tell = Callable[[str, int, int | None], None]  # what is done, how much of it, and of how much, where that is known

__all__ = ["BackgroundTask", "TaskWidget"]

_LOG = logging.getLogger(__name__)
_PACKAGE = str(Path(napari_brgm.__file__).parent)
_PATIENCE_MS = 700  # with a cancelled task: a library call in its thread may last many seconds
_LOOK_MS = 300  # between looks at a task; each may repaint the window
_FINE = 1000  # parts of a progress bar


class BackgroundTask:
    """A function that runs in a thread of napari's: heard of by looking at it, ended by its next report once cancelled.

    Parameters
    ----------
    work : callable
        Called in the thread with ``tell``, which keeps what it is given and raises ``Cancelled`` if it is to end.
    what : str
        What a person is told has stopped, where torch ends it: 'the drawing'.
    connect : dict
        Signal names ('returned', 'errored', 'warned', 'finished') to slots of the main thread.
    with_torch : bool
        Whether it may come to torch, which then has to be loaded with care.
    after : BackgroundTask, optional
        One that was let go of; the work begins when that has given its memory back.

    Attributes
    ----------
    report : tuple
        The last report, which a timer of the widget reads; empty before the first and in the end. A queued signal for
        each step of an inference halves its speed, and one for each chunk of a download floods the window.
    """

    def __init__(
        self,
        work: Callable[[Callable[..., None]], Any],
        what: str,
        connect: dict[str, Any],
        *,
        with_torch: bool = True,
        after: BackgroundTask | None = None,
    ) -> None:
        self.report: tuple[Any, ...] = ()
        self._with_torch, self._after = with_torch, after
        self._stop, self._ended = threading.Event(), threading.Event()
        self._slots = connect
        self._worker: FunctionWorker = create_worker(
            self._run, work, what, _connect=connect, _start_thread=False, _ignore_errors=True
        )
        self._worker.start()

    @property
    def cancelled(self) -> bool:
        """Whether it is to end: the person has stopped it, or napari is closing."""
        return self._stop.is_set() or bool(self._worker.abort_requested)

    def cancel(self) -> None:
        """End the work at its next report; 'errored' is emitted with ``Cancelled``."""
        self._stop.set()

    def let_go(self, late: Callable[[Exception], None]) -> None:
        """Hear no more of it but, when it ends with an error, of that; for one that does not end when cancelled."""
        for name, slot in self._slots.items():
            getattr(self._worker, name).disconnect(slot)
        self._worker.errored.connect(late)

    def _run(self, work: Callable[[Callable[..., None]], Any], what: str) -> Any:
        try:
            return self._worked(work, what)
        finally:
            self._ended.set()

    def _worked(self, work: Callable[[Callable[..., None]], Any], what: str) -> Any:
        while self._after is not None and not self._after._ended.wait(_LOOK_MS / 1000):
            self._check()
        self._after = None
        if self._with_torch:
            load_triton_apart()  # loading a prior imports it
        try:
            return work(self._tell)
        except RuntimeError as error:
            if type(error).__name__ == "OutOfMemoryError":
                told = "out of memory on the device; choose the device 'cpu' or close other programs"
                raise DeviceError(told) from error
            if lacks_memory(error):
                raise DeviceError(f"there is not enough memory for {what}; close other programs") from error
            raise BrgmError(f"{what} stopped: {error}") from error
        finally:
            self.report = ()  # what comes of it is not to be overwritten by how far it was
            _free_gpu()

    def _check(self) -> None:
        if self.cancelled:
            raise Cancelled("cancelled")

    def _tell(self, *report: Any) -> None:
        self._check()
        self.report = report


class TaskWidget(Panel):
    """A widget with one task at a time, and a line that says how things stand, one sentence at a time.

    All of it lives in Qt's main thread. The task's slots are methods of this QWidget, so that Qt delivers them in the
    main thread and drops them when the widget is gone.

    Attributes
    ----------
    task : BackgroundTask or None
        What is under way.
    status : QLabel
        The last message: progress, result or error.
    progress : QProgressBar
    cancel_button : QPushButton
    """

    task: BackgroundTask | None = None
    _gone: BackgroundTask | None = None  # that was let go of last
    _activity: Activity | None = None
    _CANCELLED = "cancelled; nothing was changed"
    _LETS_GO: ClassVar[bool] = False  # whether what a cancelled task still does changes nothing, files least of all

    def __init__(self) -> None:
        super().__init__()
        self.status = wrapped("")
        self.status.hide()  # an empty one takes a line
        self.progress, self.cancel_button = QProgressBar(), QPushButton("Cancel")
        self.cancel_button.setToolTip("End what is under way")
        self.cancel_button.clicked.connect(lambda: self.cancel())
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)

    def cancel(self) -> None:
        """Stop what is under way at its next report; if that does not come soon, go on without it where one may."""
        if self.task is not None:
            self.task.cancel()
            self.cancel_button.setEnabled(False)
            self._say("cancelling ...")
            if self._LETS_GO:
                QTimer.singleShot(_PATIENCE_MS, partial(self._let_go, self.task))

    def event(self, event: QEvent | None) -> bool:
        """Stop what is under way when napari takes the widget out of its window."""
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._on_orphaned()
        return bool(super().event(event))

    # for subclasses

    def _start_task(self, work: Callable[[Callable[..., None]], Any], what: str) -> None:
        self._show_running(True)
        slots = {
            "returned": self._on_result,
            "errored": self._on_error,
            "warned": self._on_warning,
            "finished": self._on_finish,
        }
        self._activity = Activity(f"BRGM: {what}", self.cancel)
        self.task = BackgroundTask(work, what, slots, after=self._gone)
        self._gone = None
        self._timer.start()

    def _guarded(self, verb: Callable[[], None]) -> None:
        """Do what a click asks for, unless something is under way; nothing may leave a slot but as a sentence."""
        try:
            if self.task is None:
                verb()
        except BrgmError as error:
            self._fail(error)
        except OSError as error:
            self._fail(f"cannot use {error.filename or 'a file'}: {reason_of(error)}")

    def _progress_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(self.progress, 1)
        row.addWidget(self.cancel_button)
        return row

    def _fail(self, error: BrgmError | str) -> None:
        """Say what is wrong, here and as a notification of napari."""
        self._say(str(error), bad=True)
        show_error(self.status.text())

    def _say(self, sentence: str, *, bad: bool = False) -> None:
        self.status.setText(plain_text(sentence[:1].upper() + sentence[1:]))
        self.status.setStyleSheet(PROBLEM if bad else "")
        self.status.setVisible(bool(sentence))

    def _show_running(self, running: bool) -> None:
        """Let nothing else be started while something is under way."""
        self.cancel_button.setEnabled(running)
        for widget in (self.progress, self.cancel_button):
            widget.setVisible(running)
        self.progress.setRange(0, _FINE)
        self.progress.setValue(0)

    def _on_report(self, report: tuple[Any, ...]) -> None:
        """Show how far the task is; reports are (what, done, total or None) where a subclass knows no others."""
        what, done, total = report
        if total:
            self.progress.setValue(round(_FINE * done / total))
        self._say(f"{what} ...")

    def _on_result(self, result: Any) -> None:
        raise NotImplementedError

    def _on_warning(self, warning: tuple[Any, ...]) -> None:
        message, category, file = warning[:3]
        if issubclass(category, UserWarning) and str(file).startswith(_PACKAGE):
            show_warning(plain_text(message))
        _LOG.debug("%s: %s (%s)", category.__name__, message, file)

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, Cancelled):
            self._say(self._CANCELLED)
        elif isinstance(error, BrgmError):
            self._fail(error)
        else:
            _LOG.error("the work of a widget failed", exc_info=error)
            self._fail(f"unexpected {type(error).__name__}: {error}; the log has the details")

    def _let_go(self, task: BackgroundTask) -> None:
        """Take a cancelled task for ended that still is under way."""
        if self.task is not task:
            return
        task.let_go(self._on_late_end)
        self._gone = task
        self._on_error(Cancelled("cancelled"))
        self._on_finish()

    def _on_late_end(self, error: Exception) -> None:
        """Hear of how a task ended that was let go of."""
        _LOG.debug("a cancelled task ended: %s", error)

    def _share(self) -> float:
        """How much of the task is done, as the bar shows it."""
        return self.progress.value() / max(self.progress.maximum(), 1)

    def _on_finish(self) -> None:
        self._timer.stop()
        if self._activity is not None:
            self._activity.close()
            self._activity = None
        self.task = None
        self._show_running(False)

    def _on_orphaned(self) -> None:
        if self.task is not None:
            self.cancel()

    def _look(self) -> None:
        if self.task is not None and self.task.report and not self.task.cancelled:
            self._on_report(self.task.report)
            if self._activity is not None:
                self._activity.show(self._share())


def _free_gpu() -> None:
    """Give cached GPU memory back to other programs; nothing to do where torch was never loaded."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
