"""The table of priors: name, status, modality, plane, resolution, size, licence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_brgm.plugin.marks import DOT, dot
from napari_brgm.plugin.table_look import plain_look
from napari_brgm.text import as_rich_text, sentence

if TYPE_CHECKING:
    from napari_brgm.zoo.entry import PriorEntry

__all__ = ["PriorTable"]

_HEADINGS = ("Name", "Status", "Modality", "Plane", "Pixels", "Size", "Licence")
_STATUS, _LICENCE = 1, 6
_ROW = 26  # pixels
_COLOURS = {  # of the dot alone: as text they could not be read on light themes
    "shipped": "#5fb878", "installed": "#4fb3d9", "to fetch": "#d9a441", "by hand": "#9a9a9a", "missing": "#ff6b6b",
    "intact": "#5fb878", "FAILED": "#ff6b6b",
}  # fmt: skip
_MEANINGS = {
    "shipped": "Comes with napari-brgm",
    "installed": "In your own folder",
    "to fetch": "Published; can be downloaded after you agree",
    "by hand": "Only its page is known: get the file there, then import it",
    "missing": "Its file is gone",
    "intact": "Hash and content were just verified",
    "FAILED": "It is not what the registry knows; see the message below",
}


class PriorTable(QTableWidget):
    """One row a prior; a single row can be chosen."""

    def __init__(self) -> None:
        super().__init__(0, len(_HEADINGS))
        self.setHorizontalHeaderLabels(_HEADINGS)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setWordWrap(False)
        header = plain_look(self, _ROW)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(_LICENCE, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(44)
        self.setIconSize(QSize(DOT // 2, DOT // 2))

    def fill(self, entries: list[tuple[PriorEntry, str]]) -> None:
        """Show entries with their status; the chosen name stays chosen, else the first is."""
        chosen = self.chosen()
        self.blockSignals(True)
        self.setRowCount(len(entries))
        for row, (entry, status) in enumerate(entries):
            size = "" if entry.size is None else f"{entry.size / 1e6:.1f} MB"
            texts = (
                entry.name, status, entry.modality, entry.plane, str(entry.resolution or ""), size, entry.licence,
            )  # fmt: skip
            for column, text in enumerate(texts):
                item = QTableWidgetItem(sentence(text) or "–")
                item.setToolTip(as_rich_text(entry.title if column == 0 else text))
                if _HEADINGS[column] in ("Pixels", "Size"):
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, item)
            self.set_status(entry.name, status)
        names = [entry.name for entry, _ in entries]
        self.blockSignals(False)
        self.clearSelection()
        if names:
            self.selectRow(names.index(chosen) if chosen in names else 0)

    def chosen(self) -> str | None:
        """Name of the chosen row."""
        chosen = [item.text() for item in self.selectedItems() if item.column() == 0]
        return chosen[0] if chosen else None

    def choose(self, name: str) -> None:
        """Choose the row of this name, if there is one."""
        item = self._item(name, 0)
        if item is not None:
            self.selectRow(item.row())

    def status(self, name: str) -> str:
        """Status on show for this name."""
        item = self._item(name, _STATUS)
        return "" if item is None else item.text()

    def set_status(self, name: str, status: str) -> None:
        """Show another status for this name."""
        item = self._item(name, _STATUS)
        if item is not None:
            item.setText(status)
            item.setToolTip(_MEANINGS.get(status, ""))
            item.setIcon(dot(_COLOURS.get(status, "#9a9a9a")))

    def _item(self, name: str, column: int) -> QTableWidgetItem | None:
        for item in self.findItems(name, Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchCaseSensitive):
            if item.column() == 0:
                return self.item(item.row(), column)
        return None
