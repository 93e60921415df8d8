"""Labels show text from outside as it is, in colours that can be read."""

from __future__ import annotations

import pytest
from contrast import contrast
from napari._qt.qt_resources import get_stylesheet
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_brgm.plugin.forms import ADVICE, PROBLEM, SAFETY, wrapped


@pytest.mark.parametrize("text", ["<b>T1</b>", "<img src='file:///etc/passwd'>", "a & b", "<script>x</script>"])
def test_what_looks_like_html_is_text(qtbot, text):
    """Catches Qt guessing that a name is rich text."""
    label = wrapped(text)
    qtbot.addWidget(label)
    assert label.textFormat() == Qt.TextFormat.PlainText and label.text() == text
    label.setText(text)
    assert label.textFormat() == Qt.TextFormat.PlainText


def test_control_characters_are_shown(qtbot):
    label = wrapped("a\x1b[31m\u202eb")
    qtbot.addWidget(label)
    assert label.text() == "a\\x1b[31m\\u202eb"


@pytest.mark.parametrize("style", [SAFETY, PROBLEM, ADVICE])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_safety_and_problems_are_read_in_both_themes(qtbot, style: str, theme: str) -> None:
    """Catches amber letters on light grey, as they are drawn."""
    around = QWidget()
    qtbot.addWidget(around)
    around.setStyleSheet(get_stylesheet(theme))
    label = wrapped("Not for diagnosis", style)
    label.setParent(around)
    around.show()
    label.adjustSize()
    colours = label.palette()
    ground = colours.color(colours.ColorRole.Window).getRgbF()[:3]
    letters = colours.color(colours.ColorRole.WindowText).getRgbF()[:3]
    assert contrast(letters, ground) >= 4.5
    picture = label.grab().toImage()  # and so it is painted: both colours are there
    painted = {picture.pixelColor(x, y).name() for x in range(picture.width()) for y in range(picture.height())}
    assert {colours.color(role).name() for role in (colours.ColorRole.Window, colours.ColorRole.WindowText)} <= painted
