"""The window itself: what the widget says of a pixel must be what the samples say, and nothing may throw."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from napari_brgm.engine.restoration import Restoration
from napari_brgm.plugin.layers.geometry import geometry
from napari_brgm.plugin.layers.outcome import OUTCOME_KEY, PINNED_KEY, Outcome, RestoredPlane, as_stored
from napari_brgm.plugin.layers.results import Extras, add_results
from napari_brgm.plugin.layers.saved_run import look_of
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.uncertainty.outline import averaged, too_wide

SAMPLES = 40


def restored(image: np.ndarray, missing: np.ndarray, seed: int = 0, count: int = SAMPLES) -> Restoration:
    """A restoration as shown: the estimate is 600 in the hole, its spread grows to the right."""
    spread = np.where(missing, 20 + np.arange(image.shape[1]), 0).astype(np.float32)
    noise = np.random.default_rng(seed).normal(size=(count, *image.shape)).astype(np.float32)
    samples = np.where(missing, 600 + spread * noise, image).astype(np.float32)
    estimate, none = np.where(missing, np.float32(600), image), np.zeros((0, 0), np.float32)
    return Restoration(estimate, samples.mean(axis=0), samples.var(axis=0), samples, none, ~missing, [], {})


def hole(shape: tuple[int, int]) -> np.ndarray:
    missing = np.zeros(shape, bool)
    missing[1:4, 2:7] = True
    return missing


def add_run(viewer, source, slices=(1,), run="a", count=SAMPLES):
    """Layers of an in-painting of some slices, as the widgets add them."""
    planes = []
    axis = viewer.dims.order[0]
    for number in slices if source.ndim > 2 else (0,):
        if source.ndim > 2:
            viewer.dims.set_point(axis, source.data_to_world([number] * 3)[axis])
        shown = shown_slice(source, viewer.dims)
        result = restored(shown.image, hole(shown.image.shape), number, count)
        planes.append(RestoredPlane(shown.index, partial(as_stored, result, shown)))
    outcome = Outcome(run, "in-paint", source.name, "a.u.", tuple(planes))
    data, variance = source.data.copy(), np.zeros_like(source.data)
    for plane in planes:
        data[plane.index] = plane.result.estimate
        variance[plane.index] = plane.result.variance
    layers = []
    for role, values in (("restored", data), ("variance", variance)):
        metadata = {
            "brgm": {"role": role, "task": "in-paint", "run": run, "source_layer": source.name},
            OUTCOME_KEY: outcome,
        }
        name = f"{role} | {source.name}"
        layers.append(viewer.add_image(values, name=name, metadata=metadata, **geometry(source)))
    viewer.layers.selection.active = layers[0]
    return outcome, layers


def volume(viewer, **place):
    data = np.random.default_rng(7).normal(500, 100, (4, 6, 10)).astype(np.float32)
    return viewer.add_image(data, name="scan", contrast_limits=(0, 1000), **place)


@pytest.fixture
def uncertainty(window):
    return window("Uncertainty")


def move(viewer, layer, index) -> None:
    """Move the cursor to an index of a layer's data."""
    position = tuple(layer.data_to_world(index))
    viewer.cursor.position = position
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, SimpleNamespace(position=position, modifiers=()))


def test_reads_the_pixel_under_the_cursor(uncertainty, qtbot) -> None:
    viewer, widget = uncertainty
    assert "nothing restored" in widget.value.text() and not widget.play_button.isEnabled()
    source = volume(viewer, scale=(3, -0.5, 0.7), translate=(1, 2, 3), units="mm")
    outcome, (layer, _) = add_run(viewer, source)
    assert widget.run is not None and widget.run.base is layer
    result = outcome.planes[0].result
    index = (1, 3, 4)  # row 2 as shown, as the rows are stored upside down
    draws = result.samples[:, 3, 4]
    move(viewer, layer, index)
    low, high = (end[3, 4] for end in result.interval(0.9))
    assert widget.value.text() == f"estimate 600 ± {draws.std():.0f} a.u."
    assert widget.trust.text() == f"90 % interval {low:.0f} … {high:.0f} · Gaussian"
    widget.threshold.setValue(610)
    assert widget.place.text() == f"P(value > 610) = {(draws > 610).mean() + 1e-6:.2f} · pixel (1, 3, 4)"
    qtbot.waitUntil(lambda: widget.plot.bars.get_visible())
    counts, edges, _ = widget.plot.bars.get_data()
    assert counts.sum() == SAMPLES and edges[0] == draws.min() and edges[-1] == pytest.approx(draws.max())
    assert (widget.plot.band.get_x(), widget.plot.band.get_width()) == pytest.approx((low, high - low), rel=1e-5)
    assert widget.plot.line.get_xdata()[0] == 600
    assert widget.plot.axes.get_xlabel() == "value (a.u.)"

    widget.level_slider.setValue(50)
    low, high = (end[3, 4] for end in result.interval(0.5))
    assert widget.trust.text().startswith(f"50 % interval {low:.0f} … {high:.0f}")
    move(viewer, layer, (1, 0, 0))
    assert widget.value.text() == f"measured: {source.data[1, 0, 0]:.0f} a.u."
    assert widget.place.text() == "pixel (1, 0, 0)"  # a measured value has no probability
    qtbot.waitUntil(lambda: "measured" in widget.plot.message.get_text())
    move(viewer, layer, (0, 3, 4))
    assert widget.value.text() == "outside what was restored"
    move(viewer, layer, (1, -3, 4))
    assert widget.value.text() == "outside what was restored"


