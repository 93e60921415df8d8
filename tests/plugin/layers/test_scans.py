"""A scan must be shown as radiologists look at it, whatever the order of its axes, and its true affine must survive; a
layer must go back to the very scan it shows, on its own grid and on finer ones.
"""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import dask.array
import nibabel
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.geometry import Block
from napari_brgm.plugin.layers.scans import NOT_PLACED, image_layer, on_source_grid, robust_limits, scan_of
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.scan import Scan
from napari_brgm.scans import read_scan

NIBABEL = Path(nibabel.__file__).parent / "tests" / "data"


def layer_of(scan: Scan) -> Image:
    data, settings, _ = image_layer(scan)
    return Image(data, **settings)


def oblique(order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    a, b = 0.31, -0.17
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    for voxel, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[:3, voxel] = turn[:, world] * sign * (0.7, 0.83, 3.1)[world]
    affine[:3, 3] = (-71.3, 11.7, 13.1)
    return affine


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 3), (1, 5, 6), (4, 1, 6), (4, 5, 1), (4, 5, 1, 3), (1, 1, 6)])
def test_the_file_s_own_grid_comes_back_bit_for_bit(order: tuple[int, ...], shape: tuple[int, ...]) -> None:
    for signs in product((1, -1), repeat=3):
        scan = Scan(np.random.default_rng(0).random(shape), oblique(order, signs), "HU", "head", "CT")
        layer = layer_of(scan)
        back = scan_of(layer)
        np.testing.assert_array_equal(back.array, scan.array)
        np.testing.assert_array_equal(back.affine, scan.affine)
        assert (back.units, back.modality, back.notes) == ("HU", "CT", ())
        assert on_source_grid(layer, back)


@pytest.mark.parametrize("name", ["example4d.nii.gz", "anatomical.nii"])
def test_real_files(name: str) -> None:
    if not (NIBABEL / name).is_file():
        pytest.skip("nibabel is installed without its test data")
    (scan,) = read_scan(NIBABEL / name)
    back = scan_of(layer_of(scan))
    np.testing.assert_array_equal(back.affine, scan.affine)
    np.testing.assert_array_equal(back.array, scan.array)


@pytest.mark.parametrize("dims", [(0, 1, 2), (1, 2, 0)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_finer_slice_lies_over_its_source(order: tuple[int, ...], dims: tuple[int, ...]) -> None:
    scan = Scan(np.random.default_rng(0).random((4, 5, 6)), oblique(order, (1, -1, 1)))
    viewer = ViewerModel()
    source = viewer.add_layer(layer_of(scan))
    viewer.dims.order = dims
    viewer.dims.set_current_step(dims[0], 2)
    shown = shown_slice(source, viewer.dims)
    block = Block.of(source, [shown], (3 * shown.image.shape[0], 3 * shown.image.shape[1]))
    record = source.metadata["scan"] | {"affine": block.affine(source.metadata["scan"]["affine"])}
    values = np.random.default_rng(1).random(block.shape)
    fine = Image(values, metadata={"scan": record}, **block.place())
    back = scan_of(fine)
    assert not on_source_grid(fine, back)
    voxel = np.linalg.solve(scan.affine, back.affine)  # index of the finer grid -> of the source
    across = back.array.shape.index(1)
    for axis in range(3):
        step = 1 if axis == across else 1 / 3
        np.testing.assert_allclose(voxel[axis, axis], step, atol=1e-12)  # no axis is turned
        expected = (1 / 3 - 1) / 2 if axis != across else None
        if expected is not None:
            np.testing.assert_allclose(voxel[axis, 3], expected, atol=1e-12)
    # each value lies where the layer says
    for index in product(*((0, n - 1) for n in values.shape)):
        world = record["affine"] @ [*index, 1]
        at = np.round(np.linalg.solve(back.affine, world)[:3]).astype(int)
        assert back.array[tuple(at)] == values[index]


def test_samples_and_lazy_and_multiscale_data() -> None:
    scan = Scan(np.random.default_rng(0).random((4, 5, 1)), np.diag([2, 2, 3, 1.0]))
    flat = layer_of(scan)
    samples = np.random.default_rng(1).random((7, *flat.data.shape))
    stack = Image(samples, axis_labels=("sample", *flat.axis_labels), metadata=flat.metadata)
    back = scan_of(stack)
    assert back.shape == (4, 5, 1, 7)
    np.testing.assert_array_equal(back.affine, scan.affine)
    np.testing.assert_array_equal(back.array[..., 3], scan_of(Image(samples[3], metadata=flat.metadata)).array)

    volume = Scan(np.random.default_rng(0).random((4, 6, 8)), np.diag([2, 2, 3, 1.0]))
    whole = layer_of(volume)
    lazy = Image(dask.array.from_array(np.ascontiguousarray(whole.data)), metadata=whole.metadata)
    np.testing.assert_array_equal(scan_of(lazy).array, volume.array)
    levels = Image([np.asarray(whole.data), np.asarray(whole.data)[::2, ::2, ::2]], multiscale=True,
                   metadata=whole.metadata)  # fmt: skip
    np.testing.assert_array_equal(scan_of(levels).array, volume.array)
    with pytest.raises(InputError, match="axes"):
        scan_of(Image(np.zeros((2, 3, 4, 5, 6))))
    with pytest.raises(InputError, match="colour"):
        scan_of(Image(np.zeros((4, 5, 3)), rgb=True))


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6)])
def test_layers_of_others_stand_as_they_stood_on_the_screen(shape: tuple[int, ...]) -> None:
    data = np.random.default_rng(0).random(shape)
    scale, translate = (3000, 500, 700)[-len(shape) :], (1000, 2000, 3000)[-len(shape) :]
    layer = Image(data, scale=scale, translate=translate, units="um", name="photo")
    scan = scan_of(layer)
    assert scan.notes == (NOT_PLACED,)
    again = layer_of(scan)
    np.testing.assert_array_equal(again.data, data)
    np.testing.assert_allclose(again.scale, np.array(scale) / 1000)
    np.testing.assert_allclose(again.translate, np.array(translate) / 1000)
    plain = scan_of(Image(data))
    np.testing.assert_allclose(plain.spacing, 1)


