"""Batch widget: the shell's ``batch`` over folders, a job file or the layers of the viewer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, FileEdit, FloatSpinBox, SpinBox
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QPushButton

from napari_brgm.batch.ledger import Ledger
from napari_brgm.batch.row import BatchRow
from napari_brgm.engine.estimate import in_words
from napari_brgm.errors import InputError
from napari_brgm.plugin.background import TaskWidget
from napari_brgm.plugin.batch.layer_job import layers_for, write_layer_job
from napari_brgm.plugin.batch.lines import BatchLines
from napari_brgm.plugin.batch.process import BatchWish, last_batch, progress_of, said_of, started_batch
from napari_brgm.plugin.batch.table import BatchTable
from napari_brgm.plugin.forms import SAFETY, form, show_row, wrapped
from napari_brgm.plugin.layers.results import LAYER_NOTICE
from napari_brgm.plugin.messages import Messages
from napari_brgm.plugin.preferences import preferences
from napari_brgm.plugin.prior_panel import PriorPanel

if TYPE_CHECKING:
    import napari.viewer

    from napari_brgm.plugin.background import Tell
    from napari_brgm.plugin.batch.process import StartedBatch

__all__ = ["BatchWidget"]

_HELP = "Restore many scans, each into a folder of its own. It goes on when napari is closed; Start goes on with it."
_FROM = [("a folder", "folder"), ("a job file", "job"), ("the layers of the viewer", "layers")]
_TASKS = [("In-paint", "inpaint"), ("Super-resolve", "superres"), ("Clean up", "clean")]
_DAMAGES = [("JPEG compression", "jpeg"), ("Noise", "noise")]
_LOOK_MS, _FINE = 700, 1000
_PLUGIN = "napari-brgm"
_NOTE, _SHOWN = "note: ", 5
_NIFTI = (".nii", ".nii.gz")


class BatchWidget(PriorPanel):
    """Starts, follows and stops a batch, and opens its results.

    Attributes
    ----------
    source, task, damage : ComboBox
    scans, masks, job, out : FileEdit
    samples, factor, jpeg_quality : SpinBox
    noise_sigma : FloatSpinBox
    start_button : QPushButton
        ``cancel_button`` stops.
    table : BatchTable
    """

    usual_width = 380
    _CANCELLED = "stopped; nothing was started"
    _batch: StartedBatch | None = None
    _lines: BatchLines | None = None

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        folder, file = FileDialogMode.EXISTING_DIRECTORY, FileDialogMode.EXISTING_FILE
        self.source = ComboBox(label="Scans from", choices=_FROM, tooltip="Where the scans lie")
        self.scans = FileEdit(label="Scans", mode=folder, tooltip="NIfTI, pictures and folders of DICOM slices in it")
        self.masks = FileEdit(
            label="Masks", mode=folder, tooltip="Each has its scan's name, with _mask or without; may be that of scans"
        )
        self.job = FileEdit(
            label="Job file", mode=file, filter="*.csv *.yaml *.yml",
            tooltip="CSV or YAML of rows: scan, mask, name, and options of the task",
        )  # fmt: skip
        self.out = FileEdit(label="Results", mode=folder, tooltip="Folder in which each scan gets one; made if missing")
        self.task_choice = ComboBox(
            label="Task", choices=_TASKS, tooltip="In-paint restores every masked slice, the others the middle slice"
        )
        self.factor = SpinBox(
            label="Factor", value=2, min=2, max=16, tooltip="Result pixels per pixel, along each axis"
        )
        self.damage = ComboBox(label="Damage", choices=_DAMAGES, tooltip="What happened to the scans")
        self.jpeg_quality = SpinBox(label="JPEG quality", value=10, min=1, max=100, tooltip="1 is worst")
        self.noise_sigma = FloatSpinBox(
            label="Noise sigma", value=10.0, min=1e-4, max=1e6, step=None, tooltip="In the scans' units"
        )
        self.samples = SpinBox(
            label="Samples", value=preferences().samples, min=2, max=1024, tooltip="Drawn from the posterior"
        )
        self._watch = QTimer(self)
        self._watch.setInterval(_LOOK_MS)
        self._watch.timeout.connect(self._follow)
        self._lay_out()
        for choice in (self.source, self.task_choice, self.damage):
            choice.changed.connect(self._show_rows)
        self.start_button.clicked.connect(lambda: self._guarded(self.start))
        self.table.wanted.connect(lambda name: self._guarded(lambda: self.open_result(name)))
        self._show_rows()
        self._show_running(False)
        self._find_again()
        self.refresh_priors()

    # verbs

    def start(self) -> None:
        """Start, or go on with what was stopped."""
        if self._batch is not None and self._batch.is_running:
            raise InputError("a batch goes on already; stop it first")
        wish = self._wished()
        if self.source.value != "layers":
            self._launch(wish)
            return
        pairs = layers_for(self.viewer, masked=wish.task == "inpaint")

        def work(tell: Tell) -> BatchWish:
            return replace(wish, job=str(write_layer_job(pairs, Path(wish.out), tell)))

        self._say("writing the layers ...")
        self._start_task(work, "the writing of layers")

    def cancel(self) -> None:
        """Stop; what was finished is kept."""
        if self.task is not None:
            super().cancel()
        elif self._batch is not None:
            self._batch.stop()
            self.cancel_button.setEnabled(False)
            self._say("stopping; what is finished is kept ...")

    def open_result(self, name: str) -> None:
        """Open what a scan became, as layers."""
        if self._batch is None:
            return
        out = Path(self._batch.wish.out)
        entry = Ledger(out).entry(BatchRow(name, Path()))
        file = None if entry is None or not entry.files else out / entry.files[0]
        if file is None or not file.exists():
            raise InputError(f"the result of {name} is gone; press Start to make it again")
        ours = file.name.lower().endswith(_NIFTI) or file.is_dir()
        layers = self.viewer.open(str(file), plugin=_PLUGIN if ours else None)
        if layers:
            self._say(f"opened {name}")

    # the process

    def _wished(self) -> BatchWish:
        out, task, source = _folder(self.out), self.task_choice.value, self.source.value
        if not out:
            raise InputError("choose the folder of the results first")
        scans = masks = job = ""
        if source == "folder":
            scans, masks = _folder(self.scans), _folder(self.masks) if task == "inpaint" else ""
            if not scans or not Path(scans).is_dir():
                raise InputError("choose the folder of the scans first")
            if task == "inpaint" and not masks:
                raise InputError("choose the folder of the masks, which may be that of the scans")
        elif source == "job":
            job = _folder(self.job)
            if not job or not Path(job).is_file():
                raise InputError("choose the job file first")
        return BatchWish(
            out, task, self.chosen_prior(), self.samples.value, scans, masks, job, self.factor.value,
            self.jpeg_quality.value if self.damage.value == "jpeg" else 0, float(self.noise_sigma.value),
        )  # fmt: skip

    def _launch(self, wish: BatchWish) -> None:
        self._show(started_batch(wish))
        self._say("starting ...")

    def _show(self, batch: StartedBatch) -> None:
        self._batch, self._lines = batch, BatchLines(progress_of(Path(batch.wish.out)))
        self.table.empty()
        self._show_running(True)
        self._watch.start()

    def _find_again(self) -> None:
        """Show the batch that was started last, whether it goes on or has ended."""
        batch = last_batch()
        if batch is None or not progress_of(Path(batch.wish.out)).is_file():
            return
        wish = batch.wish
        self.source.value = "job" if wish.job else "folder"
        for field, value in ((self.scans, wish.scans), (self.masks, wish.masks), (self.job, wish.job)):
            if value:
                field.value = Path(value)
        self.out.value, self.task_choice.value = Path(wish.out), wish.task
        self.samples.value, self.factor.value = wish.samples, wish.factor
        self.damage.value = "jpeg" if wish.jpeg_quality else "noise"
        if wish.jpeg_quality:
            self.jpeg_quality.value = wish.jpeg_quality
        elif wish.noise_sigma:
            self.noise_sigma.value = wish.noise_sigma
        self._show(batch)
        self._follow()

    def _offer_priors(self) -> None:
        super()._offer_priors()
        if self._batch is not None and self._batch.wish.prior in self.prior.choices:
            self._set_prior(self._batch.wish.prior)
            self.reason.hide()

    def _follow(self) -> None:
        """Look how far the process is."""
        if self._batch is None or self._lines is None or self.task is not None:
            return
        running = self._batch.is_running  # before its last lines are read
        self.table.show_rows(self._lines.read())
        if running:
            self._show_progress(self._lines)
            return
        self._watch.stop()
        self.table.show_rows([replace(row, state="waiting") for row in self._lines.rows.values() if row.share])
        self._show_running(False)
        self._tell_end(said_of(Path(self._batch.wish.out)), self._lines)

    def _show_progress(self, lines: BatchLines) -> None:
        if not lines.rows:
            return
        self.progress.setRange(0, _FINE)
        self.progress.setValue(round(_FINE * lines.share))
        left = "" if lines.seconds_left is None else f", {in_words(lines.seconds_left)} left"
        if self.cancel_button.isEnabled():
            self._say(f"{lines.ended} of {len(lines.rows)} scans{left}")

    def _tell_end(self, said: list[str], lines: BatchLines) -> None:
        notes = [line.removeprefix(_NOTE) for line in said if line.startswith(_NOTE)]
        more = f" and {len(notes) - _SHOWN} more" if len(notes) > _SHOWN else ""
        notes_said = f". {'. '.join(notes[:_SHOWN])}{more}" if notes else ""
        last = said[-1] if said else ""
        if lines.rows and lines.ended == len(lines.rows):
            failed = sum(row.state == "failed" for row in lines.rows.values())
            told = f"{lines.ended - failed} of {lines.ended} restored"
            self._say(f"{told}{f', {failed} failed: the table says why' if failed else ''}{notes_said}")
        elif not last or last.startswith(("stopped", _NOTE)):
            self._say("stopped; what is finished is kept, and Start goes on")
        else:
            self._fail(last)

    # the task

    def _on_result(self, wish: BatchWish) -> None:
        self._launch(wish)

    def _on_finish(self) -> None:
        super()._on_finish()
        self._show_running(self._watch.isActive())

    def _show_running(self, running: bool) -> None:
        TaskWidget._show_running(self, running)
        self.start_button.setEnabled(not running)

    def _on_orphaned(self) -> None:
        super()._on_orphaned()
        self._watch.stop()  # the process goes on

    def _show_rows(self, event: Any = None) -> None:
        source, task = self.source.value, self.task_choice.value
        show_row(self.scans, source == "folder")
        show_row(self.masks, source == "folder" and task == "inpaint")
        show_row(self.job, source == "job")
        show_row(self.factor, task == "superres")
        show_row(self.damage, task == "clean")
        show_row(self.jpeg_quality, task == "clean" and self.damage.value == "jpeg")
        show_row(self.noise_sigma, task == "clean" and self.damage.value == "noise")

    def _lay_out(self) -> None:
        self.choices.addWidget(wrapped(_HELP))
        self.choices.addWidget(
            form(
                self.source, self.scans, self.masks, self.job, self.task_choice, self.factor, self.damage,
                self.jpeg_quality, self.noise_sigma, self.prior, self.hint, self.samples, self.out,
            )
        )  # fmt: skip
        self.table = BatchTable()
        self.choices.addWidget(self.table, 1)
        self.start_button = QPushButton("Start")
        self.start_button.setToolTip("Restore the scans in a process of its own, or go on with what was stopped")
        self.cancel_button.setText("Stop")
        self.cancel_button.setToolTip("Stop; what is finished is kept")
        self.progress.setFormat("%p %")
        row = QHBoxLayout()
        row.addWidget(self.start_button)
        self.foot.addLayout(row)
        self.foot.addLayout(self._progress_row())
        self.foot.addWidget(Messages(self.status))
        self.foot.addWidget(wrapped(LAYER_NOTICE, SAFETY))


def _folder(field: FileEdit) -> str:
    """What was chosen; '' where nothing was."""
    text = str(field.value or "").strip()
    return "" if text in ("", ".") else str(Path(text).expanduser())
