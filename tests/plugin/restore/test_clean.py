"""Cleaning changes every pixel of one slice: its layers must say so, lie over the source, and replace nothing."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_brgm.corruptions import Jpeg
from napari_brgm.plugin.layers.results import LAYER_NOTICE_ALL, Extras, add_results
from napari_brgm.plugin.layers.shown import shown_slice


@pytest.mark.parametrize("lazy", [False, True])
def test_the_whole_slice_is_an_estimate_and_no_other(lazy, fake_restoration) -> None:
    viewer = ViewerModel()
    volume = np.random.default_rng(1).normal(100, 10, (4, 5, 6)).astype(np.float32)
    given = dask.array.from_array(volume) if lazy else volume.copy()
    source = viewer.add_image(given, name="scan", scale=(3, -0.5, 0.7), units="mm", contrast_limits=(60, 140))
    viewer.dims.set_current_step(0, 2)
    shown = shown_slice(source, viewer.dims)
    result = fake_restoration(shown.image)
    cleaned, samples, variance = add_results(viewer, source, [(shown, result)], "clean", Extras(samples=True))

    assert [cleaned.name, variance.name] == ["cleaned | scan", "variance | scan"]
    assert cleaned.metadata["brgm"]["notice"] == variance.metadata["brgm"]["notice"] == LAYER_NOTICE_ALL
    assert "every pixel" in LAYER_NOTICE_ALL and cleaned.metadata["brgm"]["slices"][0]["index"] == [2, None, None]
    data, tint = np.asarray(cleaned.data), np.asarray(variance.data)
    assert data.shape == tint.shape == volume.shape and samples.data.shape == (3, 1, 5, 6)
    others = np.arange(4) != 2
    np.testing.assert_array_equal(data[others], volume[others])
    assert (data[2] != volume[2]).all()
    assert (tint[2] > 0).all() and not tint[others].any()
    assert cleaned.visible and variance.visible
    np.testing.assert_array_equal(np.asarray(source.data), volume)
    for corner in ((0, 0, 0), (3, 4, 5)):
        np.testing.assert_allclose(cleaned.data_to_world(corner), source.data_to_world(corner))


def test_the_widget_asks_for_what_is_chosen(window, qtbot, click, fake_engine, one_prior, asked) -> None:
    viewer, widget = window("Clean up")
    image = viewer.add_image(np.random.default_rng(0).random((20, 30)).astype(np.float32), name="scan")

    def run() -> None:
        click(widget.run_button)
        assert widget.worker is not None, widget.status.text()
        qtbot.waitUntil(lambda: widget.worker is None)

    widget.jpeg_quality.value = 25
    assert widget.jpeg_quality.enabled and not widget.noise_sigma.enabled
    run()
    widget.damage.value = "noise"
    assert not widget.jpeg_quality.enabled and widget.noise_sigma.enabled
    run()
    widget.noise_sigma.value = 0.02
    run()
    what = [tuple(asked(job.slices[0]).values()) for job in fake_engine.jobs]
    assert what == [(25, None), (None, None), (None, 0.02)]  # quality of the JPEG, sigma of the noise
    assert len(viewer.layers) == 7
    assert "cleaned 3 | " in widget.status.text()
    assert widget.noise_sigma.native.textFromValue(0.02) == "0.0200"
    assert image.metadata == {}


def test_with_the_engine_and_the_shipped_prior(window, qtbot, click, picture) -> None:
    """The sample after JPEG of quality 5 comes nearer to what it was."""
    viewer, widget = window("Clean up", show=True)
    (truth, mask) = viewer.open_sample("napari-brgm", "brain-artefact")
    viewer.layers.remove(mask)
    low, high = float(truth.data.min()), float(truth.data.max())
    spoilt = viewer.add_image(
        Jpeg(5).compress(truth.data, low, high), name="after JPEG 5", scale=truth.scale, translate=truth.translate,
        units=truth.units, axis_labels=truth.axis_labels, contrast_limits=truth.contrast_limits,
    )  # fmt: skip
    widget.image.value, widget.jpeg_quality.value = spoilt, 5
    widget.prior.value, widget.device.value, widget.quality.value = "brain-axial-128", "cpu", "preview"
    widget.samples.value = 4
    click(widget.run_button)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=120_000)
    picture(viewer, "widget-clean")
    cleaned, variance = list(viewer.layers)[2:]
    assert "every pixel of the result is an estimate" in widget.advice.text().lower()
    assert (variance.data > 0)[truth.data > 0].mean() > 0.99  # beside the head all draws are black
    before, after = (np.square(layer.data - truth.data).mean() for layer in (spoilt, cleaned))
    assert after < before
