"""Save widget: the layers of a run to files, each with the record of how it was computed.

Everything here lives in Qt's main thread; the writing is a ``Task``. Its slots are methods of this QWidget, so that Qt
delivers them in the main thread and drops them when the widget is gone.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, FileEdit
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_brgm.errors import BrgmError, Cancelled, InputError
from napari_brgm.plugin.forms import AMBER, form, wrapped
from napari_brgm.plugin.layer_scans import source_of
from napari_brgm.plugin.results import NOTICE
from napari_brgm.plugin.saving import layers_of_run, results, save_run, without_series
from napari_brgm.plugin.status_line import StatusLine
from napari_brgm.plugin.task import Task

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

__all__ = ["SaveWidget"]

_LOG = logging.getLogger(__name__)
_HELP = (
    "Save a result with its uncertainty. Each file says how it was computed, and opens here again as what it is. "
    "Nothing is overwritten."
)
_FORMATS = [("NIfTI with JSON sidecar", "nifti"), ("DICOM, derived series", "dicom")]
_LOOK_MS = 300  # between looks at the task; each may repaint the window


class SaveWidget(StatusLine, QWidget):
    """Saves the image layers of one run; labels are not saved.

    Attributes
    ----------
    viewer : napari.viewer.Viewer
    result, format : ComboBox
        A layer of the run, and 'nifti' or 'dicom'.
    folder : FileEdit
        Where to; that of the source until a person chooses another.
    save_button : QPushButton
    progress : QProgressBar
    status : QLabel
        How things stand, one sentence.
    task : Task or None
        What is under way.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.task: Task | None = None
        self._left_out = 0
        self._suggested: Path | None = None
        self.result = ComboBox(label="Result", choices=lambda _: self._results(), tooltip="All layers of its run")
        self.format = ComboBox(label="Format", choices=_FORMATS, tooltip="DICOM needs a DICOM source")
        self.folder = FileEdit(label="Folder", mode=FileDialogMode.EXISTING_DIRECTORY, tooltip="Where the files go")
        self.save_button, self.progress = QPushButton("Save with provenance"), QProgressBar()
        self.status = wrapped("")
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        layout = QVBoxLayout(self)
        for widget in (
            wrapped(_HELP), form(self.result, self.format, self.folder), self.save_button, self.progress, self.status,
            wrapped(NOTICE, AMBER),
        ):  # fmt: skip
            layout.addWidget(widget)
        layout.addStretch(1)
        self.result.changed.connect(self._suggest_folder)
        self.save_button.clicked.connect(lambda: self.save())
        self.reset_choices()
        self._show_running(False)

    # verbs

    def save(self) -> None:
        """Save the layers of the chosen run; what is wrong is said in one sentence."""
        if self.task is not None:
            return
        try:
            layers, folder = self._chosen()
        except BrgmError as error:
            self._fail(error)
            return
        kind = self.format.value
        self._left_out = len(without_series(layers, kind))
        self._say("saving ...")
        self._show_running(True)
        slots = {"returned": self._on_saved, "errored": self._on_error, "finished": self._on_finish}
        self.task = Task(lambda tell: save_run(layers, folder, kind, tell=tell), slots)
        self._timer.start()

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list; napari connects this when the widget is docked."""
        before = set(map(id, self.result.choices))
        self.result.reset_choices()
        new = [layer for layer in self.result.choices if id(layer) not in before]
        if new:  # what was just computed is what one wants to save
            self.result.value = new[-1]
        self._suggest_folder()

    def event(self, event: QEvent | None) -> bool:
        """Stop what is under way when napari takes the widget out of its window."""
        orphaned = event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None
        if orphaned and getattr(self, "task", None) is not None:
            self.task.cancel()  # type: ignore[union-attr]
        return bool(super().event(event))

    # choices

    def _results(self) -> list[tuple[str, Image]]:
        return [(layer.name, layer) for layer in results(self.viewer)]

    def _chosen(self) -> tuple[list[Image], Path]:
        layer = self.result.value
        if layer is None or layer not in self.viewer.layers:
            raise InputError("there is no result to save; restore a slice first")
        text = str(self.folder.value or "").strip()
        folder = Path(text).expanduser()
        if not text or folder == Path():
            raise InputError("no folder is chosen; choose where the files go")
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder.name} is a file; choose a folder")
        return layers_of_run(self.viewer, layer), folder

    def _suggest_folder(self, event: object = None) -> None:
        """Offer the folder of the source, unless a person has chosen one."""
        if self.folder.value not in (self._suggested, None, Path()) or self.result.value is None:
            return
        source = source_of(self.result.value)
        if source is not None and source.parent.is_dir():
            self._suggested = source.parent
            self.folder.value = self._suggested

    # the task

    def _look(self) -> None:
        if self.task is None or self.task.cancelled:
            return
        what, done, total = self.task.state
        if total:
            self.progress.setRange(0, total)
            self.progress.setValue(done)
        if what:
            self._say(f"{what} ...")

    def _on_saved(self, files: list[Path]) -> None:
        what = "1 layer" if len(files) == 1 else f"{len(files)} layers"
        text = f"saved {what} with provenance in {files[0].parent}: {', '.join(file.name for file in files)}."
        if self._left_out:
            text += " Samples are not part of a DICOM series; save them as NIfTI."
        self._say(text)

    def _on_error(self, error: Exception) -> None:
        if isinstance(error, Cancelled):
            self._say("cancelled; nothing was saved")
        elif isinstance(error, BrgmError):
            self._fail(error)
        else:
            _LOG.error("saving failed", exc_info=error)
            self._fail(f"unexpected {type(error).__name__}; the log has the details")

    def _on_finish(self) -> None:
        self._timer.stop()
        self.task = None
        self._show_running(False)

    # display

    def _show_running(self, running: bool) -> None:
        self.save_button.setEnabled(not running)
        self.progress.setVisible(running)
        self.progress.setRange(0, 0 if running else 1)
