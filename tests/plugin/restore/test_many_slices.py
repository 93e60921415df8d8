"""'Run on all masked slices' in the window: every slice that is meant and no other, and one group of layers a run."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import zarr

from napari_brgm.errors import InputError
from napari_brgm.plugin import background
from napari_brgm.plugin.layers.outcome import outcome_of
from napari_brgm.plugin.layers.tag import TAG
from napari_brgm.plugin.restore import panel
from napari_brgm.settings import settings_for

SHAPE = (8, 24, 20)
PLACE = {"scale": (3, -0.5, 0.7), "translate": (5, 6, 7), "units": "mm"}
VOLUME = np.random.default_rng(0).normal(100, 10, SHAPE).astype(np.float32)
STEPS = settings_for("default", "preview").steps


def painted() -> np.ndarray:
    """Label 1 on slices 1 and 4, label 3 on slices 4 and 6."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[[1, 4], 5:9, 3:8] = 1
    labels[[4, 6], 14:18, 10:16] = 3
    return labels


@pytest.fixture(autouse=True)
def offered(one_prior) -> None:
    """One prior in all tests here."""


@pytest.fixture
def paint(window, fake_engine):
    """The window with the in-painting widget, a volume and its masks; the slider is at slice 3, which has none."""

    def open_with(data=VOLUME, masks=None, **place):
        viewer, widget = window("In-paint")
        settings = PLACE | place
        image = viewer.add_image(data, name="scan", contrast_limits=(60, 140), **settings)
        labels = viewer.add_labels(painted() if masks is None else masks, name="masks", **settings)
        viewer.dims.set_current_step(viewer.dims.ndim - 3, 3)
        widget.quality.value = "preview"
        return viewer, widget, image, labels

    return open_with


@pytest.fixture
def run_all(qtbot, click):
    def press_and_wait(widget) -> None:
        click(widget.run_all_button)
        assert widget.worker is not None, widget.status.text()
        qtbot.waitUntil(lambda: widget.worker is None, timeout=30_000)

    return press_and_wait


def test_every_masked_slice_and_no_other(paint, run_all, fake_engine, asked) -> None:
    viewer, widget, image, _ = paint()
    run_all(widget)
    (job,) = fake_engine.jobs
    hole = painted() > 0
    assert len(job.slices) == 3
    for observed, number in zip(job.slices, (1, 4, 6), strict=True):
        np.testing.assert_array_equal(observed.image, VOLUME[number, ::-1])  # as shown: the rows' scale is negative
        np.testing.assert_array_equal(asked(observed)["missing"], hole[number, ::-1])
        assert observed.spacing == pytest.approx((0.5, 0.7))
    restored, variance = list(viewer.layers)[2:]
    np.testing.assert_array_equal(restored.data[~hole], VOLUME[~hole])
    for number in (1, 4, 6):
        filled = restored.data[number][hole[number]]
        assert np.unique(filled).size == 1  # the mean of what is measured on its own slice
        np.testing.assert_allclose(filled, VOLUME[number][~hole[number]].mean(), rtol=1e-5)
    np.testing.assert_array_equal(variance.data > 0, hole)
    np.testing.assert_array_equal(image.data, VOLUME)
    for layer in (restored, variance):
        assert layer.data.shape == SHAPE and layer.units == image.units
        for index in ((0, 0, 0), (7, 23, 19)):
            np.testing.assert_allclose(layer.data_to_world(index), image.data_to_world(index))


def test_a_chosen_label(paint, run_all, fake_engine, asked) -> None:
    viewer, widget, _, labels = paint()
    assert [widget.label.get_choice(text) for text in ("only 1", "only 3")] == [1, 3]
    widget.label.value = 3
    run_all(widget)
    (job,) = fake_engine.jobs
    assert [asked(observed)["missing"].sum() for observed in job.slices] == [24, 24]
    restored = viewer.layers[2]
    np.testing.assert_array_equal(restored.data != VOLUME, painted() == 3)
    labels.selected_label = 7
    viewer.dims.set_current_step(0, 2)
    labels.paint((2, 4, 4), 7)
    assert widget.label.value == 3 and widget.label.get_choice("only 7") == 7  # painting changes no choice
    widget.label.value = 7
    run_all(widget)
    assert len(fake_engine.jobs[-1].slices) == 1


