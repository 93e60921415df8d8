"""Holes fill while they are painted, in a real window with the mouse and the prior that ships."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_brgm.likelihood import to_grey
from napari_brgm.plugin.layers.history import history_of
from napari_brgm.plugin.layers.tag import TAG
from napari_brgm.plugin.restore import live
from napari_brgm.plugin.restore.inpaint import InpaintWidget

PATIENCE = 60_000  # ms


@pytest.fixture
def painting(window, brain_prior, loaded_once):
    """In-paint with a slice that the prior draws, and an empty mask, brush in hand."""
    viewer, widget = window("In-paint")
    assert isinstance(widget, InpaintWidget)
    data = to_grey(brain_prior.sample(1, seed=3))[0, 0].clamp(0, 255).numpy()
    image = viewer.add_image(data, name="slice", scale=(1.5, 1.5), units=("mm", "mm"))
    widget.prior.value = brain_prior.info.name
    widget.paint()
    return viewer, widget, image, widget.labels.value


def filled(widget, qtbot) -> None:
    qtbot.waitUntil(lambda: widget.live.task is None and not widget.live._soon.isActive(), timeout=PATIENCE)


def test_a_stroke_fills_and_the_next_follows(painting, stroke, qtbot, picture) -> None:
    viewer, widget, image, labels = painting
    before = image.data.copy()
    labels.brush_size = 12
    stroke(viewer, labels, [(60, 50), (60, 70)])
    qtbot.waitUntil(lambda: len(widget.live.layers) == 2, timeout=PATIENCE)
    filled(widget, qtbot)
    estimate, std = widget.live.layers
    hole = labels.data > 0
    assert hole.sum() > 100
    np.testing.assert_array_equal(np.isfinite(estimate.data), hole)  # elsewhere the brush is seen
    np.testing.assert_array_equal(std.data > 0, hole)
    mean = (brain_mean(widget) + 1) * 127.5
    error, naive = (np.sqrt(np.mean(np.square(x - before)[hole])) for x in (estimate.data, mean))
    assert error < naive
    np.testing.assert_array_equal(image.data, before)
    assert viewer.layers.selection.active is labels
    assert labels.mode == "paint"
    assert TAG in viewer.canvas.overlays["text"].text
    assert all(layer.metadata["brgm"]["role"] == "preview" for layer in widget.live.layers)
    picture(viewer, "filled-while-painting")

    stroke(viewer, labels, [(75, 60), (85, 60)])
    qtbot.waitUntil(lambda: np.isfinite(estimate.data).sum() > hole.sum(), timeout=PATIENCE)
    filled(widget, qtbot)
    np.testing.assert_array_equal(np.isfinite(estimate.data), labels.data > 0)
    labels.undo()
    qtbot.waitUntil(lambda: np.array_equal(np.isfinite(estimate.data), hole), timeout=PATIENCE)
    labels.undo()
    qtbot.waitUntil(lambda: not widget.live.layers, timeout=PATIENCE)
    assert [layer.name for layer in viewer.layers] == ["slice", labels.name]


def test_the_first_one_says_that_it_waits(painting, stroke, qtbot, brain_prior, monkeypatch) -> None:
    """Loading the prior takes seconds, in which nothing is seen to happen."""
    viewer, widget, _, labels = painting
    loaded = threading.Event()
    monkeypatch.setattr(live, "_loaded", lambda name: loaded.wait(PATIENCE / 1000) and brain_prior)
    stroke(viewer, labels, [(60, 50), (62, 66)])
    qtbot.waitUntil(lambda: widget.status.text() == "Loading the prior and fitting the slice ...", timeout=PATIENCE)
    assert widget.status.isVisibleTo(widget)
    widget.live.clear()  # as when the mask is taken away
    assert widget.status.text() == "" and widget.status.isHidden()
    loaded.set()
    filled(widget, qtbot)
    stroke(viewer, labels, [(64, 50), (64, 66)])
    qtbot.waitUntil(lambda: len(widget.live.layers) == 2, timeout=PATIENCE)
    assert widget.status.text().startswith("A preview; press Run")


def brain_mean(widget) -> np.ndarray:
    return widget.live._prior[1].parts.line.model.mean[0].numpy()


def test_run_takes_its_place_and_nothing_fills_over_the_result(painting, stroke, qtbot, click) -> None:
    viewer, widget, _, labels = painting
    labels.brush_size = 10
    stroke(viewer, labels, [(60, 50), (62, 66)])
    qtbot.waitUntil(lambda: len(widget.live.layers) == 2, timeout=PATIENCE)
    filled(widget, qtbot)
    widget.samples.value, widget.quality.value = 4, "preview"
    filling, hole = widget.live.layers[0].data.copy(), labels.data > 0
    click(widget.run_button)
    assert not widget.live.layers
    (preview,) = (layer for layer in viewer.layers if layer.name.startswith("preview"))
    np.testing.assert_array_equal(preview.data[hole], filling[hole])  # not black until the first estimate
    qtbot.waitUntil(lambda: widget.worker is None, timeout=PATIENCE)
    names = [layer.name for layer in viewer.layers]
    assert "restored | slice" in names
    labels.refresh()
    qtbot.wait(300)
    filled(widget, qtbot)
    assert [layer.name for layer in viewer.layers] == names
    history_of(viewer).take_back()
    qtbot.waitUntil(lambda: len(widget.live.layers) == 2, timeout=PATIENCE)  # what is painted is filled again
    history_of(viewer).bring_again()
    qtbot.waitUntil(lambda: not widget.live.layers, timeout=PATIENCE)
    history_of(viewer).take_back()
    qtbot.waitUntil(lambda: len(widget.live.layers) == 2, timeout=PATIENCE)
    filled(widget, qtbot)
    viewer.layers.selection.active = labels
    stroke(viewer, labels, [(90, 60), (92, 66)])  # more is painted: that is filled again
    qtbot.waitUntil(lambda: len(widget.live.layers) == 2, timeout=PATIENCE)
    filled(widget, qtbot)


def test_what_is_said_of_a_run_stays_until_something_is_painted(painting, stroke, qtbot) -> None:
    viewer, widget, _, labels = painting
    stroke(viewer, labels, [(60, 50), (60, 66)])
    filled(widget, qtbot)
    widget.run()
    widget.cancel()
    qtbot.waitUntil(lambda: widget.worker is None and len(widget.live.layers) == 2, timeout=PATIENCE)
    filled(widget, qtbot)
    assert "ancelled" in widget.status.text()
    viewer.layers.selection.active = labels
    stroke(viewer, labels, [(70, 50), (70, 66)])
    filled(widget, qtbot)
    qtbot.waitUntil(lambda: "preview" in widget.status.text(), timeout=PATIENCE)


def test_a_filling_on_show_is_told_of_when_nothing_else_is(painting, stroke, qtbot, click) -> None:
    """Catches a preview that nobody says is one, once the sentence of a result has gone with the result."""
    viewer, widget, _, labels = painting
    stroke(viewer, labels, [(60, 50), (60, 66)])
    filled(widget, qtbot)
    widget.samples.value, widget.quality.value = 4, "preview"
    click(widget.run_button)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=PATIENCE)
    viewer.layers.selection.active = labels
    stroke(viewer, labels, [(70, 50), (70, 66)])
    qtbot.waitUntil(lambda: "A preview" in widget.status.text(), timeout=PATIENCE)
    history_of(viewer).take_back()
    filled(widget, qtbot)
    history_of(viewer).bring_again()
    qtbot.waitUntil(lambda: "Added" in widget.status.text() and len(widget.live.layers) == 2, timeout=PATIENCE)
    filled(widget, qtbot)
    assert "Added" in widget.status.text()
    history_of(viewer).take_back()
    qtbot.waitUntil(lambda: "A preview" in widget.status.text(), timeout=PATIENCE)
    assert len(widget.live.layers) == 2


def test_it_follows_what_else_is_chosen(painting, stroke, qtbot) -> None:
    """The label that is missing, and the alignment; what it said goes with it."""
    viewer, widget, _, labels = painting
    labels.brush_size = 10
    for value, row in ((1, 60), (2, 80)):
        labels.selected_label = value
        stroke(viewer, labels, [(row, 50), (row, 66)])
    qtbot.waitUntil(lambda: len(widget.live.layers) == 2, timeout=PATIENCE)
    filled(widget, qtbot)
    estimate = widget.live.layers[0]
    for value in (1, 2):
        widget.label.value = value
        qtbot.waitUntil(lambda: np.array_equal(np.isfinite(estimate.data), labels.data == value), timeout=PATIENCE)  # noqa: B023
        filled(widget, qtbot)
    before = estimate.data.copy()
    widget.alignment.mode.value = "given"
    widget.alignment.fields["high"].value = 400.0
    filled(widget, qtbot)
    assert not np.allclose(widget.live.layers[0].data[labels.data == 2], before[labels.data == 2], atol=1)
    assert widget.status.text().startswith("A preview; press Run")
    widget.label.value = 0
    labels.data = np.zeros_like(labels.data)
    qtbot.waitUntil(lambda: not widget.live.layers, timeout=PATIENCE)
    assert widget.status.text() == ""


def test_off_and_masks_that_are_there_already(painting, stroke, qtbot) -> None:
    viewer, widget, _, labels = painting
    labels.data[30:40, 30:40] = 1
    labels.refresh()
    qtbot.wait(300)
    assert widget.live.task is None
    assert not widget.live.layers
    widget.while_painting.value = False
    stroke(viewer, labels, [(60, 50), (62, 66)])
    qtbot.wait(300)
    assert widget.live.task is None
    widget.while_painting.value = True
    qtbot.waitUntil(lambda: len(widget.live.layers) == 2, timeout=PATIENCE)
    filled(widget, qtbot)
    widget.while_painting.value = False
    qtbot.waitUntil(lambda: not widget.live.layers, timeout=PATIENCE)


def test_what_is_filled_goes_with_its_image(painting, stroke, qtbot) -> None:
    viewer, widget, image, labels = painting
    stroke(viewer, labels, [(60, 50), (62, 66)])
    qtbot.waitUntil(lambda: len(widget.live.layers) == 2, timeout=PATIENCE)
    filled(widget, qtbot)
    viewer.layers.remove(image)
    qtbot.waitUntil(lambda: not widget.live.layers, timeout=PATIENCE)
    assert list(viewer.layers) == [labels]


def test_what_cannot_be_filled_waits_for_run(painting, stroke, qtbot) -> None:
    """A prior without a linear part: no error, no layers."""
    viewer, widget, _, labels = painting
    widget.prior.value = "brain-axial-lcm-128"
    stroke(viewer, labels, [(60, 50), (62, 66)])
    qtbot.waitUntil(lambda: widget.live.task is not None, timeout=PATIENCE)
    filled(widget, qtbot)
    assert not widget.live.layers
    stroke(viewer, labels, [(80, 50), (82, 66)])
    filled(widget, qtbot)
    assert not widget.live.layers
