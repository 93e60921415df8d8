"""Labels show text from outside as it is, in colours that can be read."""

from __future__ import annotations

from collections import Counter

import pytest
from contrast import contrast
from napari._qt.qt_resources import get_stylesheet
from qtpy.QtCore import Qt
from qtpy.QtGui import QPalette
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
    picture = around.grab(label.geometry()).toImage()  # as it is painted, on what lies beneath it
    places = [(x, y) for x in range(picture.width()) for y in range(picture.height())]
    painted = Counter(picture.pixelColor(*place).getRgb()[:3] for place in places)
    ((ground, _),) = painted.most_common(1)
    letters = label.palette().color(QPalette.ColorRole.WindowText).getRgb()[:3]
    nearest = min(max(abs(a - b) for a, b in zip(letters, one, strict=True)) for one in painted)
    assert nearest <= 8  # a display of 16 bits rounds colours
    assert contrast(*(tuple(part / 255 for part in colour) for colour in (letters, ground))) >= 4.5