def test_pin_keeps_the_pixel(uncertainty, click) -> None:
    viewer, widget = uncertainty
    _, (layer, _) = add_run(viewer, volume(viewer))
    move(viewer, layer, (1, 2, 3))
    said = widget.value.text()
    click(widget.pin_button)
    move(viewer, layer, (1, 0, 0))
    viewer.dims.set_current_step(0, 3)
    assert widget.value.text() == said and "Pinned" in widget.pin_button.text()
    click(widget.pin_button)
    move(viewer, layer, (1, 0, 0))
    assert widget.value.text() != said
    event = SimpleNamespace(position=tuple(layer.data_to_world((1, 2, 3))), modifiers=("Shift",))
    for callback in viewer.mouse_drag_callbacks:
        callback(viewer, event)
    assert widget.value.text() == said and widget.pin_button.isChecked()
    event.position = tuple(layer.data_to_world((1, 3, 4)))
    for callback in viewer.mouse_drag_callbacks:
        callback(viewer, event)
    assert layer.metadata[PINNED_KEY] == [1, 3, 4]

    # it belongs to its run: another one has none, and there it is again
    add_run(viewer, viewer.layers["scan"], run="b")
    assert widget.run.key == "b" and not widget.pin_button.isChecked()
    widget.run_choice.value = "a"
    assert widget.pin_button.isChecked() and "pixel (1, 3, 4)" in widget.place.text()
    click(widget.pin_button)
    assert PINNED_KEY not in layer.metadata


def test_the_slider_moves_the_pixel(uncertainty) -> None:
    viewer, widget = uncertainty
    _, (layer, _) = add_run(viewer, volume(viewer))
    viewer.dims.set_current_step(0, 1)
    move(viewer, layer, (1, 2, 3))
    assert widget.value.text().startswith("estimate")
    viewer.dims.set_current_step(0, 2)
    assert widget.value.text() == "outside what was restored"


def test_the_run_of_the_active_layer(uncertainty) -> None:
    viewer, widget = uncertainty
    source = volume(viewer)
    _, first = add_run(viewer, source, run="a")
    _, second = add_run(viewer, source, run="b")
    assert widget.run_choice.value == "b" and widget.run.base is second[0]
    viewer.layers.selection.active = first[1]
    assert widget.run_choice.value == "a" and widget.run.base is first[0]
    viewer.layers.selection.active = source
    assert widget.run_choice.value == "a"
    first[0].name = "mine"
    assert "mine" in [widget.run_choice.native.itemText(i) for i in range(2)]
    assert widget.run_choice.value == "a"
    viewer.layers.remove(first[0])
    assert widget.run.base is first[1]  # another layer of the run stands for it
    viewer.layers.remove(first[1])
    assert widget.run_choice.value == "b"


