"""Result layers must lie exactly over their source, in any geometry, and never replace anything."""

from __future__ import annotations

from dataclasses import replace

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_brgm.plugin.layers.geometry import geometry
from napari_brgm.plugin.layers.results import LAYER_NOTICE, Extras, add_results
from napari_brgm.plugin.layers.shown import shown_slice

OBLIQUE = np.array([[1, 0, 0, 5], [0, 1.1, 0.1, 6], [0, 0, 0.9, 7], [0, 0, 0, 1]])
TURN = [[1, 0, 0], [0, 0.6, -0.8], [0, 0.8, 0.6]]
PLACES = [
    {},
    {"scale": (3, 0.5, 0.7), "translate": (1, 2, 3), "units": "mm", "axis_labels": ("z", "y", "x")},
    {"scale": (3, -0.5, 0.7), "units": "um"},
    {"scale": (3, 0.5, 0.7), "rotate": TURN, "shear": [0, 0, 0.2], "affine": OBLIQUE, "units": "mm"},
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("leading", [0, 1])
def test_geometry_of_a_part_on_a_finer_grid(place: dict, leading: int) -> None:
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((4, 5, 6)), **place)
    start, factor = np.array([2, 0, 1]), np.array([1, 2, 3])
    data = np.zeros((2,) * leading + (1, 10, 15))
    part = viewer.add_image(data, **geometry(source, start=start, factor=factor, leading=leading))
    index = np.random.default_rng(0).uniform(0, 5, 3)
    there = part.data_to_world([0] * leading + list(index))[leading:]
    np.testing.assert_allclose(there, source.data_to_world((index + 0.5) / factor - 0.5 + start), atol=1e-9)
    assert part.units[leading:] == source.units
    assert part.axis_labels[leading:] == source.axis_labels


def test_a_run_without_samples_adds_the_image_alone(fake_restoration) -> None:
    viewer = ViewerModel()
    source = viewer.add_image(np.random.default_rng(1).normal(100, 10, (5, 6)).astype(np.float32), name="scan")
    shown = shown_slice(source, viewer.dims)
    result = fake_restoration(shown.image, np.eye(5, 6, dtype=bool))
    result = replace(result.without_samples(), provenance={**result.provenance, "samples": 0})
    layers = add_results(viewer, source, [(shown, result)], "in-paint", Extras(True, True, 0.9))
    assert [layer.name for layer in layers] == ["restored | scan"]


@pytest.mark.parametrize("place", PLACES[:3])
def test_in_painting_keeps_all_but_the_hole(place: dict, fake_restoration) -> None:
    viewer = ViewerModel()
    volume = np.random.default_rng(1).normal(100, 10, (4, 5, 6)).astype(np.float32)
    source = viewer.add_image(volume.copy(), name="scan", metadata={"patient": 1}, contrast_limits=(60, 140), **place)
    viewer.dims.set_current_step(0, 2)
    shown = shown_slice(source, viewer.dims)
    missing = np.zeros((5, 6), bool)
    missing[1:3, 2:5] = True
    result = fake_restoration(shown.image, missing)
    restored, samples, std, variance = add_results(viewer, source, [(shown, result)], "in-paint", Extras(True, True))

    assert [restored.name, variance.name] == ["restored | scan", "variance | scan"]
    assert viewer.layers.selection.active is restored
    assert restored.data.shape == volume.shape
    assert restored.data.dtype == np.float32
    hole = np.zeros(volume.shape, bool)
    hole[2] = shown.as_stored(missing)
    np.testing.assert_array_equal(restored.data[~hole], volume[~hole])
    np.testing.assert_array_equal(restored.data[2], shown.as_stored(result.estimate))
    np.testing.assert_array_equal(source.data, volume)
    np.testing.assert_array_equal(variance.data > 0, hole)
    np.testing.assert_allclose(std.data**2, variance.data)
    assert samples.data.shape == (3, 1, 5, 6)
    np.testing.assert_allclose(samples.data_to_world((0, 0, 3, 4))[1:], source.data_to_world((2, 3, 4)))
    assert tuple(restored.contrast_limits) == (60, 140)
    for layer in (restored, variance, std):
        for corner in ((0, 0, 0), (3, 4, 5)):
            np.testing.assert_allclose(layer.data_to_world(corner), source.data_to_world(corner))
    assert restored.metadata["patient"] == 1
    assert restored.metadata["brgm"]["notice"] == LAYER_NOTICE
    assert restored.metadata["brgm"]["seed"] == 0
    assert restored.metadata["brgm"]["slices"] == [{"index": [2, None, None]}]


