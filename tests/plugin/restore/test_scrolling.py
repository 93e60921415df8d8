"""Slices restored together, looked at as a person does: by scrolling through them, and through the samples."""

from __future__ import annotations

import threading
import time
from importlib import import_module

import numpy as np
import pytest

from napari_brgm.errors import Cancelled
from napari_brgm.plugin import background, prior_panel
from napari_brgm.plugin.layers.tag import TAG
from napari_brgm.plugin.restore import inpaint, panel
from napari_brgm.zoo.entry import Kind, PriorEntry

HIDDEN = (4, 5, 6)
WHERE = (slice(7, 17), slice(8, 18))
PLACE = {"scale": (1, 1.5, 1.5), "units": "mm", "axis_labels": ("I-S", "A-P", "R-L")}
SAMPLES = 6


@pytest.fixture(autouse=True)
def prior(monkeypatch, stack_prior):
    entry = PriorEntry("stack-24", Kind.shipped, modality="MR T1", plane="axial", resolution=24, preset="default")
    monkeypatch.setattr(prior_panel, "offered_priors", lambda: {entry.name: entry})
    monkeypatch.setattr(import_module("napari_brgm.zoo.registry"), "load_prior", lambda name: stack_prior)
    return stack_prior


@pytest.fixture
def opened(window, stack_of):
    """``opened(show)``: viewer and widget with eleven slices, a hole in three neighbouring ones, and the truth."""

    def open_with(show: bool = False):
        truth = stack_of(11, seed=1)
        viewer, widget = window("In-paint", show=show)
        image = viewer.add_image(truth.copy(), name="scan", **PLACE)
        masks = np.zeros(truth.shape, np.uint8)
        for i in HIDDEN:
            masks[(i, *WHERE)] = 1
        viewer.add_labels(masks, name="masks", **PLACE)
        widget.image.value = image
        widget.quality.value, widget.device.value, widget.samples.value = "preview", "cpu", SAMPLES
        widget.alignment.mode.value = "placed"
        widget.with_samples.value = True
        return viewer, widget, truth, masks > 0

    return open_with


@pytest.fixture
def run(qtbot, click):
    def press_and_wait(widget, button) -> None:
        click(button)
        assert widget.worker is not None, widget.status.text()
        qtbot.waitUntil(lambda: widget.worker is None, timeout=120_000)

    return press_and_wait


def on_show(layer) -> np.ndarray:
    """What the layer shows at the place of the sliders: that which napari hands to the canvas."""
    return np.asarray(layer._slice.image.raw)


def layers_by_role(viewer) -> dict:
    return {layer.metadata["brgm"]["role"]: layer for layer in viewer.layers if "brgm" in layer.metadata}


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(np.asarray(values, float)))))


def test_scrolling_through_slices_and_samples(opened, run) -> None:
    """Catches results that are put on other slices than they were restored from, samples of which each slice shows
    another draw, and slices that were restored by themselves."""
    viewer, widget, truth, hole = opened()
    assert widget.together.value, "neighbouring slices are used unless somebody says otherwise"
    run(widget, widget.run_all_button)
    layers = layers_by_role(viewer)
    assert set(layers) == {"restored", "samples", "variance"}, widget.status.text()
    restored, samples, variance = (layers[role] for role in ("restored", "samples", "variance"))
    records = restored.metadata["brgm"]["slices"]
    assert all("stack" in record for record in records), "each was restored by itself"
    for layer in (restored, samples, variance):
        layer.visible = True
    first = int(np.asarray(samples.world_to_data(restored.data_to_world((HIDDEN[0], 0, 0))))[-3])
    assert first == 0 and samples.data.shape == (SAMPLES, len(HIDDEN), 24, 24)

    axis = viewer.dims.ndim - 3
    drawn = {}
    for i in range(len(truth)):
        viewer.dims.set_point(axis, float(i))
        shown, spread = on_show(restored), on_show(variance)
        np.testing.assert_array_equal(shown[~hole[i]], truth[i][~hole[i]])
        assert not spread[~hole[i]].any()
        if i not in HIDDEN:
            continue
        assert (shown != truth[i])[hole[i]].mean() > 0.99 and (spread[hole[i]] > 0).all()
        assert rms((shown - truth[i])[hole[i]]) < 0.5 * rms((truth[i] - truth[i][~hole[i]].mean())[hole[i]])
        for k in range(SAMPLES):
            viewer.dims.set_point(0, float(k))
            drawn[k, i] = on_show(samples)
            np.testing.assert_array_equal(drawn[k, i][~hole[i]], truth[i][~hole[i]])
    assert TAG in viewer.canvas.overlays["text"].text

    away = {  # from the restored slice, which is the same for all
        at: one[WHERE] - np.mean([drawn[k, at[1]][WHERE] for k in range(SAMPLES)], axis=0) for at, one in drawn.items()
    }
    pairs = [(i, i + 1) for i in HIDDEN[:-1]]
    within = rms([away[k, i] - away[k, j] for i, j in pairs for k in range(SAMPLES)])
    between = rms([away[k, i] - away[(k + 1) % SAMPLES, j] for i, j in pairs for k in range(SAMPLES)])
    assert within < 0.8 * between, "sample k of neighbouring slices is no one stack"
    steps = [rms([drawn[k, i][WHERE] - drawn[k, j][WHERE] for i, j in pairs]) for k in range(SAMPLES)]
    measured = rms([np.diff(truth, axis=0)[i][WHERE] for i in HIDDEN[:-1]])
    assert 0.6 * measured < min(steps) and max(steps) < 1.6 * measured


