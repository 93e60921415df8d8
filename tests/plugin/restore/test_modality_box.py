"""Pictures that do not say what they are: the panel asks, and looks which prior they are like."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.engine.likeness import likeness
from napari_brgm.likelihood import to_grey
from napari_brgm.zoo import registry

PATIENCE = 60_000  # ms


@pytest.fixture
def radiograph(loaded_once) -> np.ndarray:
    """As the chest prior draws one."""
    return to_grey(registry.load_prior("chest-xray-256").sample(1, seed=2))[0, 0].clamp(0, 255).numpy()


def test_a_picture_is_like_its_own_prior(brain_prior, radiograph) -> None:
    own, other = likeness(radiograph, registry.load_prior("chest-xray-256")), likeness(radiograph, brain_prior)
    assert own < 1 < other
    assert likeness(radiograph, registry.load_prior("chest-xray-lcm-128")) is None


@pytest.fixture
def looking(window, loaded_once, qtbot):
    viewer, widget = window("In-paint", show=True)
    qtbot.waitUntil(lambda: widget.isVisible() and widget.prior.value is not None, timeout=PATIENCE)
    return viewer, widget


def test_a_radiograph_without_a_word_gets_the_prior_of_radiographs(looking, radiograph, qtbot) -> None:
    viewer, widget = looking
    image = viewer.add_image(radiograph, name="png")
    widget.image.value = image
    assert widget.modality.choice.native.isVisible()
    assert "othing says" in widget.modality.choice.current_choice
    qtbot.waitUntil(lambda: widget.modality.value == "CR", timeout=PATIENCE)
    assert widget.prior.value == "chest-xray-256"
    assert "looks like CR" in widget.reason.text()
    widget.modality.choice.value = "MR T1"  # the person knows better
    assert widget.prior.value.startswith("brain-axial")
    assert "is said to be MR T1" in widget.reason.text()
    viewer.layers.clear()
    assert not widget.reason.isVisible()
    assert not widget.modality.choice.native.isVisible()


def test_noise_is_like_nothing_and_the_panel_goes_on_asking(looking, qtbot) -> None:
    viewer, widget = looking
    noise = np.random.default_rng(0).random((96, 96)).astype(np.float32)
    viewer.add_image(noise, name="noise")
    qtbot.waitUntil(lambda: widget.modality.task is not None, timeout=PATIENCE)
    qtbot.waitUntil(lambda: widget.modality.task is None, timeout=PATIENCE)
    assert widget.modality.value == ""
    assert "choose its modality" in widget.reason.text()


def test_a_scan_that_says_what_it_is_is_not_asked_about(looking) -> None:
    viewer, widget = looking
    viewer.add_image(np.random.rand(64, 64), name="scan", metadata={"scan": {"modality": "MR"}})
    assert not widget.modality.choice.native.isVisible()
    assert widget.modality.task is None


def test_a_wholly_masked_slice_is_refused_at_once(window, one_prior, fake_engine) -> None:
    viewer, widget = window("In-paint")
    viewer.add_image(np.random.rand(16, 16), name="slice")
    widget.paint()
    widget.labels.value.data[:] = 1
    widget.run()
    assert widget.worker is None
    assert "hides the whole slice" in widget.status.text()
    assert not fake_engine.jobs