def test_units_of_a_variance_are_squared_once() -> None:
    scan = Scan(np.ones((4, 5, 6)), np.eye(4), "HU", provenance={"role": "variance", "task": "in-paint"})
    once = scan_of(layer_of(scan))
    assert once.units == "HU^2"
    assert scan_of(layer_of(once)).units == "HU^2"


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_axial_slices_in_radiological_pose(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    affine = np.zeros((4, 4))
    for voxel, (world, sign) in enumerate(zip(order, signs, strict=True)):
        affine[world, voxel] = sign * (1.0, 2.0, 3.0)[world]
    affine[:, 3] = (-7, 11, 13, 1)
    scan = Scan(np.random.default_rng(0).random((4, 5, 6)), affine, name="head")
    layer = layer_of(scan)
    for index in ((0, 0, 0), (1, 2, 3)):
        x, y, z = (layer.metadata["scan"]["affine"] @ [*index, 1])[:3]
        # world of napari: to the head, to the back, to the left
        np.testing.assert_allclose(layer.data_to_world(index), (z, -y, -x), atol=1e-9)
        voxel = np.round(np.linalg.solve(affine, [x, y, z, 1])[:3]).astype(int)
        assert layer.data[index] == scan.array[tuple(voxel)]
    count = scan.count("axial")
    slices = [scan.slice("axial", i).image for i in range(count)]
    slices = slices if affine[2, order.index(2)] > 0 else slices[::-1]
    np.testing.assert_array_equal(layer.data, slices)
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
    layer = layer_of(Scan(np.zeros((5, 7, 9)), affine))
    np.testing.assert_allclose(layer.scale, (4.0, 0.8, 0.7))
    x, y, z = (affine @ [2, 3, 4, 1])[:3]
    np.testing.assert_allclose(layer.data_to_world((4, 3, 2)), (z, -y, -x), atol=1e-9)


def test_series_and_single_slices() -> None:
    series = layer_of(Scan(np.random.default_rng(0).random((4, 5, 6, 3)), np.diag([2, 2, 3, 1.0])))
    assert series.data.shape == (3, 6, 5, 4)
    assert series.axis_labels[0] == "time"
    for axis, plane in ((2, "axial"), (1, "coronal"), (0, "sagittal")):
        shape = [4, 5, 6]
        shape[axis] = 1
        scan = Scan(np.random.default_rng(1).random(shape), np.diag([1, 2, 3, 1.0]))
        flat = layer_of(scan)
        np.testing.assert_array_equal(flat.data, scan.slice(plane, 0).image)
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
    ("record", "units", "role"),
    [({"role": "restored"}, "HU", "restored"), ({"role": "std"}, "HU", "std"), ({"method": "map"}, "HU^2", "variance")],
    ids=["image", "std", "variance of the shell command"],
)
def test_results_from_files_are_marked_again(record: dict[str, str], units: str, role: str) -> None:
    array = np.random.default_rng(0).random((4, 5, 6))
    layer = layer_of(Scan(array, np.eye(4), units, "head", provenance=record))
    assert layer.name == f"{role} | head"
    tinted = role != "restored"
    assert layer.metadata["brgm"] == record
    assert (layer.colormap.name == "brgm uncertainty") is tinted
    if tinted:
        np.testing.assert_allclose(layer.contrast_limits, (0, array.max()))
    of_series = layer_of(Scan(array, np.eye(4), units, name="x [std, synthetic]", provenance=record))
    assert of_series.name == f"{role} | x"
