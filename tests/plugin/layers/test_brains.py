"""Brains of layers: found in the volume as the patient lies, given for each plane as shown."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_brgm.plugin.layers.brains import brain_finder
from napari_brgm.plugin.layers.planes import all_planes
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.scan import Scan
from napari_brgm.scans import strip
from napari_brgm.scans.strip import Brain


@pytest.fixture
def found(monkeypatch):
    """What was asked: scans and paint; the brain is what is bright."""
    asked = []

    def find(scan, painted):
        asked.append((scan, painted))
        return Brain(scan.array > 500, "deepbet 1.0.2")

    monkeypatch.setattr(strip, "find_brain", find)
    return asked


@pytest.fixture
def scan() -> Scan:
    """Voxels to the left, the feet and the front."""
    array = np.random.default_rng(3).integers(0, 1000, (12, 7, 10)).astype(np.int16)
    return Scan(array, np.array([[-2.0, 0, 0, 20], [0, 0, 2, -9], [0, -3, 0, 30], [0, 0, 0, 1]]))


def add(viewer: ViewerModel, scan: Scan, lazy: bool = False):
    data, settings, _ = image_layer(scan)
    return viewer.add_image(dask.array.from_array(data) if lazy else data, **settings)


@pytest.mark.parametrize("lazy", [False, True])
def test_the_scan_lies_where_the_file_says(found, scan, lazy):
    """The mask of each plane is that of its pixels, whatever the order of the axes in file and layer."""
    viewer = ViewerModel()
    layer = add(viewer, scan, lazy)
    planes = all_planes(layer, shown_slice(layer, viewer.dims))
    brains = brain_finder(layer, [(plane, None) for plane in planes])()
    for plane, brain in zip(planes, brains, strict=True):
        np.testing.assert_array_equal(brain.inside, plane.image > 500)
    asked, painted = found[0]
    assert not painted.any()
    (world,) = {tuple(np.round(s.affine @ [*np.argwhere(s.array == s.array.max())[0], 1], 9)) for s in [asked]}
    at = np.argwhere(scan.array == scan.array.max())
    assert world in {tuple(np.round(scan.affine @ [*index, 1], 9)) for index in at}


def test_what_is_painted_is_handed_on_in_its_place(found, scan):
    viewer = ViewerModel()
    layer = add(viewer, scan)
    shown = shown_slice(layer, viewer.dims)
    missing = np.zeros(shown.image.shape, bool)
    missing[2, 3] = True
    brain_finder(layer, [(shown, missing)])()
    asked, painted = found[0]
    assert painted.sum() == 1 and asked.array[painted][0] == shown.image[2, 3]


def test_one_volume_of_several_and_a_single_slice(found, scan):
    viewer = ViewerModel()
    layer = viewer.add_image(np.stack([np.zeros((3, 8, 9)), np.full((3, 8, 9), 900.0)]), axis_labels=("time", *"zyx"))
    viewer.dims.set_point(0, 1)
    (brain,) = brain_finder(layer, [(shown_slice(layer, viewer.dims), None)])()
    assert found[0][0].shape == (3, 8, 9) and brain.inside.all()
    viewer.layers.clear()
    flat = viewer.add_image(np.full((8, 9), 900.0))
    (brain,) = brain_finder(flat, [(shown_slice(flat, viewer.dims), None)])()
    assert found[1][0].shape == (1, 8, 9) and brain.inside.shape == (8, 9)


def test_the_layer_may_be_edited_on_the_way(found, scan):
    viewer = ViewerModel()
    layer = add(viewer, scan)
    shown = shown_slice(layer, viewer.dims)
    find = brain_finder(layer, [(shown, None)])
    layer.data[...] = 0
    np.testing.assert_array_equal(find()[0].inside, shown.image > 500)
