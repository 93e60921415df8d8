"""What the Weights widget shows: the table, the card of the chosen prior, buttons, progress, and how things stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QSplitter, QVBoxLayout, QWidget

from napari_brgm.plugin.status_line import StatusLine
from napari_brgm.plugin.weights_card import CardView
from napari_brgm.plugin.weights_table import PriorTable
from napari_brgm.zoo.registry import catalogue, status_of

if TYPE_CHECKING:
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["WeightsPanel"]

_WIDTH = 600  # pixels


class WeightsPanel(StatusLine, QWidget):
    """Table, card and buttons; knows nothing of what the buttons do.

    Attributes
    ----------
    table : PriorTable
    card : CardView
    fetch_button, import_button, verify_button, remove_button, cancel_button : QPushButton
    progress : QProgressBar
    status : QLabel
        The last message: progress, result or error, one sentence.
    entries : dict
        What is on show, by name.
    running : bool
        Whether something is under way.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, PriorEntry] = {}
        self.running = False
        self.table, self.card = PriorTable(), CardView()
        self._lay_out()
        self.table.itemSelectionChanged.connect(self._show_chosen)

    def sizeHint(self) -> QSize:
        """Wide enough for all columns."""
        return QSize(_WIDTH, super().sizeHint().height())

    def refresh(self) -> None:
        """Read the registry again."""
        self.entries = {entry.name: entry for entry in catalogue()}
        self.table.fill([(entry, status_of(entry)) for entry in self.entries.values()])
        self._show_chosen()

    def _show_chosen(self) -> None:
        name = self.table.chosen()
        entry = self.entries.get(name or "")
        if entry is None:
            return
        status = status_of(entry)
        self.card.show_entry(entry, status)
        self.fetch_button.setEnabled(not self.running and status == "to fetch")
        self.remove_button.setEnabled(not self.running and entry.kind == "installed")

    def _show_running(self, running: bool) -> None:
        self.running = running
        for button in (self.import_button, self.verify_button, self.fetch_button, self.remove_button):
            button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        for widget in (self.progress, self.cancel_button):
            widget.setVisible(running)
        self.progress.setRange(0, 1000)
        self.progress.setValue(0)
        if not running:
            self._show_chosen()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.table)
        splitter.addWidget(self.card)
        splitter.setChildrenCollapsible(False)
        splitter.setStretchFactor(0, 2)
        splitter.setStretchFactor(1, 3)
        layout.addWidget(splitter, 1)
        row = QHBoxLayout()
        self.fetch_button, self.import_button = QPushButton("Fetch"), QPushButton("Import file...")
        self.verify_button, self.remove_button = QPushButton("Verify"), QPushButton("Remove")
        tips = (
            "Download the chosen published weights; you are asked first",
            "Install a .safetensors, .pkl or .pt file; no code in it runs",
            "Hash and load every prior that is on this machine",
            "Delete the chosen prior, if you installed it",
        )
        buttons = (self.fetch_button, self.import_button, self.verify_button, self.remove_button)
        for button, tip in zip(buttons, tips, strict=True):
            button.setToolTip(tip)
            row.addWidget(button)
        layout.addLayout(row)
        running = QHBoxLayout()
        self.progress, self.cancel_button = QProgressBar(), QPushButton("Cancel")
        running.addWidget(self.progress, 1)
        running.addWidget(self.cancel_button)
        layout.addLayout(running)
        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setTextFormat(Qt.TextFormat.PlainText)
        layout.addWidget(self.status)
