"""The window gives back the units, and the box of the head is where the head is."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.engine.window import Window, foreground_box


def test_window_is_invertible_and_follows_the_units():
    """Scaling: the same grey levels for an MR image in any scale; CT-like images also with any offset."""
    rng = np.random.default_rng(0)
    mr = np.where(rng.random(4000) < 0.4, 0, rng.normal(400, 80, 4000).clip(0))
    window = Window.of(mr, 230.0)
    np.testing.assert_allclose(window.from_grey(window.to_grey(mr)), mr, atol=1e-9)
    np.testing.assert_allclose(Window.of(7 * mr, 230.0).to_grey(7 * mr), window.to_grey(mr), rtol=1e-9)
    assert np.percentile(window.to_grey(mr[mr > 50]), 99) == pytest.approx(230, abs=1)
    ct = mr - 1000
    np.testing.assert_allclose(
        Window.of(10 * ct + 5, 230.0).to_grey(10 * ct + 5), Window.of(ct, 230.0).to_grey(ct), atol=1e-6
    )


def test_what_was_added_to_all_pixels_is_not_tissue():
    """An offset of many times the contrast: the same grey levels. A crop of tissue alone keeps its black at 0."""
    mr = np.where(np.random.default_rng(0).random(4000) < 0.4, 0, np.random.default_rng(1).normal(400, 80, 4000))
    mr = mr.clip(0)
    np.testing.assert_allclose(
        Window.of(mr + 20000, 230.0).to_grey(mr + 20000), Window.of(mr, 230.0).to_grey(mr), atol=1e-6
    )
    assert Window.of(mr[mr > 320], 230.0).low == 0


def test_grey_levels_are_taken_as_they_are():
    grey = np.random.default_rng(0).integers(0, 240, 1000)
    assert Window.of(grey, 230.0) == Window(0.0, 255.0)
    assert Window.of(grey / 255, 230.0) != Window(0.0, 255.0)


@pytest.mark.parametrize("outlier", [-1.0, 1.0, 1e6, -1e6])
def test_a_window_is_never_empty(outlier):
    """One odd pixel in a constant image: percentiles alone would give a window of no width."""
    values = np.zeros(5000)
    values[7] = outlier
    window = Window.of(values, 230.0)
    assert window.high > window.low and np.isfinite(window.to_grey(values)).all()


def test_foreground_box_ignores_specks_and_missing_pixels():
    image = np.zeros((100, 80))
    image[20:70, 10:60] = 500
    image[90, 70] = 5000
    everything = np.ones_like(image, dtype=bool)
    assert foreground_box(image, everything) == (20, 69, 10, 59)
    image[0:15] = np.nan
    measured = np.isfinite(image)
    assert foreground_box(image, measured) == (20, 69, 10, 59)
