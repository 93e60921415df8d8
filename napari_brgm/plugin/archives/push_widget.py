"""Send results to an archive: what would be sent, and where to, is told before, and asked for."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, FileEdit
from qtpy.QtWidgets import QMessageBox, QPushButton

from napari_brgm.errors import InputError, OutputError
from napari_brgm.plugin.archives.address_bar import AddressBar
from napari_brgm.plugin.background import TaskWidget
from napari_brgm.plugin.forms import SAFETY, form, show_row, wrapped
from napari_brgm.plugin.layers.results import LAYER_NOTICE
from napari_brgm.plugin.layers.saving import is_map, kind_of_source, layers_of_run, results, save_run
from napari_brgm.plugin.messages import Messages
from napari_brgm.reason import reason_of
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import napari.viewer

    from napari_brgm.pacs.address_book import Address

__all__ = ["PushWidget"]

_HELP = (
    "Send results of DICOM scans to an archive (PACS): the image, the map of its standard deviation and what is "
    "synthetic. Nothing else can be sent, and nothing is before you agree."
)
_FOLDER = "a folder of results as DICOM"


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What would be sent; ``passing``: a folder that is to be removed afterwards."""

    address: Address
    files: list[Path]
    kinds: Mapping[str, int]
    passing: Path | None

    def forget(self) -> None:
        if self.passing is not None:
            shutil.rmtree(self.passing, ignore_errors=True)

    def told(self) -> str:
        listed = ", ".join(f"{count} of {kind}" for kind, count in self.kinds.items())
        hidden = "" if self.address.encrypted else "\n\nNot encrypted: others on the network can read it."
        return plain_text(listed) + hidden


class PushWidget(TaskWidget):
    """Asks, and sends.

    Attributes
    ----------
    viewer : napari.viewer.Viewer
    archive : AddressBar
    result : ComboBox
        A layer of a run in the window whose scan is DICOM; None: the folder.
    folder : FileEdit
    send_button : QPushButton
    """

    _CANCELLED = "cancelled; the archive keeps what it has taken"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._parcel: _Parcel | None = None
        self.archive = AddressBar()
        self.result = ComboBox(
            label="What", choices=lambda _: self._offered(), tooltip="A run in this window, or files"
        )
        self.folder = FileEdit(label="Folder", mode=FileDialogMode.EXISTING_DIRECTORY,
                               tooltip="That a run was saved in as DICOM", nullable=True, value=None)  # fmt: skip
        self.send_button = QPushButton("Send...")
        self.send_button.setToolTip("Says what would be sent where, and asks")
        self.choices.addWidget(wrapped(_HELP))
        self.choices.addWidget(self.archive)
        self.choices.addWidget(form(self.result, self.folder))
        self.choices.addStretch(1)
        self.foot.addWidget(self.send_button)
        self.foot.addLayout(self._progress_row())
        self.foot.addWidget(Messages(self.status))
        self.foot.addWidget(wrapped(LAYER_NOTICE, SAFETY))
        self.result.changed.connect(lambda _: self._show_choices())
        self.send_button.clicked.connect(lambda: self.send())
        self.reset_choices()
        self._show_running(False)

    def send(self) -> None:
        """Gather what is chosen, ask, and send it; what is wrong is said in one sentence."""
        self._guarded(self._gather)

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list; napari connects this when the widget is docked."""
        before = list(map(id, self.result.choices))
        self.result.reset_choices()
        new = [layer for layer in self.result.choices if id(layer) not in before]
        if new and new[-1] is not None:  # what was just computed
            self.result.value = new[-1]
        self._show_choices()

    def _offered(self) -> list[tuple[str, Any]]:
        runs = [layer for layer in results(self.viewer) if kind_of_source(layer) == "dicom" and not is_map(layer)]
        return [(_FOLDER, None), *((layer.name, layer) for layer in runs)]

    def _show_choices(self) -> None:
        show_row(self.folder, self.result.value is None)

    def _gather(self) -> None:
        address, layer = self.archive.address, self.result.value
        text = str(self.folder.value or "").strip()
        if layer is None and (not text or not Path(text).expanduser().is_dir()):
            raise InputError("choose the folder that results were saved in as DICOM")
        layers = [] if layer is None else layers_of_run(self.viewer, layer)
        self._say("looking at what would be sent ...")

        def work(tell: Any) -> _Parcel:
            from napari_brgm.pacs.opening import open_archive
            from napari_brgm.pacs.outgoing import results_in

            open_archive(address)  # what it needs is installed
            if not layers:
                return _Parcel(address, *results_in([Path(text).expanduser()]), None)
            try:
                passing = Path(tempfile.mkdtemp(prefix="napari-brgm-"))  # for its owner alone
            except OSError as error:
                raise OutputError(f"a result cannot be written before it is sent: {reason_of(error)}") from error
            try:
                return _Parcel(address, *results_in(save_run(layers, passing, "dicom", tell=tell)), passing)
            except BaseException:
                shutil.rmtree(passing, ignore_errors=True)
                raise

        self._start_task(work, "gathering")

    def _on_result(self, result: Any) -> None:
        if isinstance(result, _Parcel):
            if result.files and self._agrees(result):
                self._parcel = result  # sent once this task has ended
            else:
                result.forget()
                self._say("nothing was sent.")
            return
        self._say(f"sent {result}.")

    def _on_finish(self) -> None:
        super()._on_finish()
        parcel, self._parcel = self._parcel, None
        if parcel is not None:
            self._guarded(lambda: self._send(parcel))

    def _send(self, parcel: _Parcel) -> None:
        count = "1 file" if len(parcel.files) == 1 else f"{len(parcel.files)} files"
        self._say(f"sending {count} to {parcel.address.name} ...")

        def work(tell: Any) -> str:
            from napari_brgm.pacs.opening import open_archive

            total = len(parcel.files)
            try:
                tell("sending", 0, total)
                told = lambda done: tell(f"{done} of {total} files sent", done, total)  # noqa: E731
                open_archive(parcel.address).send(parcel.files, told)
            finally:
                parcel.forget()
            return f"{count} to {parcel.address.name}"

        self._start_task(work, "sending")

    def _agrees(self, parcel: _Parcel) -> bool:
        """Ask; 'no' is the default."""
        count = "1 file" if len(parcel.files) == 1 else f"{len(parcel.files)} files"
        question = f"Send {count} to {parcel.address.name} ({parcel.address.where})?"
        box = QMessageBox(QMessageBox.Icon.Question, "napari-brgm", plain_text(question), parent=self)
        box.setInformativeText(parcel.told())
        box.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
        box.setDefaultButton(QMessageBox.StandardButton.No)
        return bool(box.exec() == QMessageBox.StandardButton.Yes)

    def _on_orphaned(self) -> None:
        super()._on_orphaned()
        if self._parcel is not None:
            self._parcel.forget()
            self._parcel = None

    def _show_running(self, running: bool) -> None:
        super()._show_running(running)
        self.send_button.setEnabled(not running)
        self.archive.setEnabled(not running)
