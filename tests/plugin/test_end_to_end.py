"""A radiologist's session in a real window: menu, mouse strokes, run, cancel, run again, inspect, save, reopen.

With BRGM_SCREENSHOTS naming a folder, each station leaves a picture there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from measure_overhead import Watch

from napari_brgm.plugin.layers.tag import TAG

if TYPE_CHECKING:
    from pathlib import Path

    from qtpy.QtWidgets import QMenu

PLUGIN = "napari-brgm"
LONG = 240_000  # ms


@pytest.fixture
def from_menu(qtbot):
    """Press an entry of File > Open Sample > napari-brgm, as a person does."""

    def press(viewer, text: str) -> None:
        def entries(menu: QMenu):
            menu.aboutToShow.emit()
            for action in menu.actions():
                if action.menu() is not None:
                    yield from entries(action.menu())
                else:
                    yield action

        menu = viewer.window.file_menu
        found = [action for action in entries(menu) if action.text().endswith(text)]
        assert found, [action.text() for action in entries(menu)]
        found[0].trigger()

    return press


def dock(viewer, title: str):
    return viewer.window.add_plugin_dock_widget(PLUGIN, title)[1]


def test_from_the_menu_to_a_saved_and_reopened_series(
    window, qtbot, click, picture, from_menu, stroke, hover, tmp_path: Path
) -> None:
    viewer, widget = window("In-paint", show=True)
    from_menu(viewer, "volume with artefact masks")
    image = next(layer for layer in viewer.layers if layer.ndim == 3 and "mask" not in layer.name)
    for layer in list(viewer.layers):
        if layer is not image:
            viewer.layers.remove(layer)
    assert "MR" in widget.reason.text() and "axial" in widget.reason.text()
    assert widget.prior.value.startswith("brain-axial")
    widget.prior.value = "brain-axial-128"
    widget.device.value, widget.quality.value, widget.samples.value = "cpu", "preview", 8
    assert "A slice takes about" in widget.estimate.text() and "CPU" in widget.estimate.text()

    # paint with the mouse on two neighbouring slices
    middle = image.data.shape[0] // 2
    viewer.window._qt_window.resize(1500, 950)
    qtbot.wait(300)
    click(widget.paint_button.native)
    labels = viewer.layers[-1]
    rows, columns = image.data.shape[1:]
    for number in (middle, middle + 1):
        viewer.dims.set_current_step(0, number)
        viewer.reset_view()
        qtbot.wait(100)
        ends = ((0.35, 0.3), (0.45, 0.38), (0.55, 0.4))
        stroke(viewer, labels, [(number, rows * r, columns * c) for r, c in ends])
    painted = np.flatnonzero(labels.data.any(axis=(1, 2)))
    assert painted.tolist() == [middle, middle + 1], "the strokes of the mouse did not paint"
    picture(viewer, "painted")
    labels.mode = "pan_zoom"

    # run, cancel within a step, run again on both slices
    click(widget.run_button)
    qtbot.waitUntil(lambda: viewer.layers[-1].name.startswith("preview | "), timeout=LONG)
    assert TAG in viewer.canvas.overlays["text"].text
    picture(viewer, "running")
    click(widget.cancel_button)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=LONG)
    assert list(viewer.layers) == [image, labels]
    assert TAG not in viewer.canvas.overlays["text"].text

    widget.with_std.value = True
    watch = Watch()
    click(widget.run_all_button)
    assert "2 slices" in widget.status.text()
    qtbot.waitUntil(lambda: widget.worker is None, timeout=LONG)
    print(f"\nlongest time the window did not answer: {1000 * watch.stop():.0f} ms")
    restored, std, variance = list(viewer.layers)[2:]
    hole = labels.data > 0
    np.testing.assert_array_equal(restored.data[~hole], image.data[~hole])
    assert (variance.data[hole] > 0).mean() > 0.99 and not variance.data[~hole].any()
    assert restored.metadata["brgm"]["run"] == std.metadata["brgm"]["run"]
    assert len(restored.metadata["brgm"]["slices"]) == 2
    assert TAG in viewer.canvas.overlays["text"].text
    picture(viewer, "restored-volume")

    # inspect
    click(widget.inspect_button)
    inspector = dock(viewer, "Uncertainty")
    index = np.argwhere(hole)[len(np.argwhere(hole)) // 2]
    viewer.dims.set_current_step(0, int(index[0]))
    viewer.layers.selection.active = restored
    qtbot.wait(300)
    hover(viewer, restored, tuple(index))
    qtbot.wait(300)
    assert "±" in inspector.value.text(), inspector.value.text()
    picture(viewer, "uncertainty")
    inspector.parent().close()

    # save, and open what was saved
    click(widget.save_button)
    saver = dock(viewer, "Save with provenance")
    saver.result.value = restored
    saver.folder.value = tmp_path
    click(saver.save_button)
    qtbot.waitUntil(lambda: saver.task is None, timeout=LONG)
    files = sorted(path for path in tmp_path.iterdir() if path.name.endswith(".nii.gz"))
    assert len(files) == 4, saver.status.text()
    picture(viewer, "saved")
    viewer.layers.clear()
    mask, *opened = viewer.open(files[-1], plugin=PLUGIN)
    np.testing.assert_array_equal(mask.data > 0, hole)
    assert [again.name for again in opened] == [layer.name for layer in (restored, std, variance)]
    for again in opened:
        role = again.metadata["brgm"]["role"]
        before = {"restored": restored, "std": std, "variance": variance}[role]
        np.testing.assert_allclose(again.data, before.data, rtol=1e-6, atol=1e-9)
        assert again.metadata["brgm"] == before.metadata["brgm"]
        corner = [n - 1 for n in again.data.shape]
        for point in ([0, 0, 0], corner):
            np.testing.assert_allclose(again.data_to_world(point), before.data_to_world(point), atol=1e-4)


def test_thinner_slices_overlay_the_thick_ones(window, qtbot, click, picture, from_menu) -> None:
    """Axial planes of a thick coronal volume, restored one by one, lie exactly over it; averaged, they are it."""
    viewer, widget = window("Super-resolve", show=True)
    from_menu(viewer, "thick coronal slices")
    (thick,) = viewer.layers
    widget.way.value, widget.target.value = "through", 2.0
    assert widget.prior.value.startswith("brain-axial"), widget.reason.text()
    widget.prior.value = "brain-axial-128"
    widget.device.value, widget.quality.value, widget.samples.value = "cpu", "preview", 2
    click(widget.run_button)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=LONG)
    restored = viewer.layers[1]
    finer = [new / old for new, old in zip(restored.data.shape[1:], thick.data.shape[1:], strict=True)]
    assert sorted(finer) == [1.0, 2.0], (widget.status.text(), restored.data.shape)
    picture(viewer, "thin-slices")
    axis = 1 + finer.index(2.0)
    low, high = (np.array(e, float) for e in ([-0.5] * 3, np.array(restored.data.shape) - 0.5))
    bottom, top = (thick.world_to_data(restored.data_to_world(edge)) for edge in (low, high))
    np.testing.assert_allclose((bottom[axis], top[axis]), (-0.5, thick.data.shape[axis] - 0.5), atol=1e-6)
    number = round(thick.world_to_data(restored.data_to_world((0, 0, 0)))[0])
    means = restored.data[0].reshape(-1, 2, restored.data.shape[2]) if axis == 1 else None
    assert means is not None
    inside = slice(1, -1)  # the profile reaches over the edges
    error = np.abs(means.mean(axis=1)[inside] - thick.data[number][inside])
    assert error.max() < 0.1 * thick.data[number].max()


def test_a_ct_is_told_to_be_unlike_a_brain_prior(window, qtbot, click, picture, from_menu) -> None:
    """The wrong modality is said before the run and seen in the misfit after it; the untrained network was offered."""
    viewer, widget = window("In-paint", show=True)
    from_menu(viewer, "CT of pydicom (CT_small)")
    (scan,) = viewer.layers
    assert widget.prior.value == "deep-image"
    assert "no prior knows CT" in widget.reason.text()
    widget.prior.value = "brain-axial-128"
    widget.device.value, widget.quality.value, widget.samples.value = "cpu", "preview", 2
    labels = viewer.add_labels(np.zeros(scan.data.shape, np.uint8), name="mask", scale=scan.scale,
                               translate=scan.translate, units=scan.units, axis_labels=scan.axis_labels)  # fmt: skip
    labels.data[40:60, 30:50] = 1
    labels.refresh()
    widget.labels.value = labels
    click(widget.run_button)
    assert "The scan is CT and the prior knows MR T1" in widget.advice.text()
    qtbot.waitUntil(lambda: widget.worker is None, timeout=LONG)
    assert "unlike what the prior knows" in widget.advice.text(), widget.advice.text()
    assert widget.alignment.fields["high"].value > widget.alignment.fields["low"].value
    picture(viewer, "warnings")
