"""What stands on the canvas of a real window: letters, bars, the original under a held key, and no dark square."""

from __future__ import annotations

import numpy as np
import pytest
from contrast import contrast
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_brgm.plugin.canvas.follow import follow
from napari_brgm.plugin.canvas.orientation import EDGES
from napari_brgm.plugin.layers.results import Extras, add_results
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.layers.tag import TAG
from napari_brgm.scan import Scan


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    follow(viewer)
    return viewer


def scan_in(viewer, name="scan", value=0.5):
    """Axial, dark outside of a brighter block, which is not in the middle."""
    array = np.zeros((40, 60, 5), np.float32)
    array[8:30, 10:50] = value
    data, settings, _ = image_layer(Scan(array, np.diag([2.0, 2, 3, 1]), name=name))
    return viewer.add_image(data, **settings | {"contrast_limits": (0, 1)})


def run_on(viewer, source, fake_restoration, task="in-paint"):
    shown = shown_slice(source, viewer.dims)
    missing = np.zeros(shown.image.shape, bool)
    missing[20:40, 10:30] = True
    given = {"in-paint": {"missing": missing}, "super-resolve": {"factor": (2.0, 2.0)}}.get(task, {})
    return add_results(viewer, source, [(shown, fake_restoration(shown.image, **given))], task, Extras(std=True))


def texts(viewer) -> dict[str, str]:
    """What is written at the edges of the canvas, and below the colour bars."""
    written = {key: text for key, text in viewer.canvas.overlays.items() if str(key).startswith("brgm_")}
    return {str(key)[5:]: text.text for key, text in written.items() if text.visible}


def visible(viewer) -> list[bool]:
    return [layer.visible for layer in viewer.layers]


def press(viewer, qtbot, widget=None, *, down: bool = True) -> None:
    native = viewer.window._qt_viewer.canvas.native if widget is None else widget
    (qtbot.keyPress if down else qtbot.keyRelease)(native, Qt.Key.Key_H)


