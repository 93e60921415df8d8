"""Train widget: survey of a folder of scans, a training in a process of its own, and the new prior installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit, LineEdit
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton

from napari_brgm.errors import InputError
from napari_brgm.plugin.background import TaskWidget
from napari_brgm.plugin.forms import SAFETY, form, wrapped
from napari_brgm.plugin.messages import Messages
from napari_brgm.plugin.prior_panel import PriorPanel
from napari_brgm.plugin.train.picture import FilePicture
from napari_brgm.plugin.train.process import TrainingWish, last_wish, said_in, started, stop
from napari_brgm.training.progress_file import is_running, read_progress
from napari_brgm.zoo.install import check_free, import_file

if TYPE_CHECKING:
    import subprocess

    from napari_brgm.plugin.background import Tell
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["TrainWidget"]

_HELP = (
    "Train a prior from a folder of DICOM series, NIfTI volumes or images: one folder for each subject. From 40 "
    "subjects on some are held out, and the intervals are calibrated on those. It goes on when napari is closed."
)
_NOTICE = "Research only. What a prior draws is synthetic; it is not for diagnosis."
_LOOK_MS = 1000


class TrainWidget(TaskWidget):
    """Survey, training and installation of a prior of one's own.

    Attributes
    ----------
    data, out : FileEdit
        Folder of scans; weights file to write.
    recipe, resolution : ComboBox
    modality : LineEdit
    mirror : CheckBox
    survey_button, train_button, install_button : QPushButton
    contact_sheet, samples : FilePicture
    """

    _CANCELLED = "cancelled; nothing was installed"

    def __init__(self) -> None:
        super().__init__()
        self._process: subprocess.Popen[bytes] | None = None  # where this window started it
        self._wish: TrainingWish | None = None
        self._surveying = False
        folder, file = FileDialogMode.EXISTING_DIRECTORY, FileDialogMode.OPTIONAL_FILE
        self.data = FileEdit(label="Scans", mode=folder, tooltip="Folder with one folder for each subject")
        where = "Where the prior goes: NAME.safetensors"
        self.out = FileEdit(label="Weights file", mode=file, filter="*.safetensors", tooltip=where)
        self.recipe = ComboBox(
            label="Recipe", choices=["linear", "lcm"], value="linear",
            tooltip="linear: exact, half an hour. lcm: sharper samples, an hour and more",
        )  # fmt: skip
        self.resolution = ComboBox(
            label="Frame", choices=[64, 128, 256], value=128, tooltip="Side of the prior's images in pixels"
        )
        self.modality = LineEdit(label="Modality", tooltip="Such as MR T1, CT or CR; empty: what DICOM headers say")
        self.mirror = CheckBox(text="Left and right alike", tooltip="Reflections count as slices: brains, not chests")
        self._lay_out()
        self.survey_button.clicked.connect(lambda: self._guarded(self.survey))
        self.train_button.clicked.connect(lambda: self._guarded(self.train))
        self.install_button.clicked.connect(lambda: self._guarded(self.install))
        self._watch = QTimer(self)
        self._watch.setInterval(_LOOK_MS)
        self._watch.timeout.connect(self._follow)
        self._show_running(False)
        self._find_again()

    # verbs

    def survey(self) -> None:
        """Say what the folder holds and show its contact sheet; nothing is trained."""
        self._launch(survey=True)

    def train(self) -> None:
        """Train, or go on with a training that was stopped."""
        self._launch(survey=False)

    def install(self) -> None:
        """Install the prior that was trained, so that it can be chosen."""
        if self._wish is None:
            raise InputError("nothing was trained yet; press Train first")
        path = Path(self._wish.out)
        name = path.stem.lower()
        check_free(name)

        def work(tell: Tell) -> PriorEntry:
            tell("installing", 0, None)
            return import_file(path, name)

        self._start_task(work, "the installation")

    def cancel(self) -> None:
        """Stop the training, which keeps everything, or what else is under way."""
        if self.task is not None:
            super().cancel()
        elif self._process is not None and self._surveying:
            self._process.terminate()
        elif self._wish is not None:
            stop(self._wish.work)
            self.cancel_button.setEnabled(False)
            self._say("stopping; Train goes on later ...")

    # the process

    def _launch(self, *, survey: bool) -> None:
        self._wish, self._surveying = self._wished(), survey
        if is_running(self._wish.work):
            raise InputError("a training of this weights file goes on already; cancel it first")
        self._process = started(self._wish, survey=survey)
        self._say("looking at the scans ..." if survey else "starting ...")
        self._show_running(True)
        self._watch.start()

    def _wished(self) -> TrainingWish:
        data, out = str(self.data.value), str(self.out.value)
        if not Path(data).exists() or data in ("", "."):
            raise InputError("choose the folder of scans first")
        if not out.endswith(".safetensors"):
            raise InputError("choose a weights file whose name ends in .safetensors")
        return TrainingWish(
            data, out, self.recipe.value, self.modality.value.strip(), self.resolution.value, self.mirror.value
        )

    def _find_again(self) -> None:
        """Show the training that was started last, if it still goes on or has ended."""
        wish = last_wish()
        progress = None if wish is None else read_progress(wish.work)
        if wish is None or progress is None:
            return
        self._wish = wish
        self.data.value, self.out.value = Path(wish.data), Path(wish.out)
        self.recipe.value, self.resolution.value = wish.recipe, wish.resolution
        self.modality.value, self.mirror.value = wish.modality, wish.mirror
        if is_running(wish.work):
            self._show_running(True)
            self._watch.start()
        self._follow()

    def _follow(self) -> None:
        """Look how far the process is."""
        if self._wish is None or self.task is not None:
            return
        work = self._wish.work
        self.contact_sheet.show_file(work / "contact-sheet.png")
        self.samples.show_file(work / "samples.png")
        if (self._process is not None and self._process.poll() is None) or (self._process is None and is_running(work)):
            if not self._surveying:
                self._show_progress(read_progress(work))
            return
        self._watch.stop()
        self._show_running(False)
        code = None if self._process is None else self._process.returncode
        self._process = None
        self._tell_end(work, code)

    def _show_progress(self, progress: dict[str, Any] | None) -> None:
        if progress is None or progress["state"] != "running":
            return
        total = progress["total"]
        self.progress.setRange(0, int(total))  # 0: it moves to and fro
        self.progress.setValue(int(progress["done"]))
        text = str(progress.get("text", ""))
        self._say(f"{progress['stage']}: {text}" if text else str(progress["stage"]))

    def _tell_end(self, work: Path, code: int | None) -> None:
        said = said_in(work)
        if self._surveying:
            self._surveying = False
            if code == 0:
                self._say(". ".join(line for line in said if not line.endswith(".png")))
            elif said:
                self._fail(said[-1])
            return
        progress = read_progress(work) or {}
        state = progress.get("state")
        if state == "done":
            self._say(f"done; {progress.get('text', '')}. Install makes it a choice of Prior; finish its card first")
        elif state == "failed" or (code not in (None, 0) and state != "stopped"):
            self._fail(str(progress.get("text") if state == "failed" else said[-1] if said else "the training ended"))
        else:
            self._say("stopped; everything is kept, and Train goes on")
        self.install_button.setEnabled(state == "done")

    # the task

    def _on_result(self, entry: PriorEntry) -> None:
        for widget in QApplication.allWidgets():
            if isinstance(widget, PriorPanel):
                widget.refresh_priors()
        self._say(f"installed {entry.name}; it can be chosen as Prior now")

    def _show_running(self, running: bool) -> None:
        super()._show_running(running)
        for button in (self.survey_button, self.train_button):
            button.setEnabled(not running)
        progress = None if self._wish is None else read_progress(self._wish.work)
        self.install_button.setEnabled(not running and progress is not None and progress["state"] == "done")

    def _on_orphaned(self) -> None:
        super()._on_orphaned()
        self._watch.stop()  # the process goes on

    def _lay_out(self) -> None:
        self.choices.addWidget(wrapped(_HELP))
        self.choices.addWidget(form(self.data, self.out, self.recipe, self.resolution, self.modality, self.mirror))
        self.contact_sheet = FilePicture("Slices of each part of the split, as the prior will see them")
        self.samples = FilePicture("What the prior draws by now; the lower half with what it cannot draw")
        for picture in (self.contact_sheet, self.samples):
            self.choices.addWidget(picture)
        self.choices.addStretch(1)
        self.survey_button, self.train_button = QPushButton("Survey"), QPushButton("Train")
        self.install_button = QPushButton("Install")
        self.survey_button.setToolTip("Say what the folder holds, and show how it will be cut and parted")
        self.train_button.setToolTip("Train in a process of its own, or go on with what was stopped")
        self.install_button.setToolTip("Make the new prior a choice in the other panels")
        row = QHBoxLayout()
        for button in (self.survey_button, self.train_button, self.install_button):
            row.addWidget(button)
        self.foot.addLayout(row)
        self.foot.addLayout(self._progress_row())
        self.foot.addWidget(Messages(self.status))
        self.foot.addWidget(wrapped(_NOTICE, SAFETY))