def test_probability_is_the_fraction_of_the_samples(uncertainty, qtbot) -> None:
    viewer, widget = uncertainty
    source = volume(viewer, scale=(3, -0.5, 0.7), translate=(1, 2, 3), units="mm", axis_labels=("z", "y", "x"))
    outcome, (layer, tint) = add_run(viewer, source, slices=(1, 3))
    active = viewer.layers.selection.active
    widget.threshold.setValue(612)
    widget.probability_box.setChecked(True)
    qtbot.waitUntil(lambda: not widget.maps.probability.pending)
    shown = viewer.layers[-1]
    assert shown.name == "P(value > 612 a.u.) | scan" and viewer.layers.selection.active is active
    assert shown.data.shape == (3, 6, 10)
    for number, plane in zip((0, 2), outcome.planes, strict=True):
        fraction = (plane.result.samples > 612).mean(axis=0)
        np.testing.assert_allclose(shown.data[number][plane.free], fraction[plane.free], rtol=1e-6)
        assert np.isnan(shown.data[number][~plane.free]).all() and not plane.free.all()  # what was measured has none
    assert np.isnan(shown.data[1]).all()
    np.testing.assert_allclose(shown.data_to_world((0, 2, 3)), layer.data_to_world((1, 2, 3)))
    assert shown.units == layer.units and shown.axis_labels == layer.axis_labels
    qtbot.waitUntil(lambda: shown.colorbar.visible)
    assert tuple(shown.contrast_limits) == (0, 1)
    assert viewer.canvas.overlays["brgm_caption"].text == "P(value > 612 a.u.)"
    record = shown.metadata["brgm"]
    assert (record["role"], record["threshold"]) == ("probability", 612) and "ynthetic" in record["notice"]

    widget.threshold.setValue(580)
    qtbot.waitUntil(lambda: not widget.maps.probability.pending)
    assert viewer.layers[-1] is shown and "580" in shown.name
    plane = outcome.planes[1]
    fraction = (plane.result.samples > 580).mean(axis=0)
    np.testing.assert_allclose(shown.data[2][plane.free], fraction[plane.free], rtol=1e-6)
    assert viewer.canvas.overlays["brgm_caption"].text == "P(value > 580 a.u.)"
    assert not tint.visible  # colours of two tints would mix
    assert look_of(tint, "variance")["visible"]  # saved as it is without the map
    widget.probability_box.setChecked(False)
    assert shown not in viewer.layers and tint.visible


def test_the_outline_is_where_the_interval_is_wide(uncertainty, qtbot) -> None:
    viewer, widget = uncertainty
    outcome, (layer, _) = add_run(viewer, volume(viewer))
    widget.contour_box.setChecked(True)
    shown = viewer.layers[-1]
    plane = outcome.planes[0]
    factor = shown.data.shape[-1] // 10

    def wide(level: float, limit: float) -> np.ndarray:
        low, high = plane.result.interval(level)
        return too_wide(high - low, plane.free, limit, factor)

    def shows(level: float, limit: float) -> bool:
        qtbot.waitUntil(lambda: not widget.maps.contour.pending)
        expected = wide(level, limit)
        np.testing.assert_array_equal(shown.data[0] > 0, expected)
        return 0 < expected.sum() < plane.free.sum() * factor**2

    assert factor > 1 and shows(0.9, widget.limit.value())
    np.testing.assert_allclose(
        shown.data_to_world((0, 2 * factor + (factor - 1) / 2, 3 * factor + (factor - 1) / 2)),
        layer.data_to_world((1, 2, 3)),
    )
    low, high = plane.result.interval(0.8)
    middle = int(np.median(averaged(high - low, plane.free)[plane.free]))
    widget.limit.setValue(middle)
    assert not shows(0.9, middle)  # all of it is wider
    widget.level_slider.setValue(80)
    assert shows(0.8, middle)
    assert viewer.layers[-1] is shown and "80 %" in shown.name
    assert shown.metadata["brgm"]["role"] == "contour"


def test_play_goes_round(uncertainty, qtbot, click) -> None:
    viewer, widget = uncertainty
    outcome, (layer, _) = add_run(viewer, volume(viewer), count=4)
    before = len(viewer.layers)
    widget._play.setInterval(10)
    click(widget.play_button)
    shown = viewer.layers[-1]
    assert shown.name == "samples 1 to 4 | scan" and shown.metadata["brgm"]["role"] == "sample"
    numbers = set()
    qtbot.waitUntil(lambda: numbers.add(shown.metadata["brgm"]["sample"]) or len(numbers) == 4)
    assert len(viewer.layers) == before + 1 and widget.play_button.text() == "Stop"
    assert shown.name == "samples 1 to 4 | scan"
    qtbot.waitUntil(lambda: widget.sample_slider.value() == 1)
    click(widget.play_button)
    number = widget.sample_slider.value()
    qtbot.wait(50)
    assert widget.sample_slider.value() == number and widget.sample_label.text() == f"{number} of 4"
    qtbot.waitUntil(lambda: shown.name == f"sample {number} of 4 | scan")
    widget.sample_slider.setValue(3)
    plane = outcome.planes[0]
    qtbot.waitUntil(lambda: shown.name.startswith("sample 3 of 4") and not widget.maps.sample.pending)
    np.testing.assert_array_equal(shown.data[0], plane.result.samples[2])
    np.testing.assert_allclose(shown.data_to_world((0, 2, 3)), layer.data_to_world((1, 2, 3)))
    click(widget.hide_button)
    assert shown not in viewer.layers and len(viewer.layers) == before


