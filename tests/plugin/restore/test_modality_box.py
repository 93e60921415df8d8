"""Pictures that do not say what they are: the panel asks, and looks which prior they are like."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from napari_brgm.engine.likeness import likeness
from napari_brgm.likelihood import to_grey
from napari_brgm.zoo.registry import load_prior

PATIENCE = 60_000  # ms
PICTURE = np.random.default_rng(0).random((96, 96)).astype(np.float32)


def test_a_picture_is_like_its_own_prior(brain_prior) -> None:
    """A radiograph as the prior of radiographs draws one, with pixels twice as large; and noise is like nothing."""
    films = load_prior("chest-xray-256")
    film = to_grey(films.sample(1, seed=2)).clamp(0, 255)[0, 0].reshape(128, 2, 128, 2).mean(dim=(1, 3)).numpy()
    own, other = likeness(film, films), likeness(film, brain_prior)
    assert own < 1 < other
    assert min(likeness(PICTURE, films), likeness(PICTURE, brain_prior)) > 1.3
    assert likeness(film, load_prior("chest-xray-lcm-128")) is None
    fine = np.kron(film, np.ones((12, 12), np.float32))  # a film of 1,536 pixels is looked at as one of 384
    assert likeness(fine, films) == pytest.approx(likeness(np.kron(film, np.ones((3, 3))), films), rel=1e-4)
    assert likeness(fine, films) < 1 < likeness(fine, brain_prior)
    heads = load_prior("brain-axial-128")
    head = to_grey(heads.sample(1, seed=2)).clamp(0, 255)[0, 0].numpy()
    wide = np.pad(head, 36)  # a wider field of view with pixels of the same size, and ever finer ones
    for picture in (head, wide, *(np.kron(head, np.ones((n, n), np.float32)) for n in (2, 4))):
        assert likeness(picture, heads) < 1
    assert likeness(np.kron(head, np.ones((3, 3))), heads, (0.5, 0.5)) < 1


@pytest.fixture
def looking(window, qtbot, monkeypatch):
    """In-paint, and ``ratios``: what is found of a picture under each prior, by a part of its name."""
    ratios: dict[str, float] = {}
    found = {"brain": 3.0, "chest": 3.0}

    def told(image, prior, spacing=None, check=None):
        return next((found | ratios)[part] for part in found if prior.info.name.startswith(part))

    monkeypatch.setattr(import_module("napari_brgm.engine.likeness"), "likeness", told)
    viewer, widget = window("In-paint", show=True)
    qtbot.waitUntil(lambda: widget.isVisible() and widget.prior.value is not None, timeout=PATIENCE)
    return viewer, widget, ratios


def test_a_radiograph_without_a_word_gets_the_prior_of_radiographs(looking, qtbot) -> None:
    viewer, widget, ratios = looking
    ratios["chest"] = 0.7
    image = viewer.add_image(PICTURE, name="png")
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


def test_what_is_like_nothing_is_asked_about_further(looking, qtbot) -> None:
    viewer, widget, _ = looking
    viewer.add_image(PICTURE, name="noise")
    qtbot.waitUntil(lambda: widget.modality.task is not None, timeout=PATIENCE)
    qtbot.waitUntil(lambda: widget.modality.task is None, timeout=PATIENCE)
    assert widget.modality.value == ""
    assert "choose its modality" in widget.reason.text()
    assert "does not look like" in widget.reason.text() and "turned" in widget.reason.text()
    widget.match_prior()
    assert widget.modality.task is None, "it was looked at once"
    viewer.add_image(np.random.rand(64, 64), name="scan", metadata={"scan": {"modality": "MR"}})
    widget.image.value = viewer.layers["scan"]
    assert "look like" not in widget.reason.text()


def test_a_run_waits_for_the_look(looking, qtbot, fake_engine) -> None:
    """Catches a radiograph that is restored with the prior of brains, under a panel that then names that of chests."""
    viewer, widget, ratios = looking
    ratios["chest"] = 0.7
    widget.image.value = viewer.add_image(PICTURE, name="film")
    assert "looking at the picture" in widget.reason.text()
    widget.paint()
    widget.labels.value.data[40:50, 40:50] = 1
    widget.run()
    assert widget.worker is None and "Looking at the picture first" in widget.status.text()
    widget.cancel()
    assert "ancelled" in widget.status.text()
    widget.run()
    qtbot.waitUntil(lambda: bool(fake_engine.jobs), timeout=PATIENCE)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=PATIENCE)
    assert widget.prior.value == "chest-xray-256" and len(fake_engine.jobs) == 1
    assert fake_engine.jobs[0].prior.info.name == "chest-xray-256"


def test_an_image_that_takes_the_place_of_another_is_looked_at_too(looking, qtbot) -> None:
    """Catches one that is opened while the last is looked at, and then never."""
    viewer, widget, ratios = looking
    viewer.add_image(PICTURE, name="noise")
    assert widget.modality.task is not None
    ratios["chest"] = 0.7
    widget.image.value = viewer.add_image(PICTURE.copy(), name="film")
    qtbot.waitUntil(lambda: widget.modality.value == "CR" and widget.modality.task is None, timeout=PATIENCE)
    assert widget.image.value.name == "film"
    other = viewer.add_image(np.random.rand(64, 64), name="scan", metadata={"scan": {"modality": "MR"}})
    for chosen in (other, viewer.layers["film"]):  # what was found of it is not forgotten
        widget.image.value = chosen
    assert widget.modality.value == "CR" and widget.prior.value == "chest-xray-256" and widget.modality.task is None


def test_a_scan_that_says_what_it_is_is_not_asked_about(looking) -> None:
    viewer, widget, _ = looking
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
