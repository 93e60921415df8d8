"""Choices that are folded away until somebody wants them."""

from __future__ import annotations

from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

__all__ = ["Fold"]

_CLOSED, _OPEN = "▸", "▾"


class Fold(QWidget):
    """A title that shows and hides what is below it; hidden, that takes no height.

    Attributes
    ----------
    button : QPushButton
        The title.
    content : QWidget
    """

    def __init__(self, title: str, content: QWidget, tooltip: str) -> None:
        super().__init__()
        self._title, self.content = title, content
        self.button = QPushButton()
        self.button.setStyleSheet("QPushButton { text-align: left; padding: 4px; }")
        self.button.setToolTip(tooltip)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        layout.addWidget(content)
        self.button.clicked.connect(lambda: self._show(not self.unfolded))
        self._show(False)

    @property
    def unfolded(self) -> bool:
        """Whether the content is shown."""
        return not self.content.isHidden()

    def expand(self) -> None:
        """Show the content."""
        self._show(True)

    def collapse(self) -> None:
        """Hide the content."""
        self._show(False)

    def _show(self, shown: bool) -> None:
        self.button.setText(f"{_OPEN if shown else _CLOSED} {self._title}")
        self.content.setVisible(shown)
