"""Weights widget: which priors there are, and fetching, importing, verifying and removing them.

Everything here lives in Qt's main thread; what takes long is a ``Task``, one at a time. Its slots are methods of this
QWidget, so that Qt delivers them in the main thread and drops them when the widget is gone.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication

from napari_brgm.errors import BrgmError, Cancelled
from napari_brgm.plugin import weights_dialogs as dialogs
from napari_brgm.plugin.prior_panel import PriorPanel
from napari_brgm.plugin.task import Task
from napari_brgm.plugin.weights_panel import WeightsPanel
from napari_brgm.zoo import fetch as fetching
from napari_brgm.zoo.install import check_removable, import_file, remove
from napari_brgm.zoo.registry import status_of
from napari_brgm.zoo.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.zoo.entry import PriorEntry
    from napari_brgm.zoo.verify import Verdict

    Tell = Callable[[str, int, int | None], None]

__all__ = ["WeightsWidget"]

_LOG = logging.getLogger(__name__)
_LOOK_MS = 150  # between looks at a task


class WeightsWidget(WeightsPanel):
    """The priors and what can be done with them.

    Attributes
    ----------
    task : Task or None
        What is under way.
    """

    def __init__(self) -> None:
        super().__init__()
        self.task: Task | None = None
        self._done: Callable[[Any], None] = lambda result: None
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self.fetch_button.clicked.connect(lambda: self._guarded(self.fetch))
        self.import_button.clicked.connect(lambda: self._guarded(self.import_file))
        self.verify_button.clicked.connect(lambda: self._guarded(self.verify))
        self.remove_button.clicked.connect(lambda: self._guarded(self.remove))
        self.cancel_button.clicked.connect(lambda: self.cancel())
        self._show_running(False)
        self._guarded(self.refresh)

    # verbs

    def fetch(self) -> None:
        """Download the chosen weights after the person agreed, convert and install them."""
        name = self._chosen()
        entry = fetching.fetchable(name)
        if dialogs.agrees_to_fetch(self, entry):
            self._start(f"fetching {name} ...", lambda tell: fetching.fetch(name, agreed=True, progress=tell))

    def import_file(self) -> None:
        """Install a file that the person chooses."""
        path = dialogs.chosen_file(self)
        if path is None:
            return
        dialog = dialogs.ImportDialog(self, path)
        if not dialog.exec():
            return
        name, licence, source, citation = (
            field.text().strip() for field in (dialog.name, dialog.licence, dialog.source, dialog.citation)
        )
        dialog.deleteLater()

        def work(tell: Tell) -> PriorEntry:
            tell("converting", 0, None)
            return import_file(path, name, licence=licence, source=source, citation=citation)

        self._start(f"importing {path.name} ...", work)

    def verify(self) -> None:
        """Hash and load every prior that is here."""
        total = sum(status_of(entry) in ("shipped", "installed", "missing") for entry in self.entries.values())

        def work(tell: Tell) -> list[Verdict]:
            verdicts: list[Verdict] = []
            tell("verifying", 0, total)
            for verdict in verify():
                verdicts.append(verdict)
                tell("verifying", len(verdicts), max(total, len(verdicts)))
            return verdicts

        self._start("verifying ...", work, self._show_verdicts)

    def remove(self) -> None:
        """Remove the chosen prior after the person agreed."""
        name = self._chosen()
        check_removable(name)
        if dialogs.agrees_to_remove(self, name):
            remove(name)
            self._changed()
            self._say(f"removed {name}")

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

    def _start(self, sentence: str, work: Callable[[Tell], Any], done: Callable[[Any], None] | None = None) -> None:
        if self.task is not None:
            return
        self._done = done or self._show_installed
        self._say(sentence)
        self._show_running(True)
        slots = {"returned": self._on_result, "errored": self._on_error, "finished": self._on_finish}
        self.task = Task(work, slots)
        self._timer.start()

    def _look(self) -> None:
        if self.task is None or self.task.cancelled:
            return
        what, done, total = self.task.state
        if what == "fetching":
            of = "" if total is None else f" of {total / 1e6:.1f}"
            self._say(f"fetching, {done / 1e6:.1f}{of} MB")
        elif what == "converting":
            self._say("converting to safetensors; no code in the file runs ...")
        if total:
            self.progress.setRange(0, 1000)
            self.progress.setValue(round(1000 * done / total))

    def _on_result(self, result: Any) -> None:
        self._done(result)

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, Cancelled):
            self._say("cancelled; a download goes on where it was when you fetch it again")
        elif isinstance(error, BrgmError):
            self._fail(error)
        else:
            _LOG.error("the work on weights failed", exc_info=error)
            self._fail(f"unexpected {type(error).__name__}: {error}; the log has the details")

    def _on_finish(self) -> None:
        self._timer.stop()
        self.task = None
        self._show_running(False)

    def _show_installed(self, entry: PriorEntry) -> None:
        self._changed()
        self.table.choose(entry.name)
        self._say(f"installed {entry.name}; it can be chosen as Prior now")

    def _show_verdicts(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            self.table.set_status(verdict.name, "intact" if verdict.intact else "FAILED")
        failed = [verdict for verdict in verdicts if not verdict.intact]
        if failed:
            rest = f" ({len(failed)} of {len(verdicts)} failed)" if len(failed) > 1 else ""
            self._fail(f"{failed[0].name}: {failed[0].sentence}{rest}")
        else:
            self._say(f"verified: {len(verdicts)} on this machine, all intact")

    def _changed(self) -> None:
        """Follow a change of the registry here and in the other widgets, whichever window they are in."""
        self.refresh()
        for widget in QApplication.allWidgets():
            if isinstance(widget, PriorPanel):
                widget.refresh_priors()

    def _guarded(self, verb: Callable[[], None]) -> None:
        """Do what a click asks for; nothing may leave a slot but as a sentence."""
        try:
            verb()
        except BrgmError as error:
            self._fail(error)
        except OSError as error:
            self._fail(f"cannot use {error.filename or 'a file'}: {error.strerror or error}")

    def _chosen(self) -> str:
        name = self.table.chosen()
        if name is None:
            raise BrgmError("choose a prior in the table first")
        return name