def test_a_sample_hides_no_map(uncertainty) -> None:
    viewer, widget = uncertainty
    add_run(viewer, volume(viewer))
    active = viewer.layers.selection.active
    widget.contour_box.setChecked(True)
    widget.probability_box.setChecked(True)
    widget.sample_slider.setValue(5)
    roles = [layer.metadata["brgm"]["role"] for layer in list(viewer.layers)[1:]]
    assert roles == ["restored", "variance", "sample", "probability", "contour"]
    assert viewer.layers.selection.active is active


def test_layers_deleted_while_it_plays(uncertainty, qtbot, click) -> None:
    viewer, widget = uncertainty
    add_run(viewer, volume(viewer), count=4)
    widget._play.setInterval(10)
    widget.probability_box.setChecked(True)
    widget.contour_box.setChecked(True)
    click(widget.play_button)
    viewer.layers.remove(widget.maps.sample.layer)
    qtbot.waitUntil(lambda: not widget._play.isActive())
    assert widget.play_button.text() == "Play" and not widget.hide_button.isEnabled()
    viewer.layers.remove(widget.maps.probability.layer)
    qtbot.waitUntil(lambda: not widget.probability_box.isChecked())
    assert widget.contour_box.isChecked()
    click(widget.play_button)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not widget._play.isActive())
    assert widget.run is None and not viewer.layers and not widget.contour_box.isChecked()
    qtbot.wait(150)
    add_run(viewer, volume(viewer), count=4)
    assert widget.run is not None and len(viewer.layers) == 3


def test_another_run_takes_the_maps_over(uncertainty, qtbot) -> None:
    viewer, widget = uncertainty
    source = volume(viewer)
    _, first = add_run(viewer, source, run="a")
    widget.probability_box.setChecked(True)
    widget.sample_slider.setValue(2)
    old = widget.maps.probability.layer
    add_run(viewer, source, slices=(2,), run="b")
    qtbot.waitUntil(lambda: old not in viewer.layers)
    new = widget.maps.probability.layer
    assert new is not None and new.data_to_world((0, 0, 0))[0] == 2
    assert widget.maps.sample.layer is None
    for layer in first:
        viewer.layers.remove(layer)
    assert new in viewer.layers and widget.run.key == "b"


def test_three_dimensions_and_more_axes(uncertainty, qtbot) -> None:
    viewer, widget = uncertainty
    _, (layer, _) = add_run(viewer, volume(viewer))
    viewer.add_image(np.zeros((2, 3, 4, 6, 10)))
    viewer.dims.set_point(2, 1)
    move_to = (0, 0, *layer.data_to_world((1, 2, 3)))
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, SimpleNamespace(position=move_to, modifiers=()))
    assert widget.value.text().startswith("estimate")
    viewer.dims.order = (0, 3, 1, 2, 4)
    viewer.dims.ndisplay = 3
    for callback in list(viewer.mouse_move_callbacks):
        callback(viewer, SimpleNamespace(position=move_to, modifiers=()))
    assert widget.value.text() == "no pixel" and "two-dimensional" in widget.trust.text()
    widget.sample_slider.setValue(3)
    widget.probability_box.setChecked(True)
    viewer.dims.ndisplay = 2
    qtbot.wait(150)


@pytest.mark.parametrize("how", ["widget", "window"])
def test_taken_away_while_it_plays(uncertainty, click, how: str) -> None:
    viewer, widget = uncertainty
    add_run(viewer, volume(viewer))
    widget.probability_box.setChecked(True)
    click(widget.play_button)
    moves, presses = len(viewer.mouse_move_callbacks), len(viewer.mouse_drag_callbacks)
    if how == "window":
        viewer.close()  # its timers are gone with it
    else:
        viewer.window.remove_dock_widget(widget)
        roles = [layer.metadata.get("brgm", {}).get("role") for layer in viewer.layers]
        assert roles == [None, "restored", "variance", "probability"]  # a map is a result; it stays
        assert len(viewer.mouse_move_callbacks) == moves - 1 and len(viewer.mouse_drag_callbacks) == presses - 1
        viewer.layers.clear()
        assert not widget._play.isActive()


