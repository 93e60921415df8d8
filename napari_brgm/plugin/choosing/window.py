"""The dock beside the panes: what is asked, how far one is, and a button for each key."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QGridLayout, QMainWindow, QPushButton, QVBoxLayout, QWidget

from napari_brgm.errors import OutputError
from napari_brgm.evaluation.choosing.study import TRUTH
from napari_brgm.plugin.choosing.panes import Panes
from napari_brgm.plugin.docks import dock_of
from napari_brgm.plugin.forms import PROBLEM, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.viewer

    from napari_brgm.evaluation.choosing.session import ChoosingSession

__all__ = ["ChoosingWidget", "open_choosing"]

_ASKED = {
    "nearest": "Which is nearest to the truth?",
    "real": "Which is real, not restored?",
}
_DOCK, _WIDTH = "Choose", 250
_COLUMNS, _APART = 3, 24
_PAUSED = "paused; the clock stands still"
_FIRST = "Choose one first, by its number."


class ChoosingWidget(QWidget):
    """Shows one question after the other; keys of the canvas and buttons do the same.

    Parameters
    ----------
    viewer : napari.Viewer
        Ours alone.
    session : ChoosingSession

    Attributes
    ----------
    numbers : list of QPushButton
    next_button, back_button, pause_button, outline_button : QPushButton
    progress, message : QLabel
    """

    def __init__(self, viewer: napari.viewer.Viewer, session: ChoosingSession) -> None:
        super().__init__()
        self.session, self.panes = session, Panes(viewer)
        self.asked = wrapped(_ASKED[session.kind])
        self.progress, self.message = wrapped(""), wrapped("", PROBLEM)
        self.asked.setStyleSheet("font-size: 15px; font-weight: bold;")
        most = max(len(question.shown) for question in session.questions)
        self.numbers = [
            self._button(str(i + 1), str(i + 1), partial(self._choose, i), f"Choose {i + 1} (key {i + 1})")
            for i in range(most)
        ]
        self.next_button = self._button("Next (Enter)", "Enter", self._next, "Keep the choice and go on (Enter, Space)")
        self.back_button = self._button(
            "Back (Backspace)", "Backspace", self._back, "Look at the question before again, and change its answer"
        )
        self.pause_button = self._button("Pause (P)", "P", self._pause, "Hide the images and stop the clock")
        self.outline_button = self._button("Outline (O)", "O", self._outline, "Outline what was not measured")
        self.outline_button.setCheckable(True)
        self.outline_button.setChecked(True)
        keys = {"Space": self._next} | {button.property("key"): button.click for button in self._buttons()}
        for key, act in keys.items():
            viewer.bind_key(key, _heard(act), overwrite=True)
        layout = QVBoxLayout(self)
        layout.addWidget(self.asked)
        layout.addWidget(self.progress)
        grid = QGridLayout()
        for i, button in enumerate(self.numbers):
            grid.addWidget(button, i // _COLUMNS, i % _COLUMNS)
        layout.addLayout(grid)
        layout.addWidget(self.next_button)
        layout.addWidget(self.back_button)
        layout.addWidget(self.message)
        layout.addSpacing(_APART)
        layout.addWidget(self.outline_button)
        layout.addWidget(self.pause_button)
        layout.addStretch(1)
        self.message.hide()
        self.setFixedWidth(_WIDTH)  # the room is the images'
        self._ask()

    def _buttons(self) -> list[QPushButton]:
        return [*self.numbers, self.next_button, self.back_button, self.pause_button, self.outline_button]

    def _button(self, text: str, key: str, act: Callable[[], None], tooltip: str) -> QPushButton:
        button = QPushButton(text)
        button.setProperty("key", key)
        button.setToolTip(tooltip)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay the canvas's
        button.clicked.connect(lambda: act())
        return button

    def _ask(self) -> None:
        session = self.session
        self.message.hide()
        if session.done:
            self.panes.clear()
            self.asked.setText("All questions are answered. Thank you.")
            self.progress.setText(f"{len(session)} of {len(session)}; close the window")
        else:
            case = session.case
            candidates = [case.truth if name == TRUTH else case.restored[name] for name in session.question.shown]
            self.panes.show(case, candidates, truth=session.kind == "nearest")
            self.asked.setText(_ASKED[session.kind])
        self._refresh()

    def _refresh(self) -> None:
        session = self.session
        open_ = not session.done and not session.paused
        if not session.done:
            text = f"{session.at + 1} of {len(session)}"
            self.progress.setText(f"{text}, {_PAUSED}" if session.paused else text)
        for i, button in enumerate(self.numbers):
            button.setVisible(not session.done and i < len(session.question.shown))
            button.setEnabled(open_)
            button.setStyleSheet("font-weight: bold; border: 2px solid #f2b84b;" if session.chosen == i else "")
        self.next_button.setEnabled(open_)
        self.back_button.setEnabled(not session.paused and session.at > 0)
        self.outline_button.setEnabled(open_)
        self.pause_button.setEnabled(not session.done)
        self.pause_button.setText("Go on (P)" if session.paused else "Pause (P)")
        self.panes.mark(session.chosen)

    def _choose(self, place: int) -> None:
        if self.session.choose(place):
            self.message.hide()
            self._refresh()

    def _next(self) -> None:
        if self.session.done or self.session.paused:
            return
        try:
            if self.session.next():
                self._ask()
                return
            self._say(_FIRST)
        except OutputError as error:
            self._say(str(error))

    def _back(self) -> None:
        if self.session.back():
            self._ask()

    def _pause(self) -> None:
        self.session.pause()
        self.message.hide()
        self.panes.cover(self.session.paused)
        self._refresh()

    def _outline(self) -> None:
        self.panes.outline(self.outline_button.isChecked())

    def _say(self, text: str) -> None:
        self.message.setText(text)
        self.message.show()


def open_choosing(viewer: napari.viewer.Viewer, session: ChoosingSession) -> ChoosingWidget:
    """Put the dock into a window and every other one out of sight: the room is the images'."""
    widget = ChoosingWidget(viewer, session)
    viewer.window.add_dock_widget(widget, name=_DOCK, area="right")
    own = dock_of(widget)
    window = None if own is None else own.parentWidget()
    if isinstance(window, QMainWindow):
        for dock in window.findChildren(QDockWidget):
            if dock is not own:
                dock.hide()
    return widget


def _heard(act: Callable[[], None]) -> Callable[[napari.viewer.Viewer], None]:
    def pressed(viewer: napari.viewer.Viewer) -> None:
        act()

    return pressed
