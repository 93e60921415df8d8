"""What a panel says: sentences one below the other, which must not push its buttons out of sight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QLabel, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

__all__ = ["Messages"]

_HIGHEST = 132  # pixels: eight lines,
_SMALL_WINDOW, _MORE = 720, 0.3  # in a window of this height, and of what a window is higher this share more


class Messages(QScrollArea):
    """As high as its labels, up to a limit beyond which it scrolls; of no height while they say nothing."""

    def __init__(self, *labels: QLabel) -> None:
        super().__init__()
        self._labels = labels
        content = QWidget()
        self._lines = QVBoxLayout(content)
        self._lines.setContentsMargins(0, 0, 0, 0)
        for label in labels:
            self._lines.addWidget(label)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setWidget(content)

    def heightForWidth(self, width: int) -> int:
        """As the labels break their lines at this width."""
        if all(label.isHidden() or not label.text() for label in self._labels):
            return 0
        high = self._lines.heightForWidth(width) if self._lines.hasHeightForWidth() else self._lines.sizeHint().height()
        window = self.window()
        room = 0 if window is None else window.height() - _SMALL_WINDOW
        highest = _HIGHEST + round(_MORE * max(room, 0))
        return min(high + 2 * self.frameWidth(), highest)  # napari's style frames it whatever its shape

    def sizeHint(self) -> QSize:
        """Of the width that it has."""
        return QSize(0, self.heightForWidth(self.width()))

    def minimumSizeHint(self) -> QSize:
        """Of the width that it has."""
        return self.sizeHint()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Follow the window that it is in by now."""
        window = self.window()
        if window is not None:
            window.installEventFilter(self)  # once, however often
        super().showEvent(event)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow what the labels say, and how high the window is."""
        kind = None if event is None else event.type()
        said = kind == QEvent.Type.LayoutRequest and watched is self.widget()
        if said or (kind == QEvent.Type.Resize and watched is self.window()):
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))
