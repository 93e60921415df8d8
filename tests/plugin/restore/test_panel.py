"""The window itself, driven as a person drives it: samples from the menu, the widget's own buttons, real threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.history import history_of
from napari_brgm.plugin.restore import choices
from napari_brgm.plugin.restore.inpaint import InpaintWidget
from napari_brgm.plugin.restore.super_resolve import SuperResolveWidget
from napari_brgm.settings import preset

PLUGIN = "napari-brgm"
ARTEFACT, LOW_RESOLUTION = "brain-artefact", "brain-low-resolution"


@pytest.fixture(autouse=True)
def offered(request: pytest.FixtureRequest) -> None:
    """One prior, where the engine is none."""
    if "fake_engine" in request.fixturenames:
        request.getfixturevalue("one_prior")


@pytest.fixture
def run(qtbot, click):
    """Press Run and wait for the end."""

    def press_and_wait(widget) -> None:
        click(widget.run_button)
        assert widget.worker is not None, widget.status.text()
        qtbot.waitUntil(lambda: widget.worker is None, timeout=20_000)

    return press_and_wait


def test_in_paint_the_sample(window, run, fake_engine, asked) -> None:
    viewer, widget = window("In-paint")
    assert isinstance(widget, InpaintWidget)
    image, mask = viewer.open_sample(PLUGIN, ARTEFACT)
    widget.seed.value = 5
    widget.with_std.value = True
    run(widget)

    names = [layer.name for layer in viewer.layers]
    assert names[2:] == [f"{role} | {image.name}" for role in ("restored", "std", "variance")]
    restored = viewer.layers[2]
    hole = mask.data > 0
    np.testing.assert_array_equal(restored.data[~hole], image.data[~hole])
    assert not np.array_equal(restored.data[hole], image.data[hole])
    np.testing.assert_allclose(restored.data_to_world((3, 4)), image.data_to_world((3, 4)))
    assert restored.units == image.units
    assert restored.metadata["brgm"]["seed"] == 5
    (job,) = fake_engine.jobs
    assert job.slices[0].spacing == pytest.approx((1, 1))
    assert job.prior.info.name == "fake"
    np.testing.assert_array_equal(asked(job.slices[0])["missing"], hole)
    assert fake_engine.threads != {threading.get_ident()}
    assert widget.run_button.isEnabled()
    assert not widget.cancel_button.isEnabled()
    assert "restored | " in widget.status.text()


def test_super_resolve_the_sample(window, run, fake_engine, asked) -> None:
    viewer, widget = window("Super-resolve")
    assert isinstance(widget, SuperResolveWidget)
    (image,) = viewer.open_sample(PLUGIN, LOW_RESOLUTION)
    widget.factor.value = 3
    run(widget)
    restored = viewer.layers[1]
    assert restored.data.shape == tuple(3 * n for n in image.data.shape)
    np.testing.assert_allclose(restored.scale, image.scale / 3)
    np.testing.assert_allclose(restored.data_to_world((-0.5, -0.5)), image.data_to_world((-0.5, -0.5)))
    assert asked(fake_engine.jobs[0].slices[0])["factor"] == (3, 3)


@pytest.mark.parametrize(("title", "sample"), [("In-paint", ARTEFACT), ("Super-resolve", LOW_RESOLUTION)])
def test_with_the_engine_and_the_shipped_prior(window, qtbot, click, picture, title: str, sample: str) -> None:
    viewer, widget = window(title, show=True)
    source, *rest = viewer.open_sample(PLUGIN, sample)
    assert "brain-axial-128" in widget.prior.choices
    widget.prior.value = "brain-axial-128"
    widget.device.value = "cpu"
    widget.quality.value = "preview"
    widget.samples.value = 4
    click(widget.run_button)
    qtbot.waitUntil(lambda: viewer.layers[-1].name.startswith("preview | "), timeout=120_000)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=120_000)
    qtbot.wait(300)
    picture(viewer, title.lower())
    restored, variance = list(viewer.layers)[1 + len(rest) :]
    record = restored.metadata["brgm"]
    assert record["prior"]["name"] == "brain-axial-128"
    assert record["notice"].startswith("Synthetic")
    assert np.isfinite(restored.data).all()
    assert (variance.data >= 0).all()
    if rest:
        hole = rest[0].data > 0
        np.testing.assert_array_equal(restored.data[~hole], source.data[~hole])
        assert not variance.data[~hole].any()
        assert (variance.data[hole] > 0).mean() > 0.99
        # nearer to the truth than the mean of the brain is
        brain = source.data[source.data > 0].mean()
        error = np.abs(restored.data - source.data)[hole].mean()
        assert error < np.abs(brain - source.data)[hole].mean()
    else:
        blocks = restored.data.reshape(source.data.shape[0], 4, source.data.shape[1], 4).mean(axis=(1, 3))
        np.testing.assert_allclose(blocks, source.data, atol=0.02)


def test_preview_and_cancel_then_run_again(window, qtbot, run, click, fake_engine) -> None:
    fake_engine.pause = 0.05
    viewer, widget = window("In-paint")
    viewer.open_sample(PLUGIN, ARTEFACT)
    before = list(viewer.layers)
    viewer.layers.selection.active = before[1]
    click(widget.run_button)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    assert viewer.layers[-1].name.startswith("preview | ")
    assert viewer.layers.selection.active is before[1]
    qtbot.waitUntil(lambda: widget.progress.maximum() == preset("default").steps, timeout=20_000)
    assert "loss" in widget.status.text()
    click(widget.run_button)  # disabled: no second run
    assert len(fake_engine.jobs) == 1

    steps = fake_engine.steps
    click(widget.cancel_button)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=20_000)
    assert fake_engine.steps <= steps + 2  # the step under way, and one that was done but not yet told
    assert fake_engine.closed == 1
    assert list(viewer.layers) == before
    assert "cancelled" in widget.status.text().lower()

    fake_engine.pause = 0
    run(widget)
    assert len(viewer.layers) == 4


def test_paint_button_makes_a_mask_that_fits(window, run, click, fake_engine) -> None:
    viewer, widget = window("In-paint")
    volume = np.random.default_rng(0).random((3, 40, 50)).astype(np.float32)
    image = viewer.add_image(volume, name="scan", scale=(5, -2, 2), translate=(1, 2, 3), units="mm")
    widget.paint_button.native.click()
    labels = viewer.layers[-1]
    assert widget.labels.value is labels
    assert labels.mode == "paint"
    assert labels.brush_size == 4  # 8 mm
    assert labels.data.shape == volume.shape
    np.testing.assert_allclose(labels.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
    viewer.dims.set_current_step(0, 1)
    labels.paint((1, 20, 20), 1)
    run(widget)
    assert len(fake_engine.jobs) == 1
    assert viewer.layers[-1].data.shape == volume.shape


def test_unusable_inputs_get_one_sentence(window, click, fake_engine, sentences: list[str]) -> None:
    viewer, widget = window("In-paint")
    click(widget.run_button)
    image = viewer.add_image(
        np.random.default_rng(0).random((2, 3, 8, 9)), name="series", units=("s", "mm", "mm", "mm")
    )
    click(widget.run_button)
    viewer.add_labels(np.ones((8, 8), int), name="small")
    click(widget.run_button)
    viewer.dims.order = (1, 2, 0, 3)
    click(widget.run_button)
    viewer.add_image(np.zeros((8, 9, 3), np.uint8), name="photo", rgb=True)
    widget.image.value = viewer.layers["photo"]
    click(widget.run_button)
    expected = ["no image", "no mask", "'small' has the shape (8, 8)", "'series' is a 4-D layer", "colour image"]
    assert len(sentences) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, sentences, strict=True)), sentences
    assert widget.status.text() == sentences[-1]
    assert len(viewer.layers) == 3
    assert not fake_engine.jobs
    assert image in viewer.layers


def test_what_is_wrong_is_seen_before_the_prior_loads(window, one_prior, fake_engine) -> None:
    """Catches a colour image that gets a prior and a time, NaN that is refused by the worker, and a sentence about no
    image under an image."""
    viewer, widget = window("In-paint")
    widget.run()
    assert "no image" in widget.status.text()
    image = viewer.add_image(np.random.default_rng(0).random((16, 16)), name="slice")
    widget.image.value = image
    assert widget.status.text() == "" and "A slice takes" in widget.estimate.text()
    image.data[3, 4] = np.nan
    widget.paint()
    widget.labels.value.data[8:12, 8:12] = 1
    widget.run()
    assert widget.worker is None and "NaN or infinite pixels that are not masked" in widget.status.text()
    widget.labels.value.data[3, 4] = 1
    widget.run()
    assert widget.worker is not None
    widget.cancel()
    widget.image.value = viewer.add_image(np.zeros((8, 9, 3), np.uint8), name="photo", rgb=True)
    assert "colour image" in widget.reason.text() and "takes" not in widget.estimate.text()


def test_what_was_said_of_one_scan_is_not_said_of_the_next(window, run, fake_engine) -> None:
    viewer, widget = window("In-paint")
    viewer.open_sample(PLUGIN, ARTEFACT)
    run(widget)
    assert widget.status.text().startswith("Added 'restored | ") and not widget.save_button.isHidden()
    history_of(viewer).take_back()
    assert widget.status.text() == "" and widget.save_button.isHidden()
    history_of(viewer).bring_again()
    assert widget.status.text().startswith("Added 'restored | ") and not widget.save_button.isHidden()
    history_of(viewer).take_back()
    run(widget)
    assert widget.status.text().startswith("Added 'restored | ")
    widget.image.value = viewer.add_image(np.random.default_rng(0).random((16, 16)), name="next")
    assert widget.status.text() == "" and not widget.advice.isVisibleTo(widget)


def test_what_is_said_goes_with_its_result(window, run, one_prior, fake_engine, qtbot) -> None:
    """Catches the first of two runs forgotten with the second, a warning lost on the way, and buttons of nothing."""
    viewer, widget = window("In-paint")
    head = (np.hypot(*(np.indices((40, 40)) - 19.5)) < 16).astype(np.float32)
    viewer.add_image(head, name="slice", scale=(5, 5))
    widget.paint()
    widget.labels.value.data[:24] = 1
    run(widget)
    warned, first = widget.advice.text(), viewer.layers[-2]
    assert "of the anatomy" in warned
    widget.labels.value.data[:28] = 1
    run(widget)
    assert "of the anatomy" in widget.advice.text() != warned
    history = history_of(viewer)
    history.take_back()
    assert first in viewer.layers and widget.status.text().startswith("Added 'restored | ")
    assert widget.advice.text() == warned and not widget.save_button.isHidden()
    widget.image.value = viewer.add_image(head, name="next")
    assert widget.status.text() == "" == widget.advice.text()
    widget.image.value = viewer.layers["slice"]
    assert widget.advice.text() == warned and not widget.save_button.isHidden()
    widget._say("something else")
    history.take_back()
    assert widget.status.text() == "Something else" and widget.advice.text() == "" and widget.save_button.isHidden()
    history.bring_again()
    assert widget.status.text().startswith("Added 'restored | ") and widget.advice.text() == warned
    history.bring_again()
    assert "of the anatomy" in widget.advice.text() != warned
    history.bring_again()
    assert viewer.status == "there is no run to bring again"
    history.take_back()
    widget._say("something else")
    viewer.layers.remove(first)
    assert widget.status.text() == "Something else" and widget.save_button.isHidden()
    run(widget)
    first = viewer.layers[-2]
    fake_engine.pause = 0.05
    widget.run()
    history.take_back()
    assert first not in viewer.layers
    widget.cancel()
    qtbot.waitUntil(lambda: widget.worker is None, timeout=20_000)
    assert "ancelled" in widget.status.text() and widget.save_button.isHidden() and widget.inspect_button.isHidden()
    widget.run()
    history.bring_again()
    widget.cancel()
    qtbot.waitUntil(lambda: widget.worker is None, timeout=20_000)
    assert first in viewer.layers and not widget.save_button.isHidden()


def test_pixels_that_are_replaced_during_a_run(window, qtbot, click, fake_engine, sentences: list[str]) -> None:
    fake_engine.pause = 0.05
    viewer, widget = window("In-paint")
    image, _ = viewer.open_sample(PLUGIN, ARTEFACT)
    before = list(viewer.layers)
    click(widget.run_button)
    image.data = np.zeros((50, 50), np.float32)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=20_000)
    assert "were replaced during the run; run again" in sentences[-1]
    assert list(viewer.layers) == before and widget.run_button.isEnabled()


def test_error_in_the_engine_leaves_the_widget_usable(window, run, fake_engine, sentences: list[str]) -> None:
    viewer, widget = window("In-paint")
    viewer.open_sample(PLUGIN, ARTEFACT)
    errors: dict[str, Exception] = {
        "Too little is measured": InputError("Too little is measured"),
        "an operator failed": RuntimeError("an operator failed"),  # napari swallows these
        "out of memory": type("OutOfMemoryError", (RuntimeError,), {})("CUDA"),
        "Unexpected ZeroDivisionError": ZeroDivisionError("division by zero"),
    }
    for count, (sentence, error) in enumerate(errors.items(), 1):
        fake_engine.error = error
        run(widget)
        assert len(sentences) == count
        assert sentence.lower() in sentences[-1].lower()
        assert len(viewer.layers) == 2
    fake_engine.error = None
    run(widget)
    assert len(viewer.layers) == 4


def test_taking_the_widget_away_stops_its_run(window, qtbot, click, fake_engine) -> None:
    fake_engine.pause = 0.05
    viewer, widget = window("In-paint")
    viewer.open_sample(PLUGIN, ARTEFACT)
    click(widget.run_button)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: fake_engine.closed == 1, timeout=20_000)
    assert len(viewer.layers) == 2
    qtbot.waitUntil(lambda: widget.worker is None, timeout=20_000)


def test_closing_the_window_stops_its_run(window, qtbot, click, fake_engine) -> None:
    fake_engine.pause = 0.5
    viewer, widget = window("In-paint")
    viewer.open_sample(PLUGIN, ARTEFACT)
    click(widget.run_button)
    qtbot.waitUntil(lambda: fake_engine.steps > 0)
    viewer.close()
    qtbot.waitUntil(lambda: fake_engine.closed == 1, timeout=20_000)


def test_layers_deleted_during_a_run(window, qtbot, click, fake_engine) -> None:
    fake_engine.pause = 0.2
    viewer, widget = window("In-paint")
    viewer.open_sample(PLUGIN, ARTEFACT)
    click(widget.run_button)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=20_000)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: widget.worker is None, timeout=10_000)
    assert [layer.name.split(" | ")[0] for layer in viewer.layers] == ["restored", "variance"]


def test_preferences_are_the_defaults_of_new_widgets(make_napari_viewer, monkeypatch, fake_engine) -> None:
    from napari_brgm.plugin.preferences import Preferences

    monkeypatch.setattr(choices, "preferences", lambda: Preferences(device="cpu", quality="careful"))
    viewer = make_napari_viewer()
    widget = InpaintWidget(viewer)
    assert (widget.device.value, widget.quality.value) == ("cpu", "careful")
    widget.deleteLater()
