"""A scan must be shown as radiologists look at it, whatever the order of its axes, and its true affine must survive."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from napari.layers import Image

from napari_brgm.plugin.scan_layers import image_layer, robust_limits
from napari_brgm.scan import Scan


def _layer(scan: Scan) -> Image:
    data, settings, kind = image_layer(scan)
    assert kind == "image"
    return Image(data, **settings)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_axial_slices_in_radiological_pose(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    affine = np.zeros((4, 4))
    for voxel, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, voxel] = sign * (1.0, 2.0, 3.0)[world]
    affine[:, 3] = (-7, 11, 13, 1)
    scan = Scan(np.random.default_rng(0).random((4, 5, 6)), affine, name="head")
    layer = _layer(scan)
    for index in ((0, 0, 0), (1, 2, 3)):
        x, y, z = (layer.metadata["scan"]["affine"] @ [*index, 1])[:3]
        # world of napari: to the head, to the back, to the left
        np.testing.assert_allclose(layer.data_to_world(index), (z, -y, -x), atol=1e-9)
        voxel = np.round(np.linalg.solve(affine, [x, y, z, 1])[:3]).astype(int)
        assert layer.data[index] == scan.array[tuple(voxel)]
    count = scan.count("axial")
    slices = [scan.slice("axial", i).image for i in range(count)]
    slices = slices if affine[2, order.index(2)] > 0 else slices[::-1]
    np.testing.assert_array_equal(layer.data.astype(np.float32), slices)
    np.testing.assert_array_equal(layer.metadata["scan"]["file_affine"], affine)
    assert [str(u) for u in layer.units] == ["millimeter"] * 3
    np.testing.assert_allclose(layer.scale, (3, 2, 1))


def test_oblique_scan_on_a_diagonal_scale_about_its_centre() -> None:
    a, b = np.deg2rad(20), np.deg2rad(-12)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn * [0.7, 0.8, 4.0]
    affine[:3, 3] = (3, 4, 5)
    layer = _layer(Scan(np.zeros((5, 7, 9)), affine))
    np.testing.assert_allclose(layer.scale, (4.0, 0.8, 0.7))
    x, y, z = (affine @ [2, 3, 4, 1])[:3]
    np.testing.assert_allclose(layer.data_to_world((4, 3, 2)), (z, -y, -x), atol=1e-9)


def test_series_and_single_slices() -> None:
    series = _layer(Scan(np.random.default_rng(0).random((4, 5, 6, 3)), np.diag([2, 2, 3, 1.0])))
    assert series.data.shape == (3, 6, 5, 4)
    assert series.axis_labels[0] == "time"
    for axis, plane in ((2, "axial"), (1, "coronal"), (0, "sagittal")):
        shape = [4, 5, 6]
        shape[axis] = 1
        scan = Scan(np.random.default_rng(1).random(shape), np.diag([1, 2, 3, 1.0]))
        flat = _layer(scan)
        np.testing.assert_array_equal(flat.data.astype(np.float32), scan.slice(plane, 0).image)
        np.testing.assert_allclose(flat.scale, scan.slice(plane, 0).spacing)


def test_limits_ignore_background_and_outliers() -> None:
    values = np.zeros((64, 64, 64))
    values[20:40, 20:40, 20:40] = np.random.default_rng(0).uniform(50, 100, (20, 20, 20))
    values[30, 30, 30] = 1e6
    low, high = robust_limits(values)
    assert low == 0
    assert 90 < high < 110
    assert robust_limits(np.full((4, 4), 7.0)) == (7.0, 8.0)
    assert robust_limits(np.full((4, 4), np.nan)) == (0.0, 1.0)
    low, high = robust_limits(values[..., :] - 1024)
    assert low > -1024


@pytest.mark.parametrize(
    ("record", "units", "tinted"),
    [({"role": "restored"}, "HU", False), ({"role": "std"}, "HU", True), ({"method": "map"}, "HU^2", True)],
    ids=["image", "std", "variance of the shell command"],
)
def test_results_from_files_are_marked_again(record: dict[str, str], units: str, tinted: bool) -> None:
    array = np.random.default_rng(0).random((4, 5, 6))
    layer = _layer(Scan(array, np.eye(4), units, "head", provenance=record))
    assert layer.name == "head [synthetic]"
    assert layer.metadata["brgm"] == record
    assert (layer.colormap.name == "brgm uncertainty") is tinted
    if tinted:
        np.testing.assert_allclose(layer.contrast_limits, (0, array.max()))
    assert _layer(Scan(array, np.eye(4), name="x [std, synthetic]", provenance=record)).name == "x [std, synthetic]"
