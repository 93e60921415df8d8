"""A study in a real window, by its keys: what is chosen is found in the report, and no method is named before it."""

from __future__ import annotations

import os
import re

import napari
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QApplication, QDockWidget, QLabel

from napari_brgm.evaluation.choosing import write_case
from napari_brgm.evaluation.choosing.report import ChoiceReport
from napari_brgm.evaluation.choosing.session import ChoosingSession
from napari_brgm.evaluation.choosing.study import ChoiceStudy
from napari_brgm.plugin.choosing.__main__ import main
from napari_brgm.plugin.choosing.window import open_choosing

METHODS = {"qqalpha": 60, "qqbeta": 120, "qqgamma": 180}
CASES = 3


@pytest.fixture
def study(tmp_path) -> ChoiceStudy:
    flat = np.ones((16, 16))
    hole = np.zeros((16, 16), bool)
    hole[4:9, 4:9] = True
    for i in range(CASES):
        given = {name: level * flat for name, level in METHODS.items()}
        low = i == 0
        write_case(
            tmp_path / "cases", f"case-{i}", 20 * flat, (flat[::4, ::4] if low else flat) * 20, given,
            hole=None if low else hole, task="x4" if low else "hole", subject=str(i),
        )  # fmt: skip
    return ChoiceStudy.begin(tmp_path / "study", tmp_path / "cases", CASES, 11)


@pytest.fixture
def opened(request, study):
    """``opened(kind)``: viewer and dock of a session of reader r."""
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
        pytest.skip("needs a display: there is no OpenGL offscreen")
    make = request.getfixturevalue("make_napari_viewer")

    def show(kind: str):
        viewer = make()
        return viewer, open_choosing(viewer, ChoosingSession(study, kind, "r"))

    return show


@pytest.fixture
def press(qtbot):
    def pressed(viewer, *keys) -> None:
        for key in keys:
            qtbot.keyClick(viewer.window._qt_viewer.canvas.native, key)

    return pressed


def shown_as(widget, place: int) -> str:
    """The method that stands at a place, told by the grey level of its pane."""
    panes = {image.name: int(image.data[0, 0]) for image in widget.panes.images}
    return {level: name for name, level in METHODS.items()}.get(panes[str(place + 1)], "truth")


def place_of(widget, name: str) -> int:
    return next(i for i in range(len(widget.session.question.shown)) if shown_as(widget, i) == name)


NUMBERS = (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3)


def test_what_is_chosen_by_keys_is_in_the_report(opened, press, study):
    """Enter and Space both go on, before anything is chosen neither does; no method and no case is named."""
    viewer, widget = opened("nearest")
    docks = viewer.window._qt_window.findChildren(QDockWidget)
    assert [dock.windowTitle() for dock in docks if not dock.isHidden()] == ["Choose"]  # the room is the images'
    press(viewer, Qt.Key.Key_Return)
    assert widget.session.at == 0 and "Choose one first" in widget.message.text()
    for number, name in enumerate(["qqbeta", "qqalpha", "qqbeta"]):
        assert widget.progress.text() == f"{number + 1} of {CASES}"
        check_panes(widget)
        assert nothing_is_named(viewer)
        press(viewer, NUMBERS[place_of(widget, "qqgamma")], NUMBERS[place_of(widget, name)])  # a change of mind
        press(viewer, (Qt.Key.Key_Return, Qt.Key.Key_Space)[number % 2])
    assert widget.session.done and not viewer.layers and "All questions are answered" in widget.asked.text()
    assert nothing_is_named(viewer)
    shares = {s.method: s.share for s in ChoiceReport(study).shares("nearest") if s.task == "all"}
    assert shares == {"qqalpha": pytest.approx(1 / 3), "qqbeta": pytest.approx(2 / 3), "qqgamma": 0.0}


def check_panes(widget) -> None:
    """They lie over each other with one contrast: a low-resolution observation covers what it was made of."""
    images = widget.panes.images
    edges = [image.extent.world + np.outer([-0.5, 0.5], image.scale) for image in images]
    assert all(np.allclose(edge, edges[1]) for edge in edges)
    assert {tuple(image.contrast_limits) for image in images} == {(0, 255)}
    assert [image.name for image in images] == ["observed", "truth", "1", "2", "3"]


def nothing_is_named(viewer) -> bool:
    texts = [layer.name for layer in viewer.layers] + [viewer.title, viewer.status]
    texts += [f"{layer.metadata} {layer.source}" for layer in viewer.layers]
    for window in QApplication.topLevelWidgets():
        texts.append(window.windowTitle())
        for part in window.findChildren((QLabel, QAbstractButton)):
            texts += [part.text(), part.toolTip()]
    said = " ".join(map(str, texts))
    return not any(name in said for name in METHODS) and re.search(r"case-\d", said) is None


def test_back_going_on_after_a_cut_and_pausing(opened, press, study, click):
    viewer, widget = opened("real")
    press(viewer, Qt.Key.Key_1, Qt.Key.Key_Return, Qt.Key.Key_2, Qt.Key.Key_Return, Qt.Key.Key_Backspace)
    assert widget.session.at == 1 and widget.session.chosen == 1 and widget.panes.images[2].bounding_box.visible
    click(widget.numbers[0])  # after which the keys are heard as before
    press(viewer, Qt.Key.Key_Return)
    viewer.layers.clear()
    widget = open_choosing(viewer, ChoosingSession(study, "real", "r"))
    assert widget.progress.text() == f"3 of {CASES}" and nothing_is_named(viewer)
    given = [widget.session.answers.given[q.case].place for q in widget.session.questions[:2]]
    assert given == [0, 0]

    press(viewer, Qt.Key.Key_P)
    assert not any(layer.opacity for layer in viewer.layers) and "paused" in widget.progress.text()
    press(viewer, Qt.Key.Key_2, Qt.Key.Key_Return)
    assert widget.session.chosen is None and widget.session.at == 2
    press(viewer, Qt.Key.Key_P)
    assert all(layer.opacity for layer in viewer.layers)
    press(viewer, Qt.Key.Key_O)
    assert [layer.opacity for layer in viewer.layers if layer.name.startswith("hole")] == [0.0] * 3
    click(widget.numbers[1])
    click(widget.next_button)
    assert widget.session.done and nothing_is_named(viewer)


def test_the_process_opens_its_window_and_ends_with_it(request, study, monkeypatch, press):
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
        pytest.skip("needs a display: there is no OpenGL offscreen")
    made = []
    make = request.getfixturevalue("make_napari_viewer")
    monkeypatch.setattr(napari, "Viewer", lambda title: made.append(make(title=title)) or made[0])
    monkeypatch.setattr(napari, "run", lambda: press(made[0], Qt.Key.Key_1, Qt.Key.Key_Space))
    assert main(str(study.folder), "real", "r") == 0
    assert made[0].title == "r: real" and len(ChoosingSession(study, "real", "r").answers.given) == 1


def test_the_process_tells_what_is_wrong_without_a_window(study, capsys):
    (study.folder / "cases" / "case-1.npz").unlink()
    assert main(str(study.folder), "real", "r") == 2
    assert "case-1" in capsys.readouterr().err
