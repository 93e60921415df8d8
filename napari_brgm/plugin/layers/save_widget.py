"""Save widget: the layers of a run to files, each with the record of how it was computed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit
from qtpy.QtWidgets import QPushButton

from napari_brgm.errors import InputError
from napari_brgm.plugin.background import TaskWidget
from napari_brgm.plugin.forms import SAFETY, form, wrapped
from napari_brgm.plugin.layers.results import LAYER_NOTICE
from napari_brgm.plugin.layers.saving import is_map, kind_of_source, layers_of_run, results, save_run, without_series
from napari_brgm.plugin.layers.scans import source_of
from napari_brgm.plugin.messages import Messages

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

__all__ = ["SaveWidget"]

_HELP = (
    "Save a result with its uncertainty. Each file says how it was computed; any of them opens the whole run here "
    "again. Nothing is overwritten."
)
_COMPLETE = {
    "nifti": "Samples and mask too",
    "dicom": "Also as NIfTI, with samples",
}
_WHY = "Samples are needed to play them here again; DICOM has no place for them"
_FORMATS = [("NIfTI with JSON sidecar", "nifti"), ("DICOM: series, map, segmentation", "dicom")]
_DICOM = "A series derived from the source's, a map of its standard deviation, and what is synthetic as a segmentation"


class SaveWidget(TaskWidget):
    """Saves the layers of one run, its samples and the mask of what is synthetic.

    Attributes
    ----------
    viewer : napari.viewer.Viewer
    result, format : ComboBox
        A layer of the run, and 'nifti' or 'dicom'; that of its source until a person chooses another.
    complete : CheckBox
        Whether samples and mask are saved too.
    folder : FileEdit
        Where to; that of the source until a person chooses another.
    save_button : QPushButton
    """

    _CANCELLED = "cancelled; nothing was saved"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._left_out = 0
        self._suggested: Path | None = None
        self._format_of: Image | None = None  # that the format was suggested for
        self.result = ComboBox(label="Result", choices=lambda _: self._results(), tooltip="All layers of its run")
        self.format = ComboBox(label="Format", choices=_FORMATS, tooltip=f"DICOM needs a DICOM source. {_DICOM}")
        self.complete = CheckBox(value=True, text=_COMPLETE["nifti"], tooltip=_WHY)
        self.folder = FileEdit(label="Folder", mode=FileDialogMode.EXISTING_DIRECTORY, tooltip="Where the files go")
        self.save_button = QPushButton("Save with provenance")
        self.save_button.setToolTip("Write all of the run; nothing is overwritten")
        self.choices.addWidget(wrapped(_HELP))
        self.choices.addWidget(form(self.result, self.format, self.complete, self.folder))
        self.choices.addStretch(1)
        self.foot.addWidget(self.save_button)
        self.foot.addLayout(self._progress_row())
        self.foot.addWidget(Messages(self.status))
        self.foot.addWidget(wrapped(LAYER_NOTICE, SAFETY))
        self.result.changed.connect(self._suggest)
        self.format.changed.connect(self._on_format)
        self.save_button.clicked.connect(lambda: self.save())
        self.reset_choices()
        self._show_running(False)

    def save(self) -> None:
        """Save the layers of the chosen run; what is wrong is said in one sentence."""
        self._guarded(self._begin)

    def _begin(self) -> None:
        (layers, folder), kind, complete = self._chosen(), self.format.value, bool(self.complete.value)
        self._left_out = 0 if complete else len(without_series(layers, kind))
        self._say("saving ...")
        self._start_task(lambda tell: save_run(layers, folder, kind, complete=complete, tell=tell), "saving")

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list; napari connects this when the widget is docked."""
        before = set(map(id, self.result.choices))
        self.result.reset_choices()
        new = [layer for layer in self.result.choices if id(layer) not in before and not is_map(layer)]
        if new:  # what was just computed is what one wants to save
            self.result.value = new[-1]
        self._suggest()

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

    def _suggest(self, event: object = None) -> None:
        """Offer the folder of the source and its format, unless a person has chosen others."""
        layer = self.result.value
        if layer is None:
            return
        if layer is not self._format_of:
            self._format_of = layer
            self.format.value = kind_of_source(layer)
        source = source_of(layer)
        if self.folder.value in (self._suggested, None, Path()) and source is not None and source.parent.is_dir():
            self._suggested = source.parent
            self.folder.value = self._suggested

    def _on_format(self, kind: str) -> None:
        self.complete.text = _COMPLETE[kind]
        self.complete.value = kind == "nifti"

    def _on_result(self, files: list[Path]) -> None:
        images = [file for file in files if file.suffix != ".safetensors"]
        folders = [file for file in images if file.is_dir()]  # as DICOM
        of_nifti = len(images) - len(folders)
        parts = ["1 layer" if of_nifti == 1 else f"{of_nifti} layers"] if of_nifti else []
        parts += ["the samples"] if len(images) < len(files) else []
        parts += ["the result as DICOM"] if folders else []
        what = " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        text = f"saved {what} with provenance in {files[0].parent}: {files[0].name}{more}."
        if self._left_out:
            text += " DICOM has no place for samples; save them as NIfTI."
        self._say(text)

    def _show_running(self, running: bool) -> None:
        super()._show_running(running)
        self.save_button.setEnabled(not running)
