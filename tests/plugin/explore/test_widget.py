"""What is drawn from a prior must lie where it can be seen, be called synthetic, and never look like a patient's."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_brgm.errors import InputError
from napari_brgm.plugin import prior_panel
from napari_brgm.plugin.explore import drawn as drawing
from napari_brgm.plugin.explore.drawn import DrawnImages, add_interpolation, add_samples
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.priors.parts import Parts
from napari_brgm.zoo.entry import Kind, PriorEntry

RECORD = {"notice": "DrawnImages by a generative model: synthetic throughout. Not for diagnosis.", "seed": 3}


def drawn(shape=(5, 8, 8), spacing=1.5) -> DrawnImages:
    return DrawnImages(np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32), spacing, RECORD)


@pytest.mark.parametrize(("spacing", "unit"), [(1.5, "millimeter"), (0.0, "pixel")])
def test_samples_in_an_empty_viewer(spacing: float, unit: str) -> None:
    viewer = ViewerModel()
    layer = add_samples(viewer, "toy", drawn(spacing=spacing))
    assert layer.name == "samples | toy" and not layer.rgb
    assert layer.data.shape == (5, 8, 8)
    np.testing.assert_allclose(layer.scale, (1, spacing or 1, spacing or 1))
    assert [str(u) for u in layer.units] == ["pixel", unit, unit]
    assert layer.metadata["brgm"] == RECORD | {"role": "samples", "task": "explore"}
    assert tuple(layer.contrast_limits) == (0, 255)
    assert viewer.layers.selection.active is layer and viewer.dims.current_step[0] == 0
    assert add_samples(viewer, "toy", drawn(spacing=spacing)).data.shape == (5, 8, 8)  # not one axis more each time


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
def test_samples_beside_a_volume_are_on_the_screen(order) -> None:
    """In its middle, on the plane and at the slice on show, with a slider of their own."""
    viewer = ViewerModel()
    volume = viewer.add_image(np.zeros((4, 6, 10)), scale=(3, 2, 1), translate=(5, 6, 7), units="mm")
    viewer.dims.order = order
    viewer.dims.set_current_step(order[0], 2)
    images = drawn()
    layer = add_samples(viewer, "toy", images)
    assert layer.ndim == 4 and layer.data.shape[1 + order[0]] == 1
    np.testing.assert_allclose(layer.scale[1 + order[1]], 1.5)
    shown = layer.data.transpose(0, *(1 + axis for axis in order))[:, 0]
    np.testing.assert_array_equal(shown, images.images)
    middle = np.array(layer.data_to_world((np.array(layer.data.shape) - 1) / 2))[1:]
    expected = np.array(volume.data_to_world((np.array(volume.data.shape) - 1) / 2))
    expected[order[0]] = volume.data_to_world((2, 2, 2))[order[0]]
    np.testing.assert_allclose(middle, expected)


def test_colour_samples() -> None:
    layer = add_samples(ViewerModel(), "toy", drawn((2, 8, 8, 3)))
    assert layer.rgb and layer.data.shape == (2, 8, 8, 3) and layer.data.max() <= 1


def test_an_interpolation_lies_over_its_first_slice() -> None:
    viewer = ViewerModel()
    place = {"scale": (3, -2, 1), "translate": (5, 6, 7), "units": "mm"}
    one = viewer.add_image(np.random.default_rng(0).random((4, 6, 10)), name="one", contrast_limits=(0, 1), **place)
    two = viewer.add_image(np.random.default_rng(1).random((4, 6, 10)), name="two", **place)
    viewer.dims.set_current_step(0, 3)
    shown = [shown_slice(layer, viewer.dims) for layer in (one, two)]
    images = np.stack([shown[0].image, shown[1].image])
    layer = add_interpolation(viewer, one, two, shown, DrawnImages(images, 1.0, RECORD))
    assert layer.name == "interpolation | one to two"
    np.testing.assert_allclose(layer.data[0, 0], one.data[3], rtol=1e-6)
    np.testing.assert_allclose(layer.data_to_world((0, 0, 2, 4))[1:], one.data_to_world((3, 2, 4)))
    record = layer.metadata["brgm"]
    assert record["source_layers"] == ["one", "two"] and record["slices_shown"] == [[3, None, None]] * 2
    assert "synthetic" in record["notice"] and tuple(layer.contrast_limits) == (0, 1)


def finish(qtbot, widget, timeout: int = 60_000) -> None:
    assert widget.task is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.task is None, timeout=timeout)


def test_with_the_engine_and_the_shipped_prior(window, qtbot, click, picture, monkeypatch) -> None:
    monkeypatch.setattr(drawing, "_INVERSION_STEPS", 3)
    viewer, widget = window("Explore prior", show=True)
    assert "deep-image" not in widget.prior.choices  # it has nothing to draw from
    (one, mask) = viewer.open_sample("napari-brgm", "brain-artefact")
    viewer.layers.remove(mask)
    two = viewer.add_image(
        one.data[:, ::-1] ** 1.5, name="other", scale=one.scale, translate=one.translate, units=one.units
    )
    assert {widget.first.value, widget.second.value} == {one, two}
    widget.prior.value, widget.device.value = "brain-axial-128", "cpu"
    widget.first.value, widget.second.value, widget.steps.value = one, two, 3
    click(widget.interpolate_button)
    finish(qtbot, widget)
    assert "grey levels" in widget.status.text()
    between = viewer.layers[-1]
    assert between.data.shape == (3, *one.data.shape) and between.units[1:] == one.units
    assert between.metadata["brgm"]["prior"]["name"] == "brain-axial-128"

    viewer.layers.clear()
    widget.count.value, widget.seed.value = 4, 3
    click(widget.draw_button)
    finish(qtbot, widget)
    (samples,) = viewer.layers
    assert samples.data.shape == (4, 128, 128) and samples.data.std(axis=0).max() > 10
    assert samples.scale[1] == samples.metadata["brgm"]["prior"]["spacing_mm"]
    assert samples.metadata["brgm"]["seed"] == 3
    picture(viewer, "widget-explore")


@pytest.fixture
def explore(window, monkeypatch):
    fake = PriorEntry("fake", Kind.shipped, resolution=64, preset="default")
    texture = PriorEntry("texture", Kind.builtin, preset="untrained")
    monkeypatch.setattr(prior_panel, "offered_priors", lambda: {"fake": fake, "texture": texture})
    return window("Explore prior")


def test_unusable_inputs_get_one_sentence(explore, click, sentences) -> None:
    viewer, widget = explore
    assert tuple(widget.prior.choices) == ("fake",)
    click(widget.interpolate_button)
    viewer.add_image(np.zeros((8, 8)), name="grey")
    click(widget.interpolate_button)
    viewer.add_image(np.zeros((8, 9, 3), np.uint8), name="photo", rgb=True)
    click(widget.interpolate_button)
    expected = ["two different image layers"] * 2 + ["colour image"]
    assert all(part in sentence for part, sentence in zip(expected, sentences, strict=True)), sentences
    assert widget.task is None and widget.draw_button.isEnabled()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("Too little is measured"), "Too little is measured"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), "Out of memory"),
        (ZeroDivisionError("division by zero"), "Unexpected ZeroDivisionError"),
    ],
)
def test_an_error_leaves_the_widget_usable(explore, qtbot, click, sentences, monkeypatch, error, sentence) -> None:
    viewer, widget = explore
    monkeypatch.setattr("napari_brgm.zoo.registry.load_prior", lambda name: SimpleNamespace(parts=Parts()))
    threads = []

    def fail(*args, **kwargs):
        threads.append(threading.get_ident())
        raise error

    monkeypatch.setattr("napari_brgm.engine.explore.draw", fail)
    click(widget.draw_button)
    finish(qtbot, widget)
    assert len(sentences) == 1 and sentence in sentences[0]
    assert not viewer.layers and widget.draw_button.isEnabled() and threads != [threading.get_ident()]


def test_cancel_and_taking_the_widget_away_change_nothing(explore, qtbot, click, monkeypatch) -> None:
    viewer, widget = explore
    go_on = threading.Event()

    def slow(prior, count, seed, device, tell) -> DrawnImages:
        tell("drawing", 1, 2)
        go_on.wait(10)
        return drawn()  # what cannot be stopped ends in its own time, and is left out

    monkeypatch.setattr(drawing, "drawn_samples", slow)
    click(widget.draw_button)
    qtbot.waitUntil(lambda: "step 1 of 2" in widget.status.text())
    assert not widget.draw_button.isEnabled() and not widget.interpolate_button.isEnabled()
    click(widget.cancel_button)
    go_on.set()
    finish(qtbot, widget)
    assert "cancelled" in widget.status.text().lower() and not viewer.layers
    click(widget.draw_button)
    viewer.window.remove_dock_widget(widget)
    finish(qtbot, widget)
    assert not viewer.layers