def test_a_series_with_masks_at_two_times(paint, run_all, fake_engine) -> None:
    series = np.stack([VOLUME, VOLUME + 50, VOLUME + 100])
    masks = np.zeros(series.shape, np.uint8)
    masks[0, 2, 5:9, 3:8] = masks[2, 2, 5:9, 3:8] = masks[2, 5, 1:4, 3:8] = 1
    place = {
        "scale": (1, 3, -0.5, 0.7),
        "translate": (0, 5, 6, 7),
        "units": ("s", "mm", "mm", "mm"),
        "axis_labels": ("time", "I-S", "A-P", "R-L"),
    }
    viewer, widget, _, _ = paint(series, masks, **place)
    run_all(widget)
    (job,) = fake_engine.jobs
    found = [observed.image for observed in job.slices]
    for image, (time, z) in zip(found, ((0, 2), (2, 2), (2, 5)), strict=True):
        np.testing.assert_array_equal(image, series[time, z, ::-1])
    restored = viewer.layers[2]
    np.testing.assert_array_equal(restored.data != series, masks > 0)
    assert [entry["index"] for entry in restored.metadata["brgm"]["slices"]] == [
        [0, 2, None, None],
        [2, 2, None, None],
        [2, 5, None, None],
    ]


def test_two_nested_progress_bars(paint, qtbot, click, fake_engine, monkeypatch) -> None:
    """The outer counts slices that are done, the inner the steps of one; a single slice needs no outer one."""
    fake_engine.pause = 0.1
    monkeypatch.setattr(background, "_LOOK_MS", 5)  # so that no step is missed
    monkeypatch.setattr(panel, "_TELL_SECONDS", 0.0)
    _, widget, _, _ = paint()
    told: list[tuple[int, int, str]] = []
    monkeypatch.setattr(
        widget, "_say", lambda text: told.append((widget.slice_progress.value(), widget.progress.value(), text))
    )
    click(widget.run_all_button)
    assert not widget.slice_progress.isHidden() and not widget.progress.isHidden()
    assert (widget.slice_progress.value(), widget.slice_progress.maximum()) == (0, 3)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=30_000)
    assert widget.slice_progress.isHidden() and widget.progress.isHidden()
    steps = [one for one in told if "step" in one[2]]
    assert [outer for outer, _, _ in steps] == sorted(outer for outer, _, _ in steps)
    for number in (1, 2):  # the last step of all is followed by the result
        assert any(one[:2] == (number, STEPS) and f"slice {number} of 3" in one[2] for one in steps)
    assert told[0][2].startswith("3 slices, about")
    widget.viewer.dims.set_current_step(0, 1)
    click(widget.run_button)
    assert widget.slice_progress.isHidden() and not widget.progress.isHidden()
    qtbot.waitUntil(lambda: widget.worker is None, timeout=30_000)
    assert told[-1][2].startswith("added 'restored 2 | scan'")


def test_cancel_in_the_middle_adds_nothing(paint, qtbot, click, fake_engine) -> None:
    fake_engine.pause = 0.2
    viewer, widget, _, _ = paint()
    before = list(viewer.layers)
    click(widget.run_all_button)
    qtbot.waitUntil(lambda: fake_engine.steps > STEPS + 2, timeout=30_000)  # slice 2 is under way
    click(widget.cancel_button)
    steps = fake_engine.steps
    qtbot.waitUntil(lambda: widget.worker is None, timeout=30_000)
    assert fake_engine.closed == 1 and fake_engine.steps <= steps + 2
    assert list(viewer.layers) == before
    assert "cancelled" in widget.status.text().lower()
    assert TAG not in viewer.canvas.overlays["text"].text
    assert widget.run_all_button.isEnabled()


