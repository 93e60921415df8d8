"""A fold takes height only while it is unfolded."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel

from napari_brgm.plugin.fold import Fold


def test_it_gives_its_height_back(qtbot, click) -> None:
    content = QLabel("a\nb\nc")
    fold = Fold("Layers", content, "What is added")
    qtbot.addWidget(fold)
    fold.show()
    closed = fold.sizeHint().height()
    click(fold.button)
    assert fold.unfolded and fold.sizeHint().height() >= closed + content.sizeHint().height()
    click(fold.button)
    assert not fold.unfolded and fold.sizeHint().height() == closed
    fold.expand()
    fold.expand()
    assert fold.unfolded
