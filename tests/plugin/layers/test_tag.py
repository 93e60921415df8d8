"""A canvas with something synthetic on it says so, and only then; what a person wrote there stays theirs."""

from __future__ import annotations

import gc
from weakref import ref

import numpy as np
import pytest
from contrast import contrast
from napari.components import ViewerModel

from napari_brgm.plugin.layers.tag import TAG, mark_synthetic


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def synthetic(viewer: ViewerModel, **settings):
    return viewer.add_image(np.zeros((4, 4)), metadata={"brgm": {"role": "restored"}}, **settings)


def text(viewer: ViewerModel):
    return viewer.canvas.overlays["text"]


def test_it_comes_and_goes_with_what_is_synthetic(viewer: ViewerModel) -> None:
    viewer.add_image(np.zeros((4, 4)))
    mark_synthetic(viewer)
    assert TAG not in text(viewer).text and not text(viewer).visible
    one, two = synthetic(viewer), synthetic(viewer)
    assert text(viewer).text == TAG and text(viewer).visible
    one.visible = False
    assert text(viewer).text == TAG
    two.visible = False
    assert not text(viewer).text and not text(viewer).visible
    one.visible = True
    assert text(viewer).text == TAG
    viewer.layers.remove(one)
    assert not text(viewer).text and not text(viewer).visible


def test_layers_that_were_there_before_are_followed(viewer: ViewerModel) -> None:
    layer = synthetic(viewer, visible=False)
    mark_synthetic(viewer)
    mark_synthetic(viewer)
    assert not text(viewer).text
    layer.visible = True
    assert text(viewer).text == TAG
    viewer.layers.clear()
    assert not text(viewer).text


def test_the_text_of_a_person_stays_as_it_was(viewer: ViewerModel) -> None:
    own = text(viewer)
    own.text, own.visible, own.position, own.color = "case 7", True, "bottom_left", "cyan"
    look = (own.position, tuple(own.color))
    layer = synthetic(viewer)
    mark_synthetic(viewer)
    assert own.text == f"case 7\n{TAG}"
    own.text = f"case 8\n{TAG}"
    layer.visible = False
    assert (own.text, own.visible) == ("case 8", True)
    assert (own.position, tuple(own.color)) == look


def test_a_text_that_was_hidden_is_hidden_again(viewer: ViewerModel) -> None:
    text(viewer).text = "a draft"
    layer = synthetic(viewer)
    mark_synthetic(viewer)
    assert text(viewer).visible
    viewer.layers.remove(layer)
    assert text(viewer).text == "a draft" and not text(viewer).visible


def test_it_keeps_no_viewer_alive() -> None:
    """Catches a window that is closed and never freed."""
    viewer = ViewerModel()
    synthetic(viewer)
    mark_synthetic(viewer)
    watched = ref(viewer)
    del viewer
    gc.collect()
    assert watched() is None


def test_it_is_read_on_any_ground(viewer: ViewerModel) -> None:
    """Catches amber letters on the white canvas of the light theme."""
    before = text(viewer).box_color
    layer = synthetic(viewer)
    mark_synthetic(viewer)
    assert text(viewer).box
    assert contrast(tuple(text(viewer).color)[:3], tuple(text(viewer).box_color)[:3]) >= 4.5
    assert tuple(text(viewer).box_color)[3] == 1
    viewer.layers.remove(layer)
    assert text(viewer).box_color == before
