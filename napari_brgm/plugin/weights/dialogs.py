"""What the Weights widget asks: whether to download or remove, and what an imported file is."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFileDialog, QFormLayout, QLineEdit, QMessageBox

from napari_brgm.errors import BrgmError
from napari_brgm.plugin.forms import PROBLEM, wrapped
from napari_brgm.text import plain_text
from napari_brgm.zoo.entry import checked_name
from napari_brgm.zoo.fetch import terms
from napari_brgm.zoo.install import check_free
from napari_brgm.zoo.registry import published

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["ImportDialog", "agrees_to_fetch", "agrees_to_remove", "chosen_file"]

_KINDS = "Weights (*.safetensors *.pkl *.pt *.pth *.gz *.bz2 *.xz *.zip);;All files (*)"


def agrees_to_fetch(parent: QWidget, entry: PriorEntry) -> bool:
    """Ask whether to download, with address, size and licence; 'no' is the default."""
    rows = "".join(
        f"<tr><td><b>{escape(what)}</b>&nbsp;&nbsp;</td><td>{escape(plain_text(said))}</td></tr>"
        for what, said in terms(entry).items()
    )
    return _agrees(parent, f"Download {escape(entry.name)}?", f"<table>{rows}</table>")


def agrees_to_remove(parent: QWidget, name: str) -> bool:
    """Ask whether to remove; 'no' is the default."""
    return _agrees(parent, f"Remove {escape(name)}?", "Its weights and model card are deleted from this machine.")


def _agrees(parent: QWidget, text: str, details: str) -> bool:
    box = QMessageBox(QMessageBox.Icon.Question, "napari-brgm", f"<h3>{text}</h3>", parent=parent)
    box.setTextFormat(Qt.TextFormat.RichText)
    box.setInformativeText(details)
    box.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
    box.setDefaultButton(QMessageBox.StandardButton.No)
    return bool(box.exec() == QMessageBox.StandardButton.Yes)


def chosen_file(parent: QWidget) -> Path | None:
    """Ask for a weights file."""
    path, _ = QFileDialog.getOpenFileName(parent, "Import weights", "", _KINDS)
    return Path(path) if path else None


class ImportDialog(QDialog):
    """What to call an imported file, and what its card is to say.

    Attributes
    ----------
    name, licence, source, citation : QLineEdit
    import_button : QPushButton
    """

    def __init__(self, parent: QWidget, path: Path) -> None:
        super().__init__(parent)
        self.setWindowTitle("Import weights")
        self.setMinimumWidth(460)
        self.name, self.licence, self.source, self.citation = (QLineEdit() for _ in range(4))
        self._hint = wrapped("")
        self._hint.setMinimumHeight(48)
        layout = QFormLayout(self)
        layout.addRow("File", wrapped(path.name))
        for label, field in (
            ("Name", self.name), ("Licence", self.licence), ("Source", self.source), ("Citation", self.citation),
        ):  # fmt: skip
            layout.addRow(label, field)
        layout.addRow(self._hint)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.import_button = self.buttons.addButton("Import", QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout.addRow(self.buttons)
        self.name.textChanged.connect(self._check)
        self.name.setText(_proposed(path))
        self._check()

    def _check(self) -> None:
        """Say what is wrong with the name, and fill in what is known of published weights."""
        name = self.name.text().strip()
        known = published().get(name)
        hint = "Files of published formats are converted to safetensors; no code in them runs."
        problem = ""
        try:
            check_free(checked_name(name))
        except BrgmError as error:
            problem = str(error)
        for field, said in (
            (self.licence, known and known.licence),
            (self.source, known and known.source),
            (self.citation, known and known.citation),
        ):
            field.setPlaceholderText(said or "not stated")
        if known is not None and not problem:
            hint = f"The name of published weights, “{known.title}”: the card says whether the file could be verified."
        self._hint.setText(plain_text(problem or hint))
        self._hint.setStyleSheet(PROBLEM if problem else "")
        if self.import_button is not None:
            self.import_button.setEnabled(not problem)


def _proposed(path: Path) -> str:
    """Name of the published weights that have this file name, else one made from it."""
    for entry in published().values():
        if entry.file and entry.file == path.name:
            return entry.name
    made = "".join(c if c.isascii() and c.isalnum() else "-" for c in path.stem.lower()).strip("-")
    return made[:64]