def test_each_by_itself_when_that_is_chosen(opened, run, monkeypatch) -> None:
    """The box off: samples of neighbouring slices are draws of their own, further from the truth."""
    missed = {}
    monkeypatch.setattr(inpaint, "knows_stacks", lambda entry: True)  # its file would say so
    for together in (True, False):
        viewer, widget, truth, hole = opened()
        widget.together.value = together
        assert (" by itself " in widget.estimate.text()) == together  # what the run costs is told when it begins
        run(widget, widget.run_all_button)
        restored = layers_by_role(viewer)["restored"]
        missed[together] = rms((np.asarray(restored.data) - truth)[hole])
        assert ("stack" in restored.metadata["brgm"]["slices"][0]) == together
        viewer.close()
    assert missed[True] < 0.7 * missed[False]


def test_one_slice_of_the_three_looks_past_its_masked_neighbours(opened, run) -> None:
    """'Run on this slice': what lies under the strokes of its neighbours tells nothing, whatever it is."""
    found = []
    for spoil in (0.0, 90.0):
        viewer, widget, _, hole = opened()
        image = widget.image.value
        for i in (4, 6):
            image.data[i][hole[i]] += spoil
        viewer.dims.set_point(0, 5.0)
        run(widget, widget.run_button)
        restored = layers_by_role(viewer)["restored"]
        changed = np.flatnonzero((restored.data != image.data).any(axis=(1, 2)))
        assert changed.tolist() == [5]
        found.append(np.asarray(restored.data[5]))
        viewer.close()
    np.testing.assert_array_equal(*found)


def test_the_panel_fits_1280_x_720(opened, qtbot, picture, run) -> None:
    """Restored slices under the sliders, and the box in sight; in both themes, before the run and after it."""
    viewer, widget, *_ = opened(show=True)
    qt = viewer.window._qt_window
    for station in ("before", "after"):
        if station == "after":
            run(widget, widget.run_all_button)
            viewer.dims.set_point(viewer.dims.ndim - 3, 5.0)
        for theme in ("dark", "light"):
            viewer.theme = theme
            qt.resize(1280, 720)
            qtbot.wait(300)
            assert (qt.width(), qt.height()) == (1280, 720)
            box = widget.together.native
            needed, view = box.sizeHint().width(), box.visibleRegion().boundingRect()
            assert view.width() >= min(needed, box.width()) >= needed and view.height() == box.height(), "cut off"
            for text in (widget.reason, widget.estimate, widget.advice, widget.status):
                assert text.isHidden() or text.height() >= text.heightForWidth(text.width()), text.text()
            for button in (widget.run_button, widget.run_all_button):
                assert button.visibleRegion().boundingRect().size() == button.size(), button.text()
            picture(viewer, f"stack-{station}-{theme}", size=(1280, 720))


def test_a_run_of_slices_together_speaks_of_all_of_them(opened, run, monkeypatch) -> None:
    """Catches 'slice 6 of 6, MAP step 10 of 11' over a bar at slice 4 of 6, and samples that are not counted."""
    monkeypatch.setattr(panel, "_TELL_SECONDS", 0.0)
    monkeypatch.setattr(background, "_LOOK_MS", 1)
    monkeypatch.setattr("napari_brgm.inference.step._SILENCE", 0.0)
    viewer, widget, *_ = opened()
    widget.samples.value = 48
    said, bars, shown = [], [], set()
    tell = widget._on_report

    def noted(report) -> None:
        tell(report)
        said.append(widget.status.text())
        bars.append((widget.slice_progress.value(), widget.slice_progress.maximum(), widget.slice_progress.text()))
        preview = widget._run.preview
        if len(widget._run.previews) == len(HIDDEN):
            for i in HIDDEN:  # the estimate of the slice on the screen, as the sliders go
                viewer.dims.set_point(viewer.dims.ndim - 3, float(i))
                assert preview._layer.data_to_world((0, 0, 0))[0] == i
                shown.add((i, preview._layer.data.tobytes()))

    monkeypatch.setattr(widget, "_on_report", noted)
    run(widget, widget.run_all_button)
    assert said and all(sentence.startswith("3 slices together, ") for sentence in said), said
    assert any("SAMPLES step" in sentence for sentence in said)
    assert len({i for i, _ in shown}) == len(HIDDEN) <= len(shown)
    shares = [value / most for value, most, _ in bars]
    assert shares == sorted(shares) and bars[-1][2].endswith("% of 3 slices")


