"""How the tables of docks look: rows without numbers and grid, headings at the left, nothing to edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView

if TYPE_CHECKING:
    from qtpy.QtWidgets import QHeaderView, QTableWidget

__all__ = ["plain_look"]


def plain_look(table: QTableWidget, row: int) -> QHeaderView:
    """Give a table that look, with rows of so many pixels; gives the header of its columns."""
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)
    numbers, header = table.verticalHeader(), table.horizontalHeader()
    assert numbers is not None and header is not None  # for type checkers: a table has both
    numbers.hide()
    numbers.setDefaultSectionSize(row)
    header.setHighlightSections(False)
    header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    return header
