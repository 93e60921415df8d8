"""The table of series that an archive holds; nothing in it names the patient, but perhaps the descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_brgm.plugin.table_look import plain_look
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.pacs.archive import FoundSeries

__all__ = ["SeriesTable"]

_HEADINGS = ("Date", "Modality", "Series", "Images", "Description")
_DESCRIPTION = len(_HEADINGS) - 1
_ROW, _LEAST = 24, 120  # pixels


class SeriesTable(QTableWidget):
    """One row a series, by date and number; several can be chosen."""

    def __init__(self) -> None:
        super().__init__(0, len(_HEADINGS))
        self._series: list[FoundSeries] = []
        self.setHorizontalHeaderLabels(_HEADINGS)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setMinimumHeight(_LEAST)
        self.setToolTip("Choose one series, or several with Ctrl or Shift")
        header = plain_look(self, _ROW)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self.show_descriptions(False)

    def fill(self, found: Sequence[FoundSeries]) -> None:
        """Show these series; none is chosen, but an only one."""
        self._series = list(found)
        self.setRowCount(len(found))
        for row, one in enumerate(found):
            images = "?" if one.images is None else str(one.images)
            for column, text in enumerate((_dashed(one.date), one.modality, one.number, images, one.description)):
                item = QTableWidgetItem(plain_text(text))
                item.setToolTip(plain_text(f"study {one.study}, series {one.uid}"))
                self.setItem(row, column, item)
        self.clearSelection()
        if len(found) == 1:
            self.selectRow(0)

    def chosen(self) -> list[FoundSeries]:
        """In the order of the table."""
        return [self._series[row] for row in sorted({index.row() for index in self.selectedIndexes()})]

    def show_descriptions(self, shown: bool) -> None:
        """Show or hide what may name people."""
        self.setColumnHidden(_DESCRIPTION, not shown)


def _dashed(date: str) -> str:
    """2026-01-31 of a date as DICOM has it."""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if len(date) == 8 and date.isdigit() else date
