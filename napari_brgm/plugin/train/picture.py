"""A picture of a file as wide as the panel: contact sheet and samples of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QLabel, QSizePolicy

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtGui import QResizeEvent

__all__ = ["FilePicture"]


class FilePicture(QLabel):
    """Shows a PNG, anew when its file changes; hidden where there is none."""

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self._seen: tuple[str, int] | None = None
        self._whole = QPixmap()
        self.setToolTip(tooltip)
        self.setMinimumWidth(120)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.hide()

    def show_file(self, path: Path) -> None:
        """Show what the file holds now."""
        try:
            seen = str(path), path.stat().st_mtime_ns
        except OSError:
            self._seen = None
            self.hide()
            return
        if seen == self._seen:
            return
        self._seen, self._whole = seen, QPixmap(str(path))
        self._fit()
        self.setVisible(not self._whole.isNull())

    def heightForWidth(self, width: int) -> int:
        """As the picture is shaped."""
        return 0 if self._whole.isNull() else round(width * self._whole.height() / self._whole.width())

    def sizeHint(self) -> QSize:
        """Of the width that it has."""
        width = max(self.width(), self.minimumWidth())
        return QSize(width, self.heightForWidth(width))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fill the width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._whole.isNull():
            return
        size = QSize(self.width(), self.heightForWidth(self.width()))
        self.setPixmap(
            self._whole.scaled(size, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation)
        )
        self.updateGeometry()
