"""The table of a batch: a row a scan, with its state, how long it took, and why it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_brgm.plugin.marks import dot
from napari_brgm.plugin.table_look import plain_look
from napari_brgm.text import as_rich_text, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.plugin.batch.lines import ShownRow

__all__ = ["BatchTable"]

_HEADINGS = ("Scan", "State", "Time", "Reason")
_NAME, _STATE, _TIME, _REASON = range(4)
_ROW = 24  # pixels
_COLOURS = {"waiting": "#9a9a9a", "at work": "#4fb3d9", "done": "#5fb878", "failed": "#ff6b6b"}
_HINT = "Double click opens the result of a scan that is done"


class BatchTable(QTableWidget):
    """One row a scan; ``wanted`` is emitted with the name of one that is done and was clicked twice."""

    wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__(0, len(_HEADINGS))
        self._at: dict[str, int] = {}
        self.setHorizontalHeaderLabels(_HEADINGS)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setWordWrap(False)
        self.setToolTip(_HINT)
        self.setMinimumHeight(6 * _ROW)
        header = plain_look(self, _ROW)
        header.setStretchLastSection(True)
        header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Interactive)
        for column, width in ((_NAME, 110), (_STATE, 80), (_TIME, 52)):
            header.resizeSection(column, width)
        self.cellDoubleClicked.connect(self._on_double_click)

    def show_rows(self, rows: Sequence[ShownRow]) -> None:
        """Show what has changed; names that are not there yet are added at the end."""
        first = len(self._at)
        new = [row for row in rows if row.name not in self._at]
        self.setRowCount(first + len(new))
        self._at |= {row.name: first + number for number, row in enumerate(new)}
        for row in rows:
            self._fill(self._at[row.name], row)

    def empty(self) -> None:
        """Show nothing."""
        self._at.clear()
        self.setRowCount(0)

    def texts(self, name: str) -> tuple[str, ...]:
        """What is shown of a scan."""
        items = (self.item(self._at[name], column) for column in range(len(_HEADINGS)))
        return tuple("" if item is None else item.text() for item in items)

    def _fill(self, at: int, row: ShownRow) -> None:
        state = f"{row.share:.0%}" if row.state == "at work" else row.state
        time = f"{row.seconds:.0f} s" if row.seconds else ""
        for column, text in enumerate((row.name, state, time, row.reason)):
            item = self.item(at, column)
            if item is None:
                item = QTableWidgetItem()
                self.setItem(at, column, item)
            item.setText(sentence(text))
            item.setToolTip(as_rich_text(text) if column in (_NAME, _REASON) and text else _HINT)
        name, stated = self.item(at, _NAME), self.item(at, _STATE)
        assert name is not None and stated is not None
        name.setData(Qt.ItemDataRole.UserRole, row.name if row.state == "done" else None)
        stated.setIcon(dot(_COLOURS.get(row.state, _COLOURS["waiting"])))

    def _on_double_click(self, at: int, column: int) -> None:
        item = self.item(at, _NAME)
        name = None if item is None else item.data(Qt.ItemDataRole.UserRole)
        if name:
            self.wanted.emit(name)
