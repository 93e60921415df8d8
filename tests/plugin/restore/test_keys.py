"""Keys on the canvas do what the buttons of the panel in front do."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.key_bindings import KeyBinding

from napari_brgm.plugin.layers.history import AGAIN_KEY, BACK_KEY
from napari_brgm.plugin.restore.keys import KEYS

PATIENCE = 20_000  # ms


@pytest.fixture
def inpainting(window, one_prior, fake_engine, qtbot):
    viewer, widget = window("In-paint", show=True)
    qtbot.waitUntil(lambda: not widget.visibleRegion().isEmpty(), timeout=PATIENCE)
    volume = viewer.add_image(np.arange(6 * 20 * 24, dtype=np.float32).reshape(6, 20, 24), name="head")
    return viewer, widget, volume


def press(viewer, key: str) -> None:
    viewer.keymap[KeyBinding.from_str(key)](viewer)


def test_paint_run_and_cancel(inpainting, qtbot, fake_engine) -> None:
    viewer, widget, volume = inpainting
    press(viewer, KEYS["paint"])
    labels = widget.labels.value
    assert labels.mode == "paint"
    labels.mode = "pan_zoom"
    viewer.layers.selection.active = volume
    press(viewer, KEYS["paint"])
    assert viewer.layers.selection.active is labels
    assert labels.mode == "paint"
    assert len(viewer.layers) == 2
    labels.data[2, 5:9, 5:9] = 1
    viewer.dims.set_point(0, 2)
    press(viewer, KEYS["run"])
    qtbot.waitUntil(lambda: widget.worker is None, timeout=PATIENCE)
    assert [layer.name for layer in viewer.layers[2:]] == ["restored | head", "variance | head"]
    fake_engine.pause = 0.05
    press(viewer, KEYS["run"])
    assert widget.worker is not None
    press(viewer, KEYS["cancel"])
    qtbot.waitUntil(lambda: widget.worker is None, timeout=PATIENCE)
    assert "ancelled" in widget.status.text()


def test_the_next_masked_slice_comes_round(inpainting) -> None:
    viewer, widget, _ = inpainting
    widget.paint()
    labels = widget.labels.value
    labels.data[1, 3, 3] = labels.data[4, 3, 3] = 1
    seen = []
    for _ in range(3):
        press(viewer, KEYS["next_masked"])
        seen.append(int(viewer.dims.point[0]))
    assert seen in ([1, 4, 1], [4, 1, 4])
    labels.data[:] = 0
    press(viewer, KEYS["next_masked"])
    assert "othing is painted" in widget.status.text()


def test_a_run_is_taken_back_and_brought_again(inpainting, qtbot) -> None:
    viewer, widget, volume = inpainting
    widget.paint()
    widget.labels.value.data[2, 5:9, 5:9] = 1
    viewer.dims.set_point(0, 2)
    for _ in range(2):
        widget.run()
        qtbot.waitUntil(lambda: widget.worker is None, timeout=PATIENCE)
    names = [layer.name for layer in viewer.layers]
    assert len(names) == 6
    assert viewer.layers.selection.active is not widget.labels.value  # else napari takes back strokes with the key
    press(viewer, BACK_KEY)
    assert [layer.name for layer in viewer.layers] == names[:4]
    assert viewer.layers.selection.active is volume
    press(viewer, BACK_KEY)
    assert [layer.name for layer in viewer.layers] == names[:2]
    press(viewer, BACK_KEY)
    assert viewer.status == "there is no run to take back"
    press(viewer, AGAIN_KEY)
    assert [layer.name for layer in viewer.layers] == names[:4]
    assert viewer.layers.selection.active.name == "restored | head"
    assert volume in viewer.layers


def test_no_key_is_taken_from_napari() -> None:
    from napari.settings import get_settings

    taken = {KeyBinding.from_str(str(key)) for keys in get_settings().shortcuts.shortcuts.values() for key in keys}
    ours = {KeyBinding.from_str(key) for key in KEYS.values()}
    assert not taken & ours
