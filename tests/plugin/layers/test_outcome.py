"""What a run computed must be found again at the place in the layer where it is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from scipy.stats import norm

from napari_brgm.calibration import unpack_widths
from napari_brgm.engine.restoration import Restoration
from napari_brgm.plugin.layers.outcome import RestoredPlane, as_stored, in_gray, outcome_of, probability_above
from napari_brgm.plugin.layers.planes import all_planes
from napari_brgm.plugin.layers.results import Extras, add_results
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.uncertainty.pixel import words
from napari_brgm.plugin.uncertainty.widget import usual_threshold

PLACES = [{}, {"scale": (3, -0.5, 0.7)}, {"scale": (3, -0.5, -0.7), "translate": (0, 9, 9)}]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("task", ["in-paint", "super-resolve"])
def test_every_pixel_is_found_where_the_layer_shows_it(place: dict, order, task: str, fake_restoration) -> None:
    """Catches flips, swapped axes and, of a block that does not begin at slice 0, the wrong slice."""
    viewer = ViewerModel()
    source = viewer.add_image(np.random.default_rng(0).random((4, 5, 6)).astype(np.float32), **place)
    viewer.dims.order = order
    planes = all_planes(source, shown_slice(source, viewer.dims))[1:3]
    given = {"factor": (2, 3)} if task == "super-resolve" else {}
    results = [
        (p, fake_restoration(p.image, **(given or {"missing": p.image > 0.5}), seed=seed))
        for seed, p in enumerate(planes)
    ]
    restored, *_ = add_results(viewer, source, results, task, Extras())
    outcome = outcome_of(restored)
    assert outcome is not None and outcome.task == task and outcome.source == source.name
    found = 0
    for index in np.ndindex(restored.data.shape):
        for plane in outcome.planes:
            where = plane.find(index)
            if where is not None:
                pixel = plane.at(*where)
                assert pixel is not None and pixel.estimate == plane.result.estimate[where] == restored.data[index]
                draws = [] if pixel.measured else plane.result.samples[(slice(None), *where)]
                np.testing.assert_array_equal(pixel.samples, draws)
                found += 1
    assert found == sum(result.estimate.size for _, result in results)


def test_outside_nothing_was_restored(fake_restoration) -> None:
    viewer = ViewerModel()
    source = viewer.add_image(np.random.default_rng(0).random((4, 5, 6)).astype(np.float32))
    viewer.dims.set_current_step(0, 2)
    shown = shown_slice(source, viewer.dims)
    result = fake_restoration(shown.image, shown.image > 0.5)
    restored, *_ = add_results(viewer, source, [(shown, result)], "in-paint", Extras())
    (plane,) = outcome_of(restored).planes
    for outside in ((1, 2, 2), (2, -0.6, 2), (2, 4.6, 2), (-1,) * 3, (99,) * 3):
        assert plane.find(outside) is None
    for near, exact in (((2.4, 4.4, -0.4), (4, 0)), ((1.5, 0.5, 1.49), (1, 1))):  # halves go up, as pixels are drawn
        assert plane.find(near) == exact


def test_what_has_no_number_is_no_estimate(fake_restoration) -> None:
    """Missing outside the brain of a head, and nan there: catches a threshold and a pixel that are none."""
    viewer = ViewerModel()
    source = viewer.add_image(np.random.default_rng(0).random((5, 6)).astype(np.float32))
    shown = shown_slice(source, viewer.dims)
    result = fake_restoration(shown.image, shown.image > 0.5)
    row, column = np.argwhere(~result.measured)[0]
    result.estimate[row, column] = np.nan
    (plane,) = outcome_of(add_results(viewer, source, [(shown, result)], "in-paint", Extras())[0]).planes
    assert plane.at(row, column) is None and plane.free.sum() == (~result.measured).sum() - 1
    assert np.isfinite(usual_threshold(plane)) and words(plane.at(row, column), 0.9, "", 2)[0] == (
        "outside what was restored"
    )


def calibrated(count: int = 50) -> Restoration:
    """Top row measured; the last column is known to be less sure than its draws say; tissue has other widths."""
    rng = np.random.default_rng(1)
    samples = rng.normal(100, 10, (count, 4, 5)).astype(np.float32)
    samples[:, 0] = 90
    variance = samples.var(axis=0)
    variance[1:, 4] = 300**2
    measured = np.zeros((4, 5), bool)
    measured[0] = True
    widths = np.array([0.5, 1.1, 1.7, 2.5], np.float32)[:, None, None] * np.where(np.arange(5) < 2, 1, 1.5)
    widths = np.broadcast_to(widths, (4, 4, 5)).astype(np.float32)
    mean = samples.mean(axis=0)
    none = np.zeros((0, 0), np.float32)
    return Restoration(mean, mean, variance, samples, none, measured, [], {"calibration": {"label": "x"}}, widths)


@pytest.mark.parametrize("level", [0.3, 0.5, 0.8, 0.87, 0.9, 0.95, 0.99])
def test_maps_and_pixels_have_the_interval_of_the_restoration(level: float) -> None:
    result = calibrated()
    plane = RestoredPlane((2, slice(None), slice(None)), lambda: result)
    low, high = result.interval(level)
    np.testing.assert_array_equal(plane.width(level), high - low)
    assert not plane.width(level)[0].any()
    for place in np.ndindex(4, 5):
        pixel = plane.at(*place)
        assert pixel is not None and tuple(map(float, pixel.interval(level))) == (low[place], high[place])
    assert plane.width(0.5) is not plane.width(0.6) and plane.width(0.6) is plane.width(0.6)


def test_probability_is_the_share_of_the_draws_where_they_tell_the_spread() -> None:
    result = calibrated()
    plane = RestoredPlane((slice(None), slice(None)), lambda: result)
    above = plane.above(97.0)
    np.testing.assert_allclose(above[1:, :4], (result.samples > 97).mean(axis=0)[1:, :4], rtol=1e-6)
    np.testing.assert_allclose(above[1:, 4], norm.sf((97 - result.mean[1:, 4]) / 300), rtol=1e-5)
    assert not above[0].any() and plane.above(89)[0].all()  # measured: 90
    for place in np.ndindex(4, 5):
        pixel = plane.at(*place)
        assert pixel is not None and len(pixel.samples) == (0 if place[0] == 0 or place[1] == 4 else 50)
        assert above[place] == pytest.approx(probability_above(pixel, 97.0, len(pixel.samples) > 0), abs=1e-6)
    certain = result.turned(lambda array: array[..., 0, 0])
    assert probability_above(certain, 89.9, False) == 1 and probability_above(certain, 90.0, False) == 0


def coloured(*gains: float) -> Restoration:
    """``calibrated`` in red, green and blue, whose values and spreads are so many times as large."""
    gray, gain = calibrated(), np.array(gains, np.float32)
    estimate, mean, samples = (array[..., None] * gain for array in (gray.estimate, gray.mean, gray.samples))
    assert gray.widths is not None
    widths = np.repeat(gray.widths[..., None], 3, axis=-1)
    variance = gray.variance[..., None] * gain**2
    return replace(gray, estimate=estimate, mean=mean, samples=samples, variance=variance, widths=widths)


def test_a_colour_is_looked_at_by_its_luminance() -> None:
    """Catches pixels of a slice (H, W, 3) that are taken along its columns and channels."""
    gray, gain = calibrated(), 0.299 * 1 + 0.587 * 2 + 0.114 * 0.5
    plane = RestoredPlane((slice(None), slice(None)), lambda: coloured(1, 2, 0.5))
    for place in np.ndindex(4, 5):
        pixel = plane.at(*place)
        assert pixel is not None and pixel.estimate == pytest.approx(gain * gray.estimate[place], rel=1e-5)
        assert pixel.measured == gray.measured[place] and pixel.samples.ndim == 1
        expected = [gain * end[place] for end in gray.interval(0.8)]
        assert list(map(float, pixel.interval(0.8))) == pytest.approx(expected, rel=1e-4)
        assert words(pixel, 0.9, "a.u.", 0) and plane.find(place) == place
    grays = RestoredPlane((slice(None), slice(None)), calibrated)
    np.testing.assert_allclose(plane.above(97 * gain), grays.above(97), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(plane.width(0.9), gain * grays.width(0.9), rtol=1e-4)
    np.testing.assert_allclose(plane.sample(3), gain * grays.sample(3), rtol=1e-5)
    assert usual_threshold(plane) == pytest.approx(gain * usual_threshold(grays), rel=1e-4)
    one = RestoredPlane((slice(None), slice(None)), lambda: replace(coloured(1, -1, 0), widths=None))
    assert one.width(0.9)[1:].min() > 0  # channels against each other: spread that is not known to cancel out


def test_the_record_turns_with_its_images() -> None:
    """What files keep of the calibration lies as their pixels do, not as the slice was shown."""
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((5, 4), np.float32), scale=(1, -1))
    viewer.dims.order = (1, 0)
    shown = shown_slice(source, viewer.dims)
    assert shown.image.shape == (4, 5) and any(shown.flips)
    stored = as_stored(calibrated(), shown)
    assert stored.widths is not None and stored.estimate.shape == (5, 4)
    np.testing.assert_array_equal(unpack_widths(stored.provenance["calibration"]["widths"], (5, 4)), stored.widths)
    np.testing.assert_array_equal(stored.widths, shown.as_stored(calibrated().widths))
    assert as_stored(coloured(1, 1, 1), shown).estimate.shape == (5, 4)
    assert stored.provenance["calibration"]["label"] == "x"


def test_layers_of_others_have_no_outcome() -> None:
    assert outcome_of(None) is None
    assert outcome_of(Image(np.zeros((2, 2)), metadata={"brgm": {"role": "restored"}})) is None


def test_colours_are_looked_at_as_one_value_a_pixel() -> None:
    """What was measured, too, which files keep for each colour."""
    image = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
    measured = np.ones((4, 5, 3), bool)
    measured[1:3, 2:4] = False
    result = Restoration(image, image, image, image[None], np.zeros((0, 0), np.float32), measured, [], {})
    for given in (result, replace(result, measured=measured[..., 0])):
        found = in_gray(given)
        assert found.estimate.shape == found.measured.shape == found.samples.shape[1:] == (4, 5)
        np.testing.assert_array_equal(found.measured, measured[..., 0])
