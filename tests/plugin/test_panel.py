"""A panel scrolls by the wheel and changes nothing by it; each control says what it is for."""

from __future__ import annotations

from importlib import import_module

import pytest
from magicgui.widgets import ComboBox
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QScrollBar,
)

from napari_brgm.plugin.forms import form, wrapped
from napari_brgm.plugin.panel import Panel

PANELS = {
    "restore.inpaint": "InpaintWidget",
    "restore.super_resolve": "SuperResolveWidget",
    "restore.clean": "CleanWidget",
    "explore.widget": "ExploreWidget",
    "uncertainty.widget": "UncertaintyWidget",
    "layers.save_widget": "SaveWidget",
    "weights.widget": "WeightsWidget",
    "train.widget": "TrainWidget",
    "batch.widget": "BatchWidget",
    "archives.pull_widget": "PullWidget",
    "archives.push_widget": "PushWidget",
}


def wheel(widget) -> None:
    """Turn the wheel over the middle of a widget, towards the person."""
    middle = QPointF(widget.rect().center())
    keys, phase = Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
    event = QWheelEvent(
        middle, widget.mapToGlobal(middle), QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, keys, phase, False
    )
    event.setAccepted(True)
    QApplication.sendEvent(widget, event)


@pytest.fixture
def panel(qtbot):
    """A box above more lines than fit."""
    made = Panel()
    qtbot.addWidget(made)
    made.box = ComboBox(label="Method", choices=["map", "vi"], value="map")
    made.choices.addWidget(form(made.box))
    for number in range(60):
        made.choices.addWidget(QLabel(str(number)))
    made.foot.addWidget(wrapped("synthetic"))
    made.resize(300, 300)
    made.show()
    qtbot.waitExposed(made)
    return made


def test_the_wheel_scrolls_and_chooses_nothing(panel) -> None:
    """Catches a method that changes under the cursor while a person scrolls down to Run."""
    panel.setFocus()
    wheel(panel.box.native)
    assert panel.box.value == "map"
    assert panel.scrolled.verticalScrollBar().value() > 0


def test_the_wheel_turns_what_was_clicked(panel, qtbot) -> None:
    panel.activateWindow()
    panel.box.native.setFocus()
    qtbot.waitUntil(panel.box.native.hasFocus, timeout=2000)
    wheel(panel.box.native)
    assert panel.box.value == "vi"


def test_it_is_wide_enough_for_its_scroll_bar(panel, qtbot) -> None:
    """Catches choices whose right end lies under the bar."""
    panel.choices.itemAt(0).widget().setMinimumWidth(500)
    qtbot.waitUntil(lambda: panel.minimumSizeHint().width() > 500 + panel.scrolled.verticalScrollBar().width() / 2)


@pytest.mark.parametrize("module", PANELS)
def test_each_control_says_what_it_is_for(module: str, qtbot) -> None:
    kind = getattr(import_module(f"napari_brgm.plugin.{module}"), PANELS[module])
    made = kind() if PANELS[module] in ("WeightsWidget", "TrainWidget") else kind(ViewerModel())
    qtbot.addWidget(made)
    controls = [
        child
        for of in (QAbstractButton, QComboBox, QAbstractSpinBox, QAbstractSlider)
        for child in made.findChildren(of)
        if not isinstance(child, QScrollBar) and child.objectName() != "qt_tableview_cornerbutton"
    ]
    assert controls
    silent = [child for child in controls if not _tooltip(child, made)]
    assert not silent, [getattr(child, "text", lambda: "")() or child.objectName() for child in silent]


def _tooltip(control, panel) -> str:
    """Its own, or that of the widget that it is a part of."""
    while control is not panel:
        if control.toolTip():
            return control.toolTip()
        control = control.parentWidget()
    return ""
