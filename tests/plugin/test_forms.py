"""Labels show text from outside as it is."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_brgm.plugin.forms import wrapped


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
