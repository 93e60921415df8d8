"""Our docks in a small window: behind each other, each there once, and none of them pushes the window's height."""

from __future__ import annotations

import subprocess
import sys

import pytest
from qtpy.QtCore import QPoint, QRect
from qtpy.QtWidgets import QDockWidget, QTabBar

from napari_brgm.plugin.docks import bring_up, dock_of
from napari_brgm.plugin.fold import Fold
from napari_brgm.plugin.panel import Panel
from napari_brgm.plugin.restore.panel import RestorationPanel

COMMANDS = (
    "inpaint", "super_resolve", "clean", "explore", "uncertainty", "save", "weights", "train", "batch", "pull", "push",
)  # fmt: skip
WIDTH, HEIGHT = 1280, 720
HEAVY = ("torch", "scipy.stats", "nibabel", "pydicom", "matplotlib")


@pytest.fixture
def small(make_napari_viewer, qtbot):
    """``small()``: a viewer of 1280 x 720 with the sample, its window, and what opens a panel as menus do."""
    from napari._app_model import get_app_model
    from napari.plugins import _initialize_plugins

    def open_small():
        _initialize_plugins()
        viewer = make_napari_viewer(show=True)
        viewer.open_sample("napari-brgm", "brain-artefact")
        viewer.window._qt_window.resize(WIDTH, HEIGHT)
        return viewer, viewer.window._qt_window, by_command

    def by_command(name: str) -> None:
        get_app_model().commands.execute_command(f"napari-brgm.{name}")
        qtbot.wait(80)  # Qt lays docks out once it has nothing else to do

    return open_small


def panels(main) -> list[Panel]:
    return [dock.widget() for dock in main.findChildren(QDockWidget) if isinstance(dock.widget(), Panel)]


def in_sight(widget, main) -> bool:
    """Whether all of it is seen in the window, with room for what it says."""
    place = QRect(widget.mapTo(main, QPoint(0, 0)), widget.size())
    high = widget.heightForWidth(widget.width()) if widget.hasHeightForWidth() else widget.sizeHint().height()
    whole = widget.visibleRegion().boundingRect() == widget.rect() and widget.height() >= high
    return whole and main.rect().contains(place)


def test_docks_open_without_heavy_packages() -> None:
    """Each of these costs a third of a second or more of the main thread, in which the window stands still."""
    docks = ", ".join(f"napari_brgm.plugin.restore.{name}" for name in ("inpaint", "super_resolve", "clean"))
    code = f"import sys, {docks}; sys.exit(repr([name for name in {HEAVY} if name in sys.modules] or 0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "0", done.stderr


def test_all_panels_fit_a_small_window(small, qtbot, click, one_prior) -> None:
    """Catches panels above each other (1086 pixels for two), folds (982), and buttons or sentences out of sight."""
    viewer, main, by_command = small()
    for number, name in enumerate(COMMANDS, 1):
        by_command(name)
        assert len(panels(main)) == number
        assert (main.width(), main.height()) == (WIDTH, HEIGHT), name
    docks = [dock_of(panel) for panel in panels(main)]
    assert all(len(main.tabifiedDockWidgets(dock)) == len(COMMANDS) - 1 for dock in docks)

    (bar,) = (bar for bar in main.findChildren(QTabBar) if bar.count() == len(COMMANDS))
    names = [bar.fontMetrics().horizontalAdvance(bar.tabText(i)) for i in range(bar.count())]
    assert all(bar.tabRect(i).width() > name for i, name in enumerate(names)) and bar.usesScrollButtons()

    for panel in (panel for panel in panels(main) if isinstance(panel, RestorationPanel)):
        dock_of(panel).raise_()
        folds = panel.findChildren(Fold)
        qtbot.wait(50)
        before = panel.scrolled.widget().height()
        for fold in folds:
            click(fold.button)
        qtbot.wait(50)
        assert main.height() == HEIGHT
        assert panel.scrolled.widget().height() > panel.scrolled.height()  # it scrolls
        for fold in folds:
            assert fold.content.height() >= fold.content.minimumSizeHint().height()  # no rows of half height
        viewer.layers.clear()
        click(panel.run_button)  # in vain
        for seen in (panel.run_button, panel.run_all_button, panel.cancel_button, panel.status, panel.estimate):
            qtbot.waitUntil(lambda seen=seen: in_sight(seen, main), timeout=2000)
        for fold in folds:
            fold.collapse()
        qtbot.waitUntil(
            lambda one=panel.scrolled, n=before: one.widget().height() <= max(n, one.height()), timeout=2000
        )


def test_the_reason_for_the_prior_is_read_whole(small) -> None:
    """Catches a sentence that is cut off below its first line."""
    _, main, by_command = small()
    by_command("inpaint")
    (panel,) = panels(main)
    assert panel.reason.text().startswith("Chosen because")
    assert in_sight(panel.reason, main)


def test_a_panel_is_there_once_however_it_is_opened(small, qtbot, click) -> None:
    """Catches two docks of one widget: one from the menu, one from a button or from Python."""
    viewer, main, by_command = small()
    by_command("inpaint")
    by_command("uncertainty")
    inpaint, uncertainty = panels(main)
    viewer.window.add_plugin_dock_widget("napari-brgm", "In-paint")
    assert panels(main) == [inpaint, uncertainty]

    by_command("inpaint")  # lies behind: comes to the front, is not taken away
    assert not inpaint.visibleRegion().isEmpty() and uncertainty.visibleRegion().isEmpty()
    inpaint.inspect_button.show()
    click(inpaint.inspect_button)
    qtbot.wait(80)
    assert panels(main) == [inpaint, uncertainty]
    assert not uncertainty.visibleRegion().isEmpty() and inpaint.visibleRegion().isEmpty()

    by_command("uncertainty")  # in front: the menu switches it off
    assert not uncertainty.isVisible() and not inpaint.visibleRegion().isEmpty()
    bring_up(viewer, "Uncertainty")
    qtbot.wait(80)
    assert panels(main) == [inpaint, uncertainty] and not uncertainty.visibleRegion().isEmpty()


def test_a_dock_stays_where_a_person_puts_it(small, qtbot) -> None:
    """Catches a dock that jumps back to the tabs when it is shown again."""
    _, main, by_command = small()
    by_command("inpaint")
    by_command("save")
    docks = [dock_of(panel) for panel in panels(main)]
    docks[1].setFloating(True)
    docks[1].hide()
    docks[1].show()
    qtbot.wait(80)
    assert docks[1].isFloating()
