"""Planes beside the one on show: the right ones, in the pose on the screen, and of a lazy layer no others."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.planes import all_planes, masked_planes, reformatted_planes, thick_axis
from napari_brgm.plugin.layers.shown import shown_slice

PLACE = {"scale": (3, -0.5, 0.7), "translate": (1, 2, 3), "units": "mm"}
VOLUME = np.random.default_rng(0).random((6, 4, 5)).astype(np.float32)


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def painted() -> np.ndarray:
    labels = np.zeros(VOLUME.shape, np.uint8)
    labels[1, 0, 2], labels[4, 3, 1], labels[4, 2, 2] = 1, 1, 7
    return labels


def test_masked_planes_in_the_shown_pose(viewer: ViewerModel) -> None:
    """Only planes that the mask touches, in order; pixels and masks flipped together."""
    image, labels = viewer.add_image(VOLUME, **PLACE), viewer.add_labels(painted(), **PLACE)
    found = masked_planes(image, labels, shown_slice(image, viewer.dims))
    assert [plane.index[0] for plane, _ in found] == [1, 4]
    for plane, missing in found:
        np.testing.assert_array_equal(plane.image, VOLUME[plane.index[0], ::-1])
        np.testing.assert_array_equal(missing, painted()[plane.index[0], ::-1] > 0)
        assert plane.spacing == pytest.approx((0.5, 0.7))


def test_masked_planes_of_one_label(viewer: ViewerModel) -> None:
    image, labels = viewer.add_image(VOLUME, **PLACE), viewer.add_labels(painted(), **PLACE)
    shown = shown_slice(image, viewer.dims)
    ((plane, missing),) = masked_planes(image, labels, shown, 7)
    assert plane.index[0] == 4 and missing.sum() == 1
    with pytest.raises(InputError, match="the label 5 is not painted"):
        masked_planes(image, labels, shown, 5)
    labels.data = np.zeros_like(painted())
    with pytest.raises(InputError, match="nothing is painted"):
        masked_planes(image, labels, shown)


def test_masked_planes_across_other_axes(viewer: ViewerModel) -> None:
    """With the sagittal plane on the screen it is the sagittal planes that are restored."""
    image, labels = viewer.add_image(VOLUME), viewer.add_labels(painted())
    viewer.dims.order = (2, 1, 0)  # rows along axis 1, columns along axis 0
    found = masked_planes(image, labels, shown_slice(image, viewer.dims))
    assert [plane.index for plane, _ in found] == [(slice(None), slice(None), i) for i in (1, 2)]
    np.testing.assert_array_equal(found[0][0].image, VOLUME[:, :, 1].T)
    np.testing.assert_array_equal(found[0][1], (painted()[:, :, 1] > 0).T)


def test_a_single_slice_is_its_own_plane(viewer: ViewerModel) -> None:
    image, labels = viewer.add_image(VOLUME[0]), viewer.add_labels(painted()[1])
    shown = shown_slice(image, viewer.dims)
    ((plane, missing),) = masked_planes(image, labels, shown)
    assert plane.index == (slice(None), slice(None)) and missing.sum() == 1
    assert len(all_planes(image, shown)) == 1


def test_masked_planes_at_any_time_but_all_planes_at_one(viewer: ViewerModel) -> None:
    """A mask names its time; 'all slices' means the volume on show, not the whole series."""
    series = np.stack([VOLUME, VOLUME + 10, VOLUME + 20])
    masks = np.zeros(series.shape, np.uint8)
    masks[0, 2, 1, 1] = masks[2, 3, 1, 1] = 1
    names = ("time", "I-S", "A-P", "R-L")
    image, labels = viewer.add_image(series, axis_labels=names), viewer.add_labels(masks, axis_labels=names)
    viewer.dims.current_step = (1, 3, 0, 0)
    shown = shown_slice(image, viewer.dims)
    assert [plane.index[:2] for plane, _ in masked_planes(image, labels, shown)] == [(0, 2), (2, 3)]
    planes = all_planes(image, shown)
    assert [plane.index[:2] for plane in planes] == [(1, z) for z in range(6)]
    np.testing.assert_array_equal(planes[5].image, series[1, 5])


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_lazy_image_and_labels(viewer: ViewerModel, kind: str) -> None:
    """Catches comparisons that arrays on a disk do not know."""
    if kind == "dask":
        data, masks = (dask.array.from_array(a, chunks=(1, 4, 5)) for a in (VOLUME, painted()))
    else:
        data, masks = (zarr.array(a, chunks=(1, 4, 5)) for a in (VOLUME, painted()))
    image, labels = viewer.add_image(data, contrast_limits=(0, 1)), viewer.add_labels(masks)
    found = masked_planes(image, labels, shown_slice(image, viewer.dims), 1)
    assert [plane.index[0] for plane, _ in found] == [1, 4]
    np.testing.assert_array_equal(found[1][0].image, VOLUME[4])
    np.testing.assert_array_equal(found[1][1], painted()[4] == 1)


@pytest.mark.parametrize(
    ("scale", "expected"), [((4, 1, 1), (0, 4, 1)), ((1, -3, 0.5), (1, 3, 0.5)), ((0.5, 0.5, 2), (2, 2, 0.5))]
)
def test_thick_axis(viewer: ViewerModel, scale: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert thick_axis(viewer.add_image(VOLUME, scale=scale, units="mm")) == pytest.approx(expected)


def test_thick_axis_of_a_series_is_never_time(viewer: ViewerModel) -> None:
    image = viewer.add_image(np.stack([VOLUME] * 2), scale=(9, 1, 1, 3), axis_labels=("time", "z", "y", "x"))
    assert thick_axis(image)[0] == 3


def test_nothing_is_thick(viewer: ViewerModel) -> None:
    with pytest.raises(InputError, match="a single slice"):
        thick_axis(viewer.add_image(VOLUME[0], name="flat"))
    with pytest.raises(InputError, match="as thin as its pixels"):
        thick_axis(viewer.add_image(VOLUME, scale=(1.1, 1, 1)))


def thick_coronal(viewer: ViewerModel, data: object = VOLUME):
    return viewer.add_image(
        data, scale=(1, 4, 1), units="mm", axis_labels=("I-S", "A-P", "R-L"), contrast_limits=(0, 1)
    )


def test_reformatted_into_the_plane_of_the_prior(viewer: ViewerModel) -> None:
    image = thick_coronal(viewer)
    axial = reformatted_planes(image, 1, "axial", (2, 0, 0))
    assert [plane.index[0] for plane in axial] == list(range(6))
    assert (axial[0].rows, axial[0].columns, axial[0].flips) == (1, 2, (False, False))
    assert axial[0].spacing == pytest.approx((4, 1))
    sagittal = reformatted_planes(image, 1, "sagittal", (2, 0, 0))
    assert [plane.index[2] for plane in sagittal] == list(range(5))
    # superior is up, though the axis runs upwards, and anterior is left
    np.testing.assert_array_equal(sagittal[3].image, VOLUME[::-1, :, 3])
    # a plane that does not hold the thick axis cannot be refined along it: any other is better
    assert len(reformatted_planes(image, 1, "coronal", (2, 0, 0))) == 6


def test_frontal_is_coronal(viewer: ViewerModel) -> None:
    """Catches a prior of radiographs, whose plane is 'frontal', that gets sagittal planes."""
    image = viewer.add_image(VOLUME, scale=(4, 1, 1), axis_labels=("I-S", "R-L", "A-P"))
    planes = reformatted_planes(image, 0, "frontal", (0, 0, 0))
    assert len(planes) == 5 and (planes[0].rows, planes[0].columns) == (0, 1)


def test_one_reformatted_plane_of_a_lazy_layer_computes_only_itself(viewer: ViewerModel) -> None:
    computed: set[int] = set()

    def block(block_info: dict) -> np.ndarray:
        place = block_info[None]["chunk-location"]
        computed.add(place[0])
        return np.zeros((1, 4, 5), np.float32)

    data = dask.array.map_blocks(block, chunks=((1,) * 6, (4,), (5,)), dtype=np.float32, meta=np.zeros((0, 0, 0)))
    image = thick_coronal(viewer, data)
    computed.clear()
    (plane,) = reformatted_planes(image, 1, "axial", (4, slice(None), slice(None)), everywhere=False)
    assert plane.index[0] == 4 and computed <= {4}


def test_one_plane_of_a_volume_that_is_one_slice_deep(viewer: ViewerModel) -> None:
    """Catches a time that is taken for the number of the slice."""
    image = viewer.add_image(
        np.zeros((9, 1, 4, 5)), scale=(1, 1, 4, 1), axis_labels=("time", "I-S", "A-P", "R-L"), units=("s", *["mm"] * 3)
    )
    (plane,) = reformatted_planes(image, 2, "axial", (7, 0, slice(None), slice(None)), everywhere=False)
    assert plane.index[:2] == (7, 0)
    middle = reformatted_planes(image, 2, "sagittal", (7, 0, slice(None), slice(None)), everywhere=False)
    assert middle[0].index == (7, slice(None), slice(None), 2)
