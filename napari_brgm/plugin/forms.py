"""Forms of magicgui widgets and plain Qt ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import CheckBox, ComboBox, PushButton
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_brgm.text import plain_text

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget

__all__ = ["ADVICE", "PROBLEM", "SAFETY", "form", "grouped", "row", "show_row", "wrapped"]

# readable in any theme: a ground of their own, or the theme's own text colour
SAFETY = "QLabel { background-color: #f2b84b; color: #1c1c1c; border-radius: 3px; padding: 3px 5px; }"
PROBLEM = "QLabel { background-color: #b3261e; color: #ffffff; border-radius: 3px; padding: 3px 5px; }"
ADVICE = "QLabel { border-left: 4px solid #d98a1f; padding-left: 6px; }"


def form(*widgets: Widget | QWidget | tuple[Widget, ...]) -> QWidget:
    """Lay out magicgui widgets with their labels, and plain Qt ones across; some in one row under the first's label.

    Buttons stand below each other, of either kind.
    """
    made = QWidget()
    layout = QFormLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for widget in widgets:
        for part in widget if isinstance(widget, tuple) else (widget,):
            if isinstance(part, ComboBox):  # a long name of a layer is cut off, and does not widen the dock
                part.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        if isinstance(widget, tuple):
            row = QHBoxLayout()
            for part in widget:
                row.addWidget(part.native, stretch=part is widget[0])
            layout.addRow(widget[0].label, row)
        elif isinstance(widget, QPushButton):
            layout.addRow("", widget)
        elif isinstance(widget, QWidget):
            layout.addRow(widget)
        else:
            layout.addRow("" if isinstance(widget, PushButton | CheckBox) else widget.label, widget.native)
    return made


def grouped(title: str, *parts: QWidget | QLayout) -> QGroupBox:
    """Put widgets and layouts into a box with a title, one below the other."""
    group = QGroupBox(title)
    layout = QVBoxLayout(group)
    for part in parts:
        if isinstance(part, QLayout):
            layout.addLayout(part)
        else:
            layout.addWidget(part)
    return group


def row(*widgets: QWidget) -> QHBoxLayout:
    """Put widgets beside each other, as wide as they ask for."""
    found = QHBoxLayout()
    for widget in widgets:
        found.addWidget(widget)
    return found


def show_row(widget: Widget, shown: bool) -> None:
    """Show or hide a magicgui widget of a form together with its label."""
    widget.visible = shown
    parent = widget.native.parentWidget()
    layout = None if parent is None else parent.layout()
    label = layout.labelForField(widget.native) if isinstance(layout, QFormLayout) else None
    if label is not None:
        label.setVisible(shown)


def wrapped(text: str, style: str = "") -> QLabel:
    """Make a label of several lines."""
    label = QLabel()
    label.setTextFormat(Qt.TextFormat.PlainText)  # a name in it may look like HTML
    label.setText(plain_text(text))
    label.setWordWrap(True)
    label.setStyleSheet(style)
    return label
