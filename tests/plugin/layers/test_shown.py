"""The shown slice must be the pixels, pose and pixel size that are on the screen, and only them."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.scans import scan_of
from napari_brgm.plugin.layers.shown import mask_on, shown_slice

VOLUME = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def test_slice_and_spacing_at_the_slider(viewer: ViewerModel) -> None:
    layer = viewer.add_image(VOLUME, scale=(3, 0.5, 0.7), translate=(10, 0, 0), units="mm")
    viewer.dims.set_point(0, 16)
    shown = shown_slice(layer, viewer.dims)
    assert shown.index == (2, slice(None), slice(None))
    assert shown.spacing == pytest.approx((0.5, 0.7))
    np.testing.assert_array_equal(shown.image, VOLUME[2])
    assert shown.image.dtype == np.float32


def test_other_axes_on_the_screen(viewer: ViewerModel) -> None:
    layer = viewer.add_image(VOLUME, scale=(3, 0.5, 0.7), units="mm")
    viewer.dims.order = (1, 2, 0)  # rows along axis 2, columns along axis 0
    viewer.dims.set_point(1, 0.5 * 4)
    shown = shown_slice(layer, viewer.dims)
    np.testing.assert_array_equal(shown.image, VOLUME[:, 4].T)
    assert shown.spacing == pytest.approx((0.7, 3))
    np.testing.assert_array_equal(shown.as_stored(shown.image), VOLUME[:, 4])


@pytest.mark.parametrize(
    ("place", "as_seen"),
    [
        ({"scale": (-1, 2)}, lambda a: a[::-1]),
        ({"affine": [[1, 0, 0], [0, -2, 9], [0, 0, 1]]}, lambda a: a[:, ::-1]),
        ({"rotate": 90}, lambda a: np.rot90(a, -1)),  # napari: rows run to the right, columns up
    ],
)
def test_pose_is_the_one_on_the_screen(viewer: ViewerModel, place: dict, as_seen) -> None:
    plane = VOLUME[0]
    layer = viewer.add_image(plane, units="mm", **place)
    shown = shown_slice(layer, viewer.dims)
    # what is at the least world coordinates must be at the top left of the shown image
    corners = np.array([(r, c) for r in (0, plane.shape[0] - 1) for c in (0, plane.shape[1] - 1)])
    world = np.array([layer.data_to_world(c) for c in corners])
    top_left = tuple(corners[np.argmin(world.sum(axis=1))])
    assert shown.image[0, 0] == plane[top_left]
    assert sorted(shown.image.ravel()) == sorted(plane.ravel())
    np.testing.assert_array_equal(shown.as_stored(shown.image), plane)
    if "rotate" not in place:
        np.testing.assert_array_equal(shown.image, as_seen(plane))


def test_units_other_than_millimetres(viewer: ViewerModel) -> None:
    layer = viewer.add_image(VOLUME, scale=(3000, 500, 700), units="um")
    viewer.add_image(VOLUME, scale=(3, 0.5, 0.7), units="mm")
    viewer.dims.set_point(0, viewer.dims.range[0].stop)
    shown = shown_slice(layer, viewer.dims)
    assert shown.spacing == pytest.approx((0.5, 0.7))
    assert shown.index[0] == 3


def test_pixel_size_unknown_and_scale_without_units(viewer: ViewerModel) -> None:
    assert shown_slice(viewer.add_image(VOLUME), viewer.dims).spacing is None
    assert shown_slice(viewer.add_image(VOLUME, scale=(1, 2, 3)), viewer.dims).spacing == pytest.approx((2, 3))


def test_fourth_axis_follows_its_slider(viewer: ViewerModel) -> None:
    series = np.stack([VOLUME, VOLUME + 1000])
    layer = viewer.add_image(series)
    viewer.dims.current_step = (1, 3, 0, 0)
    np.testing.assert_array_equal(shown_slice(layer, viewer.dims).image, series[1, 3])


def test_lazy_layer_computes_its_slice_only(viewer: ViewerModel) -> None:
    computed: list[object] = []

    def block(block_info: dict) -> np.ndarray:
        place = block_info[None]["chunk-location"]
        computed.append(place)
        return np.full((1, 8, 8), place[0], dtype=np.float32)

    data = dask.array.map_blocks(block, chunks=((1,) * 20, (8,), (8,)), dtype=np.float32, meta=np.zeros((0, 0, 0)))
    layer = viewer.add_image(data, contrast_limits=(0, 20))
    viewer.dims.set_point(0, 7)
    computed.clear()
    assert (shown_slice(layer, viewer.dims).image == 7).all()
    assert set(computed) <= {(7, 0, 0)}


def test_multiscale_takes_full_resolution(viewer: ViewerModel) -> None:
    layer = viewer.add_image([VOLUME[0], VOLUME[0, ::2, ::2]], multiscale=True)
    np.testing.assert_array_equal(shown_slice(layer, viewer.dims).image, VOLUME[0])


@pytest.mark.parametrize(
    ("add", "sentence"),
    [
        (lambda v: v.add_image(np.zeros((4, 5, 3), np.uint8), rgb=True), "colour image"),
        (lambda v: v.add_image(np.ma.masked_greater(VOLUME, 3)), r"masked pixels \(numpy.ma\)"),
        (lambda v: v.add_image(dask.array.ma.masked_greater(dask.array.from_array(VOLUME), 3)), "masked pixels"),
        (
            lambda v: v.add_image([np.ma.masked_less(VOLUME[0], 9), VOLUME[0, ::2, ::2]], multiscale=True),
            "masked pixels",
        ),
        (lambda v: v.add_image(VOLUME, rotate=(20, 0, 0)), "oblique"),
        (lambda v: v.add_image(np.zeros((2, 3, 4, 5)), units=("mm", "mm", "s", "mm")), "4-D layer"),
        (lambda v: v.add_image(np.zeros((2, 3, 4, 5)), axis_labels=("z", "y", "t", "x")), "4-D layer"),
    ],
)
@pytest.mark.filterwarnings("ignore:Non-orthogonal slicing:UserWarning")
def test_layers_that_are_refused(viewer: ViewerModel, add, sentence: str) -> None:
    layer = add(viewer)
    with pytest.raises(InputError, match=sentence):
        shown_slice(layer, viewer.dims)


def test_refused_views(viewer: ViewerModel) -> None:
    layer = viewer.add_image(VOLUME)
    viewer.add_image(np.zeros((40, 5, 6)))
    viewer.dims.set_point(0, 30)
    with pytest.raises(InputError, match="move the slider"):
        shown_slice(layer, viewer.dims)
    viewer.dims.ndisplay = 3
    with pytest.raises(InputError, match="three dimensions"):
        shown_slice(layer, viewer.dims)
    viewer.dims.ndisplay = 2
    flat = viewer.add_image(VOLUME[0])
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(InputError, match="not one of"):
        shown_slice(flat, viewer.dims)


def test_masked_pixels_are_never_taken_for_measured(viewer: ViewerModel) -> None:
    """Catches a mask of numpy's that is lost on the way to a file or off labels; one that masks nothing is no bar."""
    masked = viewer.add_image(np.ma.masked_greater(VOLUME, 3))
    with pytest.raises(InputError, match="masked pixels"):
        scan_of(masked)
    image = viewer.add_image(np.ma.masked_greater(VOLUME, 1e9))
    shown = shown_slice(image, viewer.dims)
    np.testing.assert_array_equal(scan_of(image).array, VOLUME.T)
    labels = viewer.add_labels(np.ma.masked_equal(np.ones(VOLUME.shape, np.uint8), 1))
    with pytest.raises(InputError, match="masked pixels"):
        mask_on(shown, image, labels)


