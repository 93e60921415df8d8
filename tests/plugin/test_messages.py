"""What a panel says must be read, and must not push its buttons out of sight."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_brgm.plugin.forms import ADVICE, PROBLEM, wrapped
from napari_brgm.plugin.messages import Messages


@pytest.fixture
def said(qtbot):
    """Messages of a status and of advice, above something that takes the rest."""
    page = QWidget()
    qtbot.addWidget(page)
    page.status, page.advice = wrapped(""), wrapped("", ADVICE)
    page.messages = Messages(page.status, page.advice)
    layout = QVBoxLayout(page)
    layout.addWidget(page.messages)
    layout.addStretch(1)
    page.resize(300, 600)
    page.show()
    qtbot.waitExposed(page)
    return page


def test_they_take_no_height_while_nothing_is_said(said, qtbot) -> None:
    said.status.setText("a sentence")
    qtbot.waitUntil(lambda: said.messages.height() > 0)
    said.status.setText("")
    qtbot.waitUntil(lambda: said.messages.height() == 0)


def test_a_sentence_of_several_lines_is_shown_whole(said, qtbot) -> None:
    """Catches a second line that is cut off."""
    said.status.setStyleSheet(PROBLEM)
    said.status.setText("There is no mask; press 'Paint artefact mask' and paint over the artefact")
    qtbot.waitUntil(lambda: said.messages.height() >= said.status.heightForWidth(said.status.width()) > 25)


def test_much_advice_scrolls(said, qtbot) -> None:
    said.status.setText("Added 'restored | scan'")
    said.advice.setText("\n".join(f"Advice number {number} that speaks against the run." for number in range(30)))
    bar = said.messages.verticalScrollBar()
    qtbot.waitUntil(lambda: bar.maximum() > 0 and 100 < said.messages.height() < 150)
    assert bar.value() == 0 and not said.status.visibleRegion().isEmpty()  # the newest comes first
    said.resize(300, 1000)
    qtbot.waitUntil(lambda: 200 < said.messages.height() < 250)  # there is room for more