def test_each_run_adds_its_own_layers(fake_restoration) -> None:
    viewer = ViewerModel()
    source = viewer.add_image(np.random.default_rng(0).random((8, 9)))
    shown = shown_slice(source, viewer.dims)
    result = fake_restoration(shown.image, shown.image > 0.9)
    first = add_results(viewer, source, [(shown, result)], "in-paint", Extras())
    second = add_results(viewer, source, [(shown, result)], "in-paint", Extras())
    assert len(viewer.layers) == 5
    assert len({layer.name for layer in [source, *first, *second]}) == 5


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
def test_super_resolution_overlays_its_slice(order: tuple[int, int, int], fake_restoration) -> None:
    viewer = ViewerModel()
    volume = np.random.default_rng(2).random((4, 5, 6)).astype(np.float32)
    affine = np.diag([3, 0.5, 0.7, 1.0])
    source = viewer.add_image(
        volume, name="scan", scale=(3, 0.5, 0.7), translate=(4, 5, 6), units="mm", metadata={"scan": {"affine": affine}}
    )
    viewer.dims.order = order
    across = order[0]
    viewer.dims.set_current_step(across, 1)
    shown = shown_slice(source, viewer.dims)
    result = fake_restoration(shown.image, factor=(4, 4))
    restored, variance = add_results(viewer, source, [(shown, result)], "super-resolve", Extras())

    assert restored.name == "x4 | scan"
    expected = [4 * n for n in volume.shape]
    expected[across] = 1
    assert list(restored.data.shape) == expected == list(variance.data.shape)
    # the nearest coarse pixel holds the same value: nothing is mirrored, swapped or shifted
    finer = np.random.default_rng(3).integers(0, expected, (50, 3))
    for index in finer:
        at = np.round(source.world_to_data(restored.data_to_world(index)) + 1e-9).astype(int)
        assert restored.data[tuple(index)] == volume[tuple(at)]
    # the edges of both grids are the same
    low, high = np.full(3, -0.5), np.array(expected) - 0.5
    bottom, top = source.world_to_data(restored.data_to_world(low)), source.world_to_data(restored.data_to_world(high))
    inside = [axis for axis in range(3) if axis != across]
    np.testing.assert_allclose(np.array(bottom)[inside], -0.5, atol=1e-9)
    np.testing.assert_allclose(np.array(top)[inside], np.array(volume.shape)[inside] - 0.5, atol=1e-9)
    # the scan's own affine follows
    corner = restored.metadata["scan"]["affine"] @ [*high, 1]
    np.testing.assert_allclose(corner, affine @ [*top, 1], atol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_lazy_source_stays_lazy_and_as_it_was(dtype: str, fake_restoration) -> None:
    viewer = ViewerModel()
    before = np.random.default_rng(0).random((50, 8, 9)).astype(dtype)
    data = dask.array.from_array(before, chunks=(1, 8, 9))
    source = viewer.add_image(data, contrast_limits=(0, 1))
    viewer.dims.set_current_step(0, 7)
    shown = shown_slice(source, viewer.dims)
    result = fake_restoration(shown.image, shown.image > 0.9)
    restored, variance = add_results(viewer, source, [(shown, result)], "in-paint", Extras())
    assert isinstance(restored.data, dask.array.Array)
    now, hole = np.asarray(restored.data), np.zeros(before.shape, bool)
    hole[7] = ~result.measured
    np.testing.assert_array_equal(now[~hole], before[~hole])  # in all the digits that were measured
    np.testing.assert_array_equal(now[7][hole[7]], result.estimate[hole[7]])
    assert not np.asarray(variance.data[8]).any()
    np.testing.assert_array_equal(np.asarray(source.data), before)


LARGE = 2**53 + np.arange(1, 73).reshape(8, 9)  # no float64 holds the odd ones
TYPES = [f"{order}{kind}" for order in "<>" for kind in ("i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")]


@pytest.mark.parametrize("dtype", ["bool", "i1", "u1", "f2", *TYPES])  # napari shows no >f2
@pytest.mark.parametrize("lazy", [False, True])
def test_measured_values_keep_their_digits(dtype: str, lazy: bool, fake_restoration) -> None:
    """Of every type, in the hole's slice and in all others: the engine computes in float32."""
    viewer = ViewerModel()
    kind = np.dtype(dtype)
    values = np.stack([LARGE, LARGE + 72]) if kind.itemsize == 8 and kind.kind != "f" else np.arange(144) % 127
    values = values.reshape(2, 8, 9).astype(kind) + (0.1 if kind.kind == "f" else np.zeros((), kind))
    values = values.astype(kind)
    data = dask.array.from_array(values.copy(), chunks=(1, 8, 9)) if lazy else values.copy()
    source = viewer.add_image(data, contrast_limits=(0, 127))
    shown = shown_slice(source, viewer.dims)
    missing = np.zeros((8, 9), bool)
    missing[2:5, 3:7] = True
    given = np.clip(shown.image, 0, 100)
    result = fake_restoration(given, missing)
    restored, variance = add_results(viewer, source, [(shown, result)], "in-paint", Extras())
    now, hole = np.asarray(restored.data), np.zeros(values.shape, bool)
    hole[shown.index] = missing
    assert now[~hole].astype(kind).tobytes() == values[~hole].tobytes()
    np.testing.assert_array_equal(now[~hole], values[~hole])
    filled = np.rint(result.estimate[missing]) if now.dtype.kind in "iu" else result.estimate[missing]
    np.testing.assert_array_equal(now[hole], filled)
    assert not np.asarray(variance.data)[~hole].any()
    assert np.asarray(source.data).tobytes() == values.tobytes()