def test_a_slice_that_fails_is_left_as_it_is_and_named(paint, run_all, fake_engine) -> None:
    fake_engine.bad[2] = InputError("too little is measured")
    viewer, widget, _, _ = paint()
    run_all(widget)
    restored, variance = list(viewer.layers)[2:]
    hole = painted() > 0
    hole[4] = False
    np.testing.assert_array_equal(restored.data != VOLUME, hole)
    np.testing.assert_array_equal(variance.data > 0, hole)
    assert "1 of 3 slices were left as they are: too little is measured" in widget.advice.text()
    outcome = outcome_of(restored)
    assert outcome is not None and [plane.index[0] for plane in outcome.planes] == [1, 6]
    assert [entry["index"][0] for entry in restored.metadata["brgm"]["slices"]] == [1, 6]


def test_layers_of_a_run_share_its_outcome_and_runs_are_numbered(paint, run_all) -> None:
    viewer, widget, _, _ = paint()
    widget.with_std.value = widget.with_samples.value = widget.with_interval.value = True
    names, runs = [], []
    for _ in range(2):
        before = set(viewer.layers)
        run_all(widget)
        made = [layer for layer in viewer.layers if layer not in before]
        names.append([layer.name for layer in made])
        (outcome,) = {outcome_of(layer) for layer in made}
        assert {layer.metadata["brgm"]["run"] for layer in made} == {outcome.run}
        runs.append(outcome.run)
    roles = ["restored", "samples", "low 90%", "high 90%", "std", "variance"]
    assert names[0] == [f"{role} | scan" for role in roles]
    assert names[1] == [f"{role} 2 | scan" for role in roles]
    assert runs[0] != runs[1]
    # the first one is deleted: the next one takes no name that is there
    for layer in [layer for layer in viewer.layers if layer.name in names[0]]:
        viewer.layers.remove(layer)
    run_all(widget)
    assert viewer.layers[-1].name == "variance 3 | scan"


def test_layers_on_request_lie_where_their_slices_do(paint, run_all) -> None:
    viewer, widget, image, _ = paint()
    widget.with_std.value = widget.with_samples.value = widget.with_interval.value = True
    widget.level.value = 0.5
    run_all(widget)
    restored, samples, low, high, std, variance = list(viewer.layers)[2:]
    hole = painted() > 0
    # the stack covers slices 1 to 6, with an axis of samples in front
    assert samples.data.shape == (3, 6, 24, 20)
    for index in ((0, 0, 0), (5, 23, 19), (2, 7, 3)):
        there = samples.data_to_world((1, *index))
        np.testing.assert_allclose(there[1:], image.data_to_world((index[0] + 1, *index[1:])))
    np.testing.assert_array_equal(samples.data[:, ~hole[1:7]], np.stack([VOLUME[1:7][~hole[1:7]]] * 3))
    np.testing.assert_array_equal(samples.data[1], restored.data[1:7])
    assert samples.units[1:] == image.units
    for layer in (low, high, std, variance):
        assert layer.data.shape == SHAPE
        np.testing.assert_allclose(layer.data_to_world((2, 3, 4)), image.data_to_world((2, 3, 4)))
    assert low.metadata["brgm"]["level"] == high.metadata["brgm"]["level"] == 0.5
    assert (low.data[hole] < restored.data[hole]).all() and (restored.data[hole] < high.data[hole]).all()
    np.testing.assert_array_equal(low.data[~hole], VOLUME[~hole])
    np.testing.assert_allclose(std.data**2, variance.data, rtol=1e-6)
    assert [layer.visible for layer in (restored, samples, low, high, std, variance)] == [True, *[False] * 4, True]


def test_the_tag_is_there_while_something_synthetic_is_shown(paint, run_all) -> None:
    viewer, widget, _, _ = paint()
    text = viewer.canvas.overlays["text"]
    run_all(widget)
    assert TAG in text.text and text.visible
    restored, variance = list(viewer.layers)[2:]
    restored.visible = variance.visible = False
    assert TAG not in text.text
    variance.visible = True
    assert TAG in text.text
    viewer.layers.remove(restored)
    viewer.layers.remove(variance)
    assert TAG not in text.text and not text.visible