def test_letters_follow_what_is_shown(viewer) -> None:
    axial = {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    source = scan_in(viewer)
    assert texts(viewer) == axial
    viewer.dims.roll()
    rolled = texts(viewer)
    assert set(rolled.values()) < set("RLAPSI") and rolled != axial
    viewer.dims.order = (0, 1, 2)
    viewer.dims.transpose()
    assert texts(viewer) == {"left": "A", "right": "P", "top": "R", "bottom": "L"}
    viewer.dims.transpose()
    viewer.dims.ndisplay = 3
    assert texts(viewer) == {}
    viewer.dims.ndisplay = 2
    source.visible = False
    assert texts(viewer) == {}
    source.visible = True
    viewer.scene.camera.orientation2d = ("up", "right")
    assert texts(viewer) == axial | {"top": "P", "bottom": "A"}
    viewer.scene.camera.orientation2d = ("down", "right")
    source.scale = source.scale * [1, 1, -1]
    assert texts(viewer) == axial | {"left": "L", "right": "R"}
    viewer.layers.remove(source)
    assert texts(viewer) == {}


def test_letters_are_drawn_at_the_edges(viewer, qtbot) -> None:
    """They change the canvas where they are said to stand, and not elsewhere."""
    scan_in(viewer, value=0.0)
    viewer.window._qt_window.resize(1000, 700)
    qtbot.wait(300)
    drawn = viewer.screenshot(flash=False)[..., :3].astype(int)
    drawn = np.abs(drawn - drawn[0, 0]).max(axis=-1) > 60
    height, width = drawn.shape
    rows, columns = slice(height // 2 - 20, height // 2 + 20), slice(width // 2 - 20, width // 2 + 20)
    edges = [(rows, slice(0, 40)), (rows, slice(-40, None)), (slice(0, 40), columns), (slice(-40, None), columns)]
    for edge in edges:
        assert drawn[edge].any()
        drawn[edge] = False
    assert not drawn.any()


def test_letters_are_read_in_both_themes(viewer, qtbot) -> None:
    """White ones on a white slice, or on a white canvas, would not be."""
    scan_in(viewer, value=1.0)
    viewer.scene.camera.zoom *= 3  # nothing but white
    for theme in ("dark", "light"):
        viewer.theme = theme
        qtbot.wait(300)
        for overlay in (viewer.canvas.overlays[f"brgm_{edge}"] for edge in EDGES):
            assert overlay.box and contrast(overlay.color[:3], overlay.box_color[:3]) >= 4.5
        drawn = viewer.screenshot(flash=False)[..., :3].min(axis=-1)
        middle = drawn.shape[0] // 2
        part = drawn[middle - 30 : middle + 30, :50]
        rows, columns = np.nonzero(part < 20)  # the ground of the letter, and in it the letter
        assert len(rows) > 100 and (part[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] > 235).any()


def test_a_tint_has_a_bar_and_its_units(viewer, qtbot, fake_restoration) -> None:
    source = scan_in(viewer)
    layers = run_on(viewer, source, fake_restoration)
    tint, std = layers[-1], layers[1]
    qtbot.waitUntil(lambda: tint.colorbar.visible)
    assert texts(viewer)["caption"] == "variance, a.u.²"
    assert not std.visible and not std.colorbar.visible
    std.visible = True
    qtbot.waitUntil(lambda: std.colorbar.visible)
    assert texts(viewer)["caption"] == "variance, a.u.²\nstandard deviation, a.u."
    tint.colorbar.visible = False  # by hand
    assert texts(viewer)["caption"] == "standard deviation, a.u."
    tint.visible = False
    tint.visible = True
    qtbot.wait(200)
    assert not tint.colorbar.visible
    std.visible = False
    assert "caption" not in texts(viewer)
    std.visible = True
    qtbot.wait(100)
    viewer.layers.remove(std)
    assert "caption" not in texts(viewer)


def test_the_original_while_the_key_is_held(viewer, qtbot, fake_restoration) -> None:
    source = scan_in(viewer)
    other = viewer.add_image(np.zeros((5, 60, 40)), name="not ours", visible=False)
    for task in ("in-paint", "clean", "super-resolve"):
        source.visible = True
        made = run_on(viewer, source, fake_restoration, task)
        source.visible = False
        before = visible(viewer)
        assert TAG in viewer.canvas.overlays["text"].text
        press(viewer, qtbot)
        assert [layer.name for layer in viewer.layers if layer.visible] == [source.name]
        assert TAG not in viewer.canvas.overlays["text"].text and "original" in viewer.status
        press(viewer, qtbot)  # as a keyboard repeats it
        press(viewer, qtbot, down=False)
        assert visible(viewer) == before and "original" not in viewer.status and not other.visible
        assert TAG in viewer.canvas.overlays["text"].text
        for layer in made:
            viewer.layers.remove(layer)


def test_the_original_of_a_result_of_a_result(viewer, qtbot, fake_restoration) -> None:
    source = scan_in(viewer)
    first = run_on(viewer, source, fake_restoration)
    run_on(viewer, first[0], fake_restoration, "clean")
    source.name = "renamed"  # it is known by its file
    before = visible(viewer)
    press(viewer, qtbot)
    assert [layer.name for layer in viewer.layers if layer.visible] == ["renamed"]
    press(viewer, qtbot, down=False)
    assert visible(viewer) == before


def test_what_is_not_ours_stays(viewer, qtbot, fake_restoration) -> None:
    viewer.add_labels(np.zeros((5, 60, 40), int), name="mask")
    press(viewer, qtbot)
    assert visible(viewer) == [True] and "no result" in viewer.status
    press(viewer, qtbot, down=False)
    source = scan_in(viewer)
    run_on(viewer, source, fake_restoration)
    press(viewer, qtbot)
    assert viewer.layers["mask"].visible
    press(viewer, qtbot, down=False)
    viewer.layers.remove(source)  # nothing to put in the result's place
    before = visible(viewer)
    press(viewer, qtbot)
    assert visible(viewer) == before and "no result" in viewer.status
    press(viewer, qtbot, down=False)


def test_the_key_is_let_go_elsewhere(viewer, qtbot, fake_restoration) -> None:
    """While it is held the focus goes to a button of a dock, as by a click, or to another window."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-brgm", "Uncertainty")
    source = scan_in(viewer)
    run_on(viewer, source, fake_restoration)
    before = visible(viewer)
    canvas = viewer.window._qt_viewer.canvas.native
    viewer.window._qt_window.activateWindow()
    canvas.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is canvas)
    press(viewer, qtbot)
    assert visible(viewer) != before
    widget.pin_button.setFocus()
    qtbot.waitUntil(lambda: visible(viewer) == before)
    press(viewer, qtbot, widget.pin_button)  # with the focus in the dock
    assert visible(viewer) != before
    press(viewer, qtbot, widget.pin_button, down=False)
    assert visible(viewer) == before
    press(viewer, qtbot)
    viewer.layers.remove(viewer.layers[-1])  # deleted meanwhile
    press(viewer, qtbot, down=False)
    assert visible(viewer) == before[:-1]


def test_a_key_that_is_taken_stays_with_the_person(make_napari_viewer, qtbot, fake_restoration) -> None:
    viewer = make_napari_viewer()
    pressed = []
    viewer.bind_key("h", lambda viewer: pressed.append(viewer))
    follow(viewer)
    run_on(viewer, scan_in(viewer), fake_restoration)
    before = visible(viewer)
    press(viewer, qtbot)
    assert pressed and visible(viewer) == before
    press(viewer, qtbot, down=False)


def test_no_dark_square_after_painting(viewer, qtbot, stroke, fake_restoration) -> None:
    """When an overlay appears while the brush is on the canvas, napari draws the brush's ground, and leaves it."""
    source = scan_in(viewer, value=1.0)
    labels = viewer.add_labels(np.zeros(source.data.shape, np.uint8), scale=source.scale, translate=source.translate)
    labels.opacity = 0
    viewer.window._qt_window.resize(1000, 700)
    viewer.reset_view()
    qtbot.wait(300)
    before = viewer.screenshot(flash=False).astype(int)
    labels.mode, labels.brush_size = "paint", 6
    stroke(viewer, labels, [(0, 25, 15), (0, 30, 20)])
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2  # letters go and come
    viewer.canvas.overlays["scale_bar"].visible = True  # one more overlay, made while the brush is there
    qtbot.wait(100)
    viewer.canvas.overlays["scale_bar"].visible = False
    labels.mode = "pan_zoom"
    viewer.reset_view()
    qtbot.wait(300)
    after = viewer.screenshot(flash=False).astype(int)
    assert np.abs(after - before).max() < 10


def test_the_proxy_that_widgets_get_is_the_viewer(viewer) -> None:
    from napari.utils._proxies import PublicOnlyProxy

    texts_before = set(viewer.canvas.overlays)
    follow(PublicOnlyProxy(viewer))
    scan_in(viewer)
    assert len(set(viewer.canvas.overlays) - texts_before) == 4
