"""What is shown of regions: which labels, an optional threshold, a table of figures, and what they are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_brgm.plugin.forms import PROBLEM, form, wrapped
from napari_brgm.plugin.table_look import plain_look
from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_brgm.engine.region import RegionFigure

__all__ = ["RegionBox"]

_HEADINGS = ("Region", "Mean", "Volume above", "Synthetic")
_VOLUME = 2
_ROWS = 3  # in sight; more scroll
_ROW = 40  # pixels: a value, and below it its interval


class RegionBox(QWidget):
    """Knows nothing of runs.

    Attributes
    ----------
    choice : ComboBox
        A labels layer, or None.
    above_box : QCheckBox
        Whether a volume is wanted.
    above : QDoubleSpinBox
        Its threshold.
    measure_button, save_button : QPushButton
    table : QTableWidget
        A row for each region: its number, mean, volume, and how much of it is synthetic.
    status : QLabel
    """

    def __init__(self) -> None:
        super().__init__()
        self.choice = ComboBox(label="Regions", choices=[], tooltip="A labels layer: each label is a region")
        self.above_box, self.above = QCheckBox("Volume above"), QDoubleSpinBox()
        self.above.setKeyboardTracking(False)
        self.above_box.setToolTip("How much of each region lies above this value")
        self.above.setToolTip("In the units of the scan")
        self.measure_button, self.save_button = QPushButton("Measure"), QPushButton("Save table...")
        self.measure_button.setToolTip("Mean and volume of each region, with intervals from the samples")
        self.save_button.setToolTip("The figures as a table (CSV), as inpaint --roi of the shell writes it")
        self.table, self.status = _table(), wrapped("")
        rows = QGridLayout()
        for column, pair in enumerate(((self.above_box, self.measure_button), (self.above, self.save_button))):
            for row, widget in enumerate(pair):
                rows.addWidget(widget, row, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(form(self.choice))
        layout.addLayout(rows)
        layout.addWidget(self.table)
        layout.addWidget(self.status)
        self.show_figures({})
        self.say("")

    def set_units(self, digits: int, step: float, units: str, threshold: float) -> None:
        """Make the threshold fit the values of a run, and propose one."""
        self.above.setDecimals(digits)
        self.above.setRange(-1e9, 1e9)
        self.above.setSingleStep(step)
        self.above.setSuffix(f" {units}" if units else "")
        self.above.setValue(threshold)

    def say(self, sentence: str, *, bad: bool = False) -> None:
        """One sentence below the table; '' for none."""
        self.status.setText(plain_text(sentence[:1].upper() + sentence[1:]))
        self.status.setStyleSheet(PROBLEM if bad else "")
        self.status.setVisible(bool(sentence))

    def show_figures(
        self, regions: Mapping[int, Sequence[RegionFigure]], names: Mapping[int, str] | None = None
    ) -> None:
        """Fill the table; none is shown without figures."""
        self.table.setRowCount(len(regions))
        for row, (number, (mean, *volumes)) in enumerate(regions.items()):
            share = f"{100 * mean.synthetic / mean.pixels:.0f} %"
            name = (names or {}).get(number, "")
            volume = volumes[0] if volumes else None
            cells = [f"{number} {plain_text(name)}".strip(), _told(mean), _told(volume), share]
            told = f"{mean.synthetic} of {mean.pixels} pixels were not measured"
            tips = [name, _explained(mean), _explained(volume), told]
            for column, (text, tip) in enumerate(zip(cells, tips, strict=True)):
                item = QTableWidgetItem(text)
                item.setToolTip(plain_text(tip))
                self.table.setItem(row, column, item)
        self.table.setColumnHidden(_VOLUME, not any(len(figures) > 1 for figures in regions.values()))
        for mean, *volumes in regions.values():  # the same of all
            above = f"mm³ > {self.above.value():.{self.above.decimals()}f}"
            self.table.setHorizontalHeaderLabels(
                [_HEADINGS[0], f"Mean, {mean.units}", above if volumes else _HEADINGS[_VOLUME], _HEADINGS[-1]]
            )  # fmt: skip
        self.table.setVisible(bool(regions))
        header = self.table.horizontalHeader()
        high = 0 if header is None else header.sizeHint().height()
        self.table.setFixedHeight(high + _ROW * min(max(len(regions), 1), _ROWS) + 4)
        self.save_button.setEnabled(bool(regions))


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_HEADINGS))
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    header = plain_look(table, _ROW)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    for column in (0, len(_HEADINGS) - 1):
        header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
    return table


def _told(figure: RegionFigure | None) -> str:
    """A value, and in a second line its interval; one number where they are the same."""
    if figure is None:
        return ""
    value, low, high = (f"{number:.4g}" for number in (figure.value, figure.low, figure.high))
    return value if value == low == high else f"{value}\n{low} … {high}"


def _explained(figure: RegionFigure | None) -> str:
    if figure is None:
        return ""
    interval = f"{100 * figure.level:.0f} % interval {figure.low:.6g} to {figure.high:.6g}"
    return f"{figure.quantity}: {figure.value:.6g} {figure.units}, {interval}, standard deviation {figure.std:.4g}"