def test_slices_of_which_nothing_was_measured(opened, run, monkeypatch, qtbot) -> None:
    """One is told by its neighbours; where these are hidden too, or not asked, it is refused before the prior loads."""
    monkeypatch.setattr(inpaint, "knows_stacks", lambda entry: True)
    viewer, widget, truth, _ = opened()
    masks = viewer.layers["masks"]
    masks.data[:] = 0
    masks.data[5] = 1
    viewer.dims.set_point(0, 5.0)
    widget.together.value = False
    widget.run()
    assert widget.worker is None and "or turn on 'Use neighbouring slices'" in widget.status.text()
    masks.data[:] = 1  # there is no neighbour to turn to
    widget.run()
    assert "hides the whole slice" in widget.status.text() and "turn on" not in widget.status.text()
    masks.data[:5] = masks.data[6:] = 0
    widget.together.value = True
    run(widget, widget.run_button)
    restored = layers_by_role(viewer)["restored"]
    assert rms(restored.data[5] - truth[5]) < 0.6 * rms(truth[5] - truth[5].mean())
    masks.data[:] = 1
    widget.run(everywhere=True)
    assert widget.worker is None and "none within" in widget.status.text()


def test_a_run_that_hears_of_its_end_late(opened, qtbot, click, monkeypatch) -> None:
    """Catches Cancel that waits for a library call: the panel is free within a second, and offers what comes late."""
    run_of = import_module("napari_brgm.engine.run")
    engine, reached, go = run_of.run, threading.Event(), threading.Event()

    def held_up(job, tell):
        found = engine(job, None)
        reached.set()
        go.wait(60)
        stop = Cancelled("cancelled")
        stop.finished = {0: found[0]}
        raise stop

    monkeypatch.setattr(run_of, "run", held_up)
    viewer, widget, *_ = opened()
    before = list(viewer.layers)
    click(widget.run_all_button)
    qtbot.waitUntil(reached.is_set, timeout=60_000)
    began = time.monotonic()
    click(widget.cancel_button)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=20_000)
    print(f"let go of after {time.monotonic() - began:.2f} s")
    assert not go.is_set() and widget.status.text() == "Cancelled; nothing was changed"
    assert list(viewer.layers) == before and widget.run_button.isEnabled() and widget.keep_button.isHidden()
    go.set()
    qtbot.waitUntil(lambda: not widget.keep_button.isHidden(), timeout=20_000)
    assert widget.keep_button.text() == "Keep the finished slice"
    click(widget.keep_button)
    assert "restored" in layers_by_role(viewer)


def test_a_cancelled_run_keeps_the_slices_of_finished_windows_if_wanted(
    window, stack_of, qtbot, click, monkeypatch, picture
):  # fmt: skip
    """Nothing is added unasked, and on request what the windows so far gave."""
    run_of = import_module("napari_brgm.engine.run")
    engine, reached, go = run_of.run, threading.Event(), threading.Event()

    def slowly(job, tell):
        def told(step):
            if step.slice >= 12 and not reached.is_set():  # in the second window
                reached.set()
                go.wait(60)
            tell(step)

        return engine(job, told)

    monkeypatch.setattr(run_of, "run", slowly)
    viewer, widget = window("In-paint", show=True)
    viewer.window._qt_window.resize(1280, 720)
    truth = stack_of(30, seed=1)
    image = viewer.add_image(truth.copy(), name="scan", **PLACE)
    masks = np.zeros(truth.shape, np.uint8)
    masks[(slice(None), *WHERE)] = 1
    viewer.add_labels(masks, name="masks", **PLACE)
    widget.image.value = image
    widget.quality.value, widget.device.value, widget.samples.value = "preview", "cpu", 2
    widget.alignment.mode.value = "placed"
    click(widget.run_all_button)
    qtbot.waitUntil(reached.is_set, timeout=60_000)
    before = [layer for layer in viewer.layers if "preview" not in layer.name]
    assert widget.keep_button.isHidden()
    click(widget.cancel_button)
    go.set()
    qtbot.waitUntil(lambda: widget.worker is None, timeout=60_000)
    assert list(viewer.layers) == before
    assert widget.status.text() == "Cancelled; nothing was changed; 12 of 30 slices are finished"
    assert widget.keep_button.text() == "Keep the 12 finished slices" and not widget.keep_button.isHidden()
    picture(viewer, "stack-cancelled", size=(1280, 720))
    click(widget.keep_button)
    restored = layers_by_role(viewer)["restored"]
    changed = np.flatnonzero((restored.data != truth).any(axis=(1, 2)))
    assert changed.tolist() == list(range(12))
    np.testing.assert_array_equal(restored.data[masks == 0], truth[masks == 0])
    assert len(restored.metadata["brgm"]["slices"]) == 12
    assert "18 slices were left as they are" in widget.status.text()
    assert widget.keep_button.isHidden() and not widget.save_button.isHidden()
