"""Which mask is chosen with an image, and slices that a mask hides as a whole."""

from __future__ import annotations

import numpy as np


def test_the_mask_follows_the_image(window) -> None:
    viewer, widget = window("In-paint")
    first = viewer.add_image(np.random.default_rng(0).random((24, 24)), name="first")
    widget.image.value = first
    widget.paint()
    of_first = widget.labels.value
    second = viewer.add_image(np.random.default_rng(1).random((24, 24)), name="second")
    widget.image.value = second
    assert widget.labels.value is of_first  # it fits, and there is no other
    widget.paint()
    of_second = widget.labels.value
    assert of_second.name == "second artefact mask"
    for image, mask in ((first, of_first), (second, of_second)):
        widget.image.value = image
        assert widget.labels.value is mask
    other = viewer.add_labels(np.zeros((24, 24), np.uint8), name="by hand")
    widget.labels.value = other
    widget.image.value = first
    assert widget.labels.value is of_first
    smaller = viewer.add_image(np.random.default_rng(2).random((12, 12)), name="smaller")
    fits = viewer.add_labels(np.zeros((12, 12), np.uint8), name="drawn elsewhere")
    widget.image.value = smaller
    assert widget.labels.value is fits
    viewer.layers.remove(fits)
    widget.image.value = first
    widget.image.value = smaller
    assert widget.labels.value is of_first  # Run says that it does not fit