def test_mask_is_any_label_in_the_shown_pose(viewer: ViewerModel) -> None:
    image = viewer.add_image(VOLUME, scale=(1, -2, 2), units="mm")
    painted = np.zeros(VOLUME.shape, int)
    painted[1, 0, 2], painted[1, 4, 3], painted[2] = 1, 7, 5
    labels = viewer.add_labels(painted, scale=(1, -2, 2), units="mm")
    viewer.dims.set_point(0, 1)
    mask = mask_on(shown_slice(image, viewer.dims), image, labels)
    np.testing.assert_array_equal(mask, painted[1, ::-1] > 0)


def test_masks_that_are_refused(viewer: ViewerModel) -> None:
    image = viewer.add_image(VOLUME, scale=(2, 2, 2))
    shown = shown_slice(image, viewer.dims)
    full = np.ones(VOLUME.shape, int)
    with pytest.raises(InputError, match=r"has the shape \(4, 5, 5\)"):
        mask_on(shown, image, viewer.add_labels(full[..., 1:], scale=(2, 2, 2)))
    with pytest.raises(InputError, match="lies elsewhere"):
        mask_on(shown, image, viewer.add_labels(full, scale=(2, 2, 2), translate=(0, 8, 0)))
    with pytest.raises(InputError, match="nothing is painted"):
        mask_on(shown, image, viewer.add_labels(0 * full, scale=(2, 2, 2)))
    assert mask_on(shown, image, viewer.add_labels(full)).all()  # a mask that was never given a place
