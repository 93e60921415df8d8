"""Numbers said of a pixel must be those of its samples, and lie at its place in the layer whatever way it is shown."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from scipy.stats import norm

from napari_brgm.plugin.layers import shown_slice
from napari_brgm.plugin.outcome import Outcome, RestoredPlane
from napari_brgm.plugin.posterior_at import PosteriorAt, decimals, enough, quantile, words
from napari_brgm.plugin.posterior_planes import (
    PlaneArrays,
    PosteriorPlane,
    restored_plane,
    usual_limit,
    usual_threshold,
)

DRAWS = np.random.default_rng(0).permutation(np.arange(1, 40, dtype=np.float32))  # 1 .. 39, mean 20


def pixel(**changes) -> PosteriorAt:
    return PosteriorAt(**{"estimate": 21.0, "mean": 20.0, "std": 11.25, "samples": DRAWS} | changes)


def test_interval_by_hand() -> None:
    """Of n = 39 draws k the median-unbiased q-quantile is (n + 1/3) q + 1/3."""
    low, high = pixel().interval(0.9)
    assert (low, high) == pytest.approx(((39 + 1 / 3) * 0.05 + 1 / 3, (39 + 1 / 3) * 0.95 + 1 / 3), rel=1e-6)
    np.testing.assert_allclose((low, high), np.quantile(DRAWS, (0.05, 0.95), method="median_unbiased"), rtol=1e-6)


@pytest.mark.parametrize(
    ("count", "level", "said"), [(20, 0.9, True), (19, 0.9, False), (32, 0.95, False), (200, 0.99, True)]
)
def test_quantiles_need_a_draw_beyond_each_end(count: int, level: float, said: bool) -> None:
    assert enough(count, level) is said
    few = pixel(samples=np.arange(count, dtype=np.float32))
    assert few.counts(level) is said
    gaussian = 20 - norm.ppf(0.5 + level / 2) * 11.25
    assert (few.interval(level)[0] == pytest.approx(gaussian)) is not said


def test_probability_by_hand() -> None:
    assert pixel().above(30.0) == pytest.approx(9 / 39)
    assert pixel(samples=None).above(31.25) == pytest.approx(norm.sf(1))
    assert pixel(measured=True).above(20.9) == 1 and pixel(measured=True).above(21.0) == 0
    assert pixel(samples=None, std=0.0).above(19.0) == 1
    assert pixel(measured=True).interval(0.9) == (21.0, 21.0)


def test_sentences() -> None:
    value, trust = words(pixel(estimate=612.4, std=33.9), 0.9, "a.u.", 0)
    assert (value, trust) == ("estimate 612 ± 34 a.u.", "90 % interval 2 … 38 · 39 samples")
    assert words(pixel(samples=None), 0.9, "", 1) == ("estimate 21.0 ± 11.2", "90 % interval 1.5 … 38.5 · Gaussian")
    assert words(pixel(estimate=612.4, measured=True), 0.9, "a.u.", 0)[0] == "measured: 612 a.u."
    assert words(None, 0.9, "a.u.", 0)[0] == "outside what was restored"


@pytest.mark.parametrize(("span", "digits"), [(1000, 0), (255, 1), (0.99, 3), (1e-9, 6), (0, 3), (np.nan, 3)])
def test_decimals(span: float, digits: int) -> None:
    assert decimals(span) == digits


def test_quantile_at_the_ends_and_of_few() -> None:
    assert quantile(np.array([1.0, 2.0]), 0.0) == 1 and quantile(np.array([1.0, 2.0]), 1.0) == 2
    assert quantile(np.array([3.0]), 0.5) == 3


def arrays(count: int = 50) -> PlaneArrays:
    """Top row measured; the last column is known to be less sure than its draws say."""
    rng = np.random.default_rng(1)
    samples = rng.normal(100, 10, (count, 4, 5)).astype(np.float32)
    samples[:, 0] = 90
    std = samples.std(axis=0)
    std[1:, 4] = 300
    measured = np.zeros((4, 5), bool)
    measured[0] = True
    return PlaneArrays(samples.mean(axis=0), samples.mean(axis=0), std, measured, samples)


def test_maps_are_what_the_pixels_say() -> None:
    plane = PosteriorPlane((2, slice(None), slice(None)), arrays)
    above, widths = plane.above(97.0), {level: plane.width(level) for level in (0.9, 0.99)}
    for place in np.ndindex(4, 5):
        at = plane.at(*place)
        assert at is not None and (at.samples is None) == (place[0] == 0 or place[1] == 4)
        assert above[place] == pytest.approx(at.above(97.0), abs=1e-6)
        for level, width in widths.items():
            low, high = at.interval(level)
            assert width[place] == pytest.approx(high - low, rel=1e-4)
    own = plane.arrays.samples
    np.testing.assert_allclose(above[1:, :4], (own > 97).mean(axis=0)[1:, :4], rtol=1e-6)
    low, high = np.quantile(own, (0.05, 0.95), axis=0, method="median_unbiased")
    np.testing.assert_allclose(widths[0.9][1:, :4], (high - low)[1:, :4], rtol=1e-4)
    np.testing.assert_allclose(widths[0.9][1:, 4], 2 * norm.ppf(0.95) * 300, rtol=1e-5)  # as Restoration.interval
    assert not widths[0.9][0].any()


def test_choices_to_begin_with() -> None:
    plane = PosteriorPlane((slice(None), slice(None)), arrays)
    assert usual_threshold(plane) == pytest.approx(np.median(plane.arrays.estimate[1:]), abs=1)
    plane.arrays.std[1:, 4] = plane.arrays.samples.std(axis=0)[1:, 4]
    limit = usual_limit(plane, 0.9)
    assert 0 < (plane.width(0.9)[1:] > limit).mean() <= 0.15


PLACES = [
    {},
    {"scale": (3, -0.5, 0.7), "translate": (1, 2, 3)},
    {"scale": (3, -0.5, -0.7)},
    {"scale": (3, 0.5, 0.7), "rotate": [[1, 0, 0], [0, 0, 1], [0, 1, 0]]},
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1)])
def test_flipped_and_transposed_planes(place: dict, order: tuple[int, int, int]) -> None:
    """At every index of the data the posterior of the pixel that lies there, and the same as ``Outcome.find`` gives."""
    if "rotate" in place and order[0] != 0:
        pytest.skip("napari shows no slices across a rotation")
    viewer = ViewerModel()
    data = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    source = viewer.add_image(data, **place)
    viewer.dims.order = order
    shown = shown_slice(source, viewer.dims)
    noise = np.random.default_rng(0).normal(size=(30, *shown.image.shape)).astype(np.float32)
    samples = shown.image + noise
    result = SimpleNamespace(
        estimate=shown.image,
        mean=samples.mean(axis=0),
        variance=samples.var(axis=0),
        samples=samples,
        measured=np.zeros(shown.image.shape, bool),
    )
    outcome = Outcome("a", "clean", "scan", "", (RestoredPlane(shown.index, shown, result),))
    plane = restored_plane(outcome.planes[0])
    seen = 0
    for index in np.ndindex(data.shape):
        where, other = plane.find(index), outcome.find(index)
        assert (where is None) == (other is None)
        if where is not None and other is not None:
            seen += 1
            at = plane.at(*where)
            assert at.estimate == data[index]
            np.testing.assert_array_equal(at.samples, other[0].result.samples[:, other[1], other[2]])
    assert seen == shown.image.size
    np.testing.assert_array_equal(plane.arrays.estimate, data[shown.index])
    assert plane.find((-1,) * 3) is None and plane.find((99,) * 3) is None