def test_nothing_is_painted_anywhere(paint, click, fake_engine, sentences) -> None:
    _, widget, _, _ = paint(masks=np.zeros(SHAPE, np.uint8))
    click(widget.run_all_button)
    assert widget.worker is None and not fake_engine.jobs
    assert sentences == ["Nothing is painted in 'masks'; paint over what is to be restored"]


def test_of_a_dask_layer_only_the_masked_slices_are_computed(paint, run_all) -> None:
    """Before and during the run, and for its layers: a series of gigabytes must not be read for three slices."""
    computed: list[int] = []

    def block(block_info: dict) -> np.ndarray:
        number = block_info[None]["chunk-location"][0]
        computed.append(number)
        return VOLUME[number : number + 1]

    data = dask.array.map_blocks(block, chunks=((1,) * 8, (24,), (20,)), dtype=np.float32, meta=np.zeros((0, 0, 0)))
    viewer, widget, image, _ = paint(data)
    shown = {3}
    computed.clear()
    run_all(widget)
    assert set(computed) <= {1, 4, 6} | shown
    restored, variance = list(viewer.layers)[2:]
    assert isinstance(restored.data, dask.array.Array) and isinstance(variance.data, dask.array.Array)
    hole = painted() > 0
    np.testing.assert_array_equal(np.asarray(restored.data) != VOLUME, hole)
    np.testing.assert_array_equal(np.asarray(image.data), VOLUME)


def test_of_a_zarr_layer(paint, run_all) -> None:
    data = zarr.array(VOLUME, chunks=(1, 24, 20))
    viewer, widget, _, _ = paint(data, zarr.array(painted(), chunks=(1, 24, 20)))
    run_all(widget)
    restored = viewer.layers[2]
    np.testing.assert_array_equal(np.asarray(restored.data) != VOLUME, painted() > 0)
    np.testing.assert_array_equal(data[:], VOLUME)


def test_of_a_multiscale_layer_in_full_resolution(window, run_all, fake_engine) -> None:
    viewer, widget = window("In-paint")
    image = viewer.add_image([VOLUME, VOLUME[:, ::2, ::2]], multiscale=True, name="scan", **PLACE)
    viewer.add_labels(painted(), **PLACE)
    run_all(widget)
    assert [observed.image.shape for observed in fake_engine.jobs[0].slices] == [SHAPE[1:]] * 3
    restored = viewer.layers[2]
    assert not restored.multiscale and restored.data.shape == SHAPE
    np.testing.assert_array_equal(restored.data != VOLUME, painted() > 0)
    np.testing.assert_allclose(restored.data_to_world((7, 23, 19)), image.data_to_world((7, 23, 19)))


@pytest.mark.parametrize("label", [0, 1])
def test_the_engine_is_told_how_the_slices_lie(paint, run_all, fake_engine, label) -> None:
    """Distances in mm, and as neighbours what nobody has painted on: catches strokes that count as measured."""
    _, widget, *_ = paint()
    widget.label.value = label
    run_all(widget)
    stack = fake_engine.jobs[-1].stack
    restored = [1, 4] if label else [1, 4, 6]
    assert stack.places == tuple(3.0 * i for i in restored)
    assert [at for at, _ in stack.neighbours] == [3.0 * i for i in range(8) if i not in restored]
    (second,) = (np.asarray(image) for at, image in stack.neighbours if at == 6.0)
    np.testing.assert_array_equal(second, VOLUME[2, ::-1])  # as it is shown: its rows run up


def test_one_slice_relies_on_no_slice_that_is_painted_too(paint, qtbot, click, fake_engine) -> None:
    viewer, widget, *_ = paint()
    viewer.dims.set_current_step(0, 4)
    click(widget.run_button)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=30_000)
    stack = fake_engine.jobs[-1].stack
    assert stack.places == (12.0,)
    assert [at for at, _ in stack.neighbours] == [3.0 * i for i in range(8) if i not in (1, 4, 6)]


def test_slices_are_restored_alone_when_that_is_chosen(paint, run_all, fake_engine) -> None:
    _, widget, *_ = paint()
    widget.together.value = False
    run_all(widget)
    assert fake_engine.jobs[-1].stack is None
