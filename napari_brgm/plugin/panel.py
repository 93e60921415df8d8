"""What every dock of ours is: choices that scroll, and below them what is always in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QScrollArea,
    QScrollBar,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_brgm.plugin.canvas.follow import follow_window
from napari_brgm.plugin.docks import join_tabs
from napari_brgm.plugin.fold import Fold

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

__all__ = ["Panel", "ScrolledChoices"]

_FOOT_MARGINS = 9, 6, 9, 9  # pixels


class Panel(QWidget):
    """Never forces the window's height: what does not fit scrolls; buttons, messages and the safety notice stay.

    Attributes
    ----------
    choices : QVBoxLayout
        What scrolls.
    foot : QVBoxLayout
        What is always in sight.
    scrolled : ScrolledChoices
    """

    usual_width: ClassVar[int] = 330  # pixels: wide enough for the names of layers

    def __init__(self) -> None:
        super().__init__()
        content = QWidget()
        foot = QWidget()
        self.choices, self.foot = QVBoxLayout(content), QVBoxLayout(foot)
        self.scrolled = ScrolledChoices(content)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        policy.setHeightForWidth(True)
        foot.setSizePolicy(policy)
        outer.addWidget(self.scrolled, 1)
        self.foot.setContentsMargins(*_FOOT_MARGINS)
        outer.addWidget(foot)
        self._docked = False
        self._unfolded: Fold | None = None
        self._laid_out = QTimer(self)  # of no time: once Qt has made room
        self._laid_out.setSingleShot(True)
        self._laid_out.timeout.connect(self._bring_into_sight)

    def sizeHint(self) -> QSize:
        """As wide as panels usually are."""
        return QSize(self.usual_width, super().sizeHint().height())

    def showEvent(self, event: QShowEvent | None) -> None:
        """Join the tabs of our other docks, once: where a person puts it later, it stays."""
        super().showEvent(event)
        if not self._docked:
            self._docked = True
            follow_window()
            _Wheel(self.scrolled)
            join_tabs(self)

    def folded(self, title: str, content: QWidget, tooltip: str) -> Fold:
        """Add choices that are folded away; they come into sight when they are unfolded."""
        fold = Fold(title, content, tooltip)
        fold.button.clicked.connect(lambda: self._on_fold(fold))
        self.choices.addWidget(fold)
        return fold

    def _on_fold(self, fold: Fold) -> None:
        self._unfolded = fold if fold.unfolded else None
        self._laid_out.start()

    def _bring_into_sight(self) -> None:
        if self._unfolded is not None:
            self.scrolled.ensureWidgetVisible(self._unfolded, 0, 0)


class ScrolledChoices(QScrollArea):
    """Scrolls up and down, and is wide enough not to scroll sideways."""

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)

    def minimumSizeHint(self) -> QSize:
        """Of the content's width, scroll bar beside it."""
        least, content, bar = super().minimumSizeHint(), self.widget(), self.verticalScrollBar()
        if content is None or bar is None:
            return least
        return QSize(content.minimumSizeHint().width() + bar.sizeHint().width(), least.height())

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the width of the content."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))


class _Wheel(QObject):
    """Scrolls choices wherever the cursor is: over a box that was not clicked it must not change what is chosen."""

    def __init__(self, scrolled: ScrolledChoices) -> None:
        super().__init__(scrolled)
        self._scrolled = scrolled
        for child in scrolled.findChildren(QWidget):
            if isinstance(child, QComboBox | QAbstractSpinBox | QAbstractSlider) and not isinstance(child, QScrollBar):
                child.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # the wheel does not give it the focus either
                child.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        turned = event is not None and event.type() == QEvent.Type.Wheel
        if not turned or not isinstance(watched, QWidget) or watched.hasFocus():
            return False
        QApplication.sendEvent(self._scrolled.viewport(), event)
        return True
