"""Where our docks go in napari's window: behind each other, each of them there once.

A manifest can say ``tabify``, but npe2 before 0.10 refuses one that does, and no napari reads it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QTabBar, QWidget

if TYPE_CHECKING:
    import napari.viewer

__all__ = ["bring_up", "dock_of", "join_tabs"]

_PLUGIN = "napari-brgm"  # also the display name in the manifest: napari names a dock by either, and would make two


def bring_up(viewer: napari.viewer.Viewer, widget: str) -> None:
    """Show a widget of ours, by its name in the manifest, in front of the others; it is made where there is none."""
    dock, _ = viewer.window.add_plugin_dock_widget(_PLUGIN, widget)
    dock.show()
    dock.raise_()


def dock_of(widget: QWidget) -> QDockWidget | None:
    """The dock that a widget lies in."""
    parent = widget.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent


def join_tabs(widget: QWidget) -> None:
    """Put the dock of a widget of ours in front of another of ours on the same side, not above or below it."""
    dock = dock_of(widget)
    window = None if dock is None else dock.parentWidget()
    if dock is None or not isinstance(window, QMainWindow):
        return
    _InFront(dock)
    dock.setWindowTitle(dock.windowTitle().removesuffix(f" ({_PLUGIN})"))  # on the tab, where room is short
    if dock.isFloating() or window.tabifiedDockWidgets(dock):
        return
    area = window.dockWidgetArea(dock)
    for other in window.findChildren(QDockWidget):
        ours = type(other.widget()).__module__.startswith(__package__ or "")
        if other is dock or not ours or other.isHidden() or other.isFloating() or window.dockWidgetArea(other) != area:
            continue
        window.tabifyDockWidget(other, dock)
        dock.show()
        dock.raise_()
        laid_out = QTimer(dock)  # of no time: Qt makes the bar of tabs when it lays out the window
        laid_out.setSingleShot(True)
        laid_out.timeout.connect(partial(_whole_names, dock))
        laid_out.start()
        return


def _whole_names(dock: QDockWidget) -> None:
    """Tabs of the bar that the dock is in are as wide as their names: it scrolls when there are many."""
    window = dock.parentWidget()
    for bar in [] if window is None else window.findChildren(QTabBar):
        if any(bar.tabText(i) == dock.windowTitle() for i in range(bar.count())):
            bar.setElideMode(Qt.TextElideMode.ElideNone)


class _InFront(QObject):
    """Brings a dock to the front that a menu would take away while it lies behind another tab.

    napari's menus switch a dock off that is there, seen or not.
    """

    def __init__(self, dock: QDockWidget) -> None:
        super().__init__(dock)
        self._dock, self._behind = dock, False
        self._soon = QTimer(self)  # not while Qt hides it
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._raise)
        dock.visibilityChanged.connect(self._on_visibility)
        dock.installEventFilter(self)

    def _on_visibility(self, visible: bool) -> None:
        if visible or not self._dock.isHidden():
            self._behind = not visible

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.HideToParent and self._behind:
            self._soon.start()
        return False

    def _raise(self) -> None:
        self._dock.show()
        self._dock.raise_()
