"""'Suggest mask' in the window: a labels layer over what the prior cannot explain, to be corrected by hand."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.evaluation.suspects import ARTEFACTS
from napari_brgm.likelihood import to_grey

PATIENCE = 60_000  # ms


@pytest.fixture
def volume(brain_prior, loaded_once) -> tuple[np.ndarray, np.ndarray]:
    """Three slices that the prior draws, and where the one in the middle has an artefact."""
    slices = to_grey(brain_prior.sample(3, seed=5))[:, 0].clamp(0, 255).numpy()
    slices[1], where = ARTEFACTS["zipper"](slices[1], np.random.default_rng(1))
    return slices, where


def looked(widget, qtbot) -> None:
    qtbot.waitUntil(lambda: widget.task is None, timeout=PATIENCE)


def test_on_the_slice_on_show_and_on_all(window, volume, brain_prior, qtbot) -> None:
    slices, where = volume
    viewer, widget = window("In-paint")
    image = viewer.add_image(slices.copy(), name="head", scale=(3, 1.5, 1.5), units=("mm",) * 3)
    widget.prior.value = brain_prior.info.name
    viewer.dims.set_point(0, 3.0)
    this, everywhere = widget.suggest_button.menu().actions()
    this.trigger()
    assert widget.task is not None
    assert not widget.run_button.isEnabled()
    looked(widget, qtbot)
    labels = widget.labels.value
    assert labels.name == "head suggested mask"
    assert labels.mode == "paint"
    assert not labels.data[[0, 2]].any()
    assert labels.data[1][where].mean() > 0.9
    assert labels.data[1].mean() < 0.1
    np.testing.assert_array_equal(image.data, slices)
    np.testing.assert_allclose(labels.data_to_world((1, 2, 3)), image.data_to_world((1, 2, 3)))
    assert "correct them by hand" in widget.status.text()

    everywhere.trigger()
    looked(widget, qtbot)
    assert widget.labels.value is labels  # one mask to run on, not one for each look
    assert widget.labels.value.data[1][where].mean() > 0.9
    assert widget.labels.value.data[[0, 2]].mean() < 0.01
    assert widget.run_button.isEnabled()


def test_it_can_be_cancelled_and_refused(window, volume, brain_prior, qtbot) -> None:
    viewer, widget = window("In-paint")
    viewer.add_image(volume[0][0], name="head")
    widget.prior.value = brain_prior.info.name
    widget.suggest()
    widget.cancel()
    looked(widget, qtbot)
    assert "ancelled" in widget.status.text()
    widget.prior.value = "brain-axial-lcm-128"
    widget.suggest()
    looked(widget, qtbot)
    assert "choose another prior" in widget.status.text()
    assert [layer.name for layer in viewer.layers] == ["head"]
