"""A plane taken to its file's axes must be the plane that the file holds, and come back as it was."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from napari.layers import Image

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.file_axes import FileAxes
from napari_brgm.plugin.layers.scans import axes_in_file, image_layer, scan_of
from napari_brgm.scan import Scan

PLACES = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def layer_of(shape: tuple[int, ...], order: tuple[int, ...], signs: tuple[int, ...]) -> Image:
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.0, 2.0, 3.0])[:, order] * signs
    data, settings, _ = image_layer(Scan(np.random.default_rng(0).random(shape), affine))
    return Image(data, **settings)


@pytest.mark.parametrize(("order", "signs"), PLACES)
@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 3), (1, 5, 6), (4, 5, 1, 3)])
def test_planes_go_to_the_file_and_back(shape, order, signs) -> None:
    layer = layer_of(shape, order, signs)
    axes = axes_in_file(layer)
    held = axes.array(layer.data)
    np.testing.assert_array_equal(held, scan_of(layer).array)
    count = len(layer.data.shape) - axes.space
    for free in ([-3, -2], [-3, -1], [-2, -1]) if axes.space == 3 else ([-2, -1],):
        index = tuple(
            slice(None) if axis - layer.ndim in free else (1 if axis >= count else 2) for axis in range(layer.ndim)
        )
        place, turn = axes.in_file(index)
        where = tuple(slice(None) if i is None else i for i in place)
        np.testing.assert_array_equal(turn(layer.data[index]), held[where])
        again, back = axes.on_layer(place)
        assert again == index
        np.testing.assert_array_equal(back(held[where]), layer.data[index])
    pixel = tuple(n - 1 for n in layer.data.shape)
    place, _ = axes.in_file(pixel)
    assert held[tuple(place)] == layer.data[pixel] and axes.on_layer(place)[0] == pixel


def test_what_is_no_place_is_refused() -> None:
    axes = FileAxes.of((3, 4, 5, 6), "time", {})
    for wrong in ([0, 0], [6, None, None, 0], [None, None, 4, 0], [None, None, 0, 3], [None, None, -1, 0]):
        with pytest.raises(InputError, match="no place"):
            axes.on_layer(wrong)
    with pytest.raises(InputError, match="time or samples"):
        axes.in_file((slice(None), 0, slice(None), 0))
    with pytest.raises(InputError, match="three of space"):
        FileAxes.of((2, 3, 4, 5, 6), "time", {})