@pytest.mark.parametrize("with_samples", [False, True])
def test_results_read_from_files(uncertainty, qtbot, with_samples: bool) -> None:
    """No outcome: each pixel is a Gaussian of its estimate and variance, unless there is a samples layer."""
    viewer, widget = uncertainty
    source = volume(viewer)
    outcome, layers = add_run(viewer, source)
    record = {"units": "HU", "slices": [{"index": [1, None, None]}]}
    for layer in layers:
        layer.metadata = {"brgm": layer.metadata["brgm"] | record}
    result = outcome.planes[0].result
    if with_samples:
        viewer.add_image(
            result.samples[:, None], metadata={"brgm": {"role": "samples", "run": "a", "task": "in-paint"}}
        )
    widget.reset_choices()
    assert widget.run.key == "run a"
    move(viewer, layers[0], (1, 2, 3))
    std = float(np.sqrt(result.variance[2, 3]))
    assert widget.value.text() == f"estimate 600 ± {std:.0f} HU"
    assert widget.trust.text().endswith("Gaussian")
    assert ("no samples" in widget.status.text()) is not with_samples
    assert "Intervals tried" not in widget.status.text()
    layers[0].metadata["brgm"]["slices"][0]["calibration"] = {"label": "intervals tried"}  # as of one slice of several
    widget._show_choices()
    assert widget.status.text().startswith("Intervals tried.")
    assert widget.play_button.isEnabled() is with_samples
    widget.threshold.setValue(612)
    widget.probability_box.setChecked(True)
    draws = result.samples[:, 2, 3]
    expected = (draws > 612).mean() if with_samples else norm.sf((612 - 600) / std)
    qtbot.waitUntil(lambda: not widget.maps.probability.pending)
    assert viewer.layers[-1].data[0, 2, 3] == pytest.approx(expected, rel=1e-4)
    middle = draws.mean() if with_samples else 600  # of the samples, where there are some
    low = middle - norm.ppf(0.95) * std
    assert f"interval {low:.0f} …" in widget.trust.text()
    if not with_samples:
        qtbot.waitUntil(lambda: widget.plot.curve.get_visible())
        assert not widget.plot.bars.get_visible()
    move(viewer, layers[0], (1, 0, 0))
    assert widget.value.text().startswith("measured")
    move(viewer, layers[0], (2, 2, 3))
    assert widget.value.text() == "outside what was restored"


def test_files_of_a_whole_volume(uncertainty, qtbot) -> None:
    """Nothing but roles: all planes are looked through, and those without a variance were not restored."""
    viewer, widget = uncertainty
    data = np.full((3, 6, 10), 5.0, np.float32)
    std = np.zeros_like(data)
    std[1, 2:4] = 2
    for role, values in (("restored", data), ("std", std)):
        viewer.add_image(values, name=f"T1 [{role}]", metadata={"brgm": {"role": role}})
    assert widget.run is not None and len(widget.run.planes) == 3
    move(viewer, widget.run.base, (1, 2, 3))
    assert widget.value.text().startswith("estimate 5.000 ± 2.000")
    move(viewer, widget.run.base, (0, 2, 3))
    assert widget.value.text() == "outside what was restored"
    widget.contour_box.setChecked(True)
    widget.limit.setValue(1)
    qtbot.waitUntil(lambda: not widget.maps.contour.pending)
    data = widget.maps.contour.layer.data
    assert data[1].any() and not data[[0, 2]].any()
    factor = data.shape[-1] // 10
    assert not data[1, : 2 * factor].any() and not data[1, 4 * factor :].any()


def test_with_the_engine_and_the_shipped_prior(window, qtbot, picture) -> None:
    from napari_brgm import Mask, load_prior, restore
    from napari_brgm.settings import settings_for

    viewer, widget = window("Uncertainty", show=True)
    source, mask = viewer.open_sample("napari-brgm", "brain-artefact")
    mask.visible = False
    shown = shown_slice(source, viewer.dims)
    prior = load_prior("brain-axial-128")
    missing = np.array(shown.as_shown(mask.data)) > 0
    settings = settings_for(prior.info.preset, "preview").but(steps=40)
    result = restore(shown.image, Mask(missing), prior, samples=20, device="cpu", spacing=(1, 1), settings=settings)
    add_results(viewer, source, [(shown, result)], "in-paint", Extras())
    place = np.argwhere(widget.run.planes[0].free)[700]
    move(viewer, widget.run.base, place)
    assert widget.value.text().startswith("estimate 0.")
    widget.probability_box.setChecked(True)
    qtbot.waitUntil(lambda: not widget.maps.probability.pending)
    picture(viewer, "uncertainty-probability")
    widget.probability_box.setChecked(False)
    widget.contour_box.setChecked(True)
    widget.sample_slider.setValue(7)
    qtbot.waitUntil(lambda: not (widget.maps.contour.pending or widget.maps.sample.pending))
    picture(viewer, "uncertainty-sample")
    data = widget.maps.contour.layer.data
    assert 0 < (data > 0).sum() < 0.2 * missing.sum() * (data.size / missing.size)
