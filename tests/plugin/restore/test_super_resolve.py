"""Super-resolution in the window: by a factor, to a size, or through the plane, and exact in the world each time."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import zarr
from napari.layers import Image

from napari_brgm.plugin import prior_panel
from napari_brgm.plugin.preferences import Preferences
from napari_brgm.plugin.restore import panel, super_resolve
from napari_brgm.zoo.entry import Kind, PriorEntry

SHAPE = (6, 10, 8)
NAMES = ("I-S", "A-P", "R-L")
VOLUME = np.random.default_rng(0).normal(100, 10, SHAPE).astype(np.float32)
PRIORS = {
    "fake": PriorEntry("fake", Kind.shipped, modality="MR T1", plane="axial", resolution=128, preset="default"),
    "front": PriorEntry("front", Kind.shipped, modality="CR", plane="frontal", resolution=128, preset="default"),
}


@pytest.fixture(autouse=True)
def two_priors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior_panel, "offered_priors", lambda: PRIORS)
    monkeypatch.setattr(super_resolve, "knows_stacks", lambda entry: entry.name == "fake")
    monkeypatch.setattr(panel, "preferences", lambda: Preferences(preview=False))  # which only costs time here


@pytest.fixture
def scan(window, fake_engine):
    """``scan(data, **place)``: a scan alone in the window, which a test opens once; no job was done with it yet."""
    opened: list[tuple] = []

    def open_with(data=VOLUME, **place):
        opened[:] = opened or [window("Super-resolve")]
        viewer, widget = opened[0]
        viewer.layers.clear()
        fake_engine.jobs.clear()
        settings = {"units": "mm", "axis_labels": NAMES} | place
        image = viewer.add_image(data, name="scan", contrast_limits=(60, 140), **settings)
        widget.quality.value = "preview"
        return viewer, widget, image

    return open_with


@pytest.fixture
def run(qtbot, click):
    def press_and_wait(widget, *, everywhere: bool = False) -> None:
        click(widget.run_all_button if everywhere else widget.run_button)
        assert widget.worker is not None, widget.status.text()
        qtbot.waitUntil(lambda: widget.worker is None, timeout=30_000)

    return press_and_wait


def check_in_the_world(result: Image, source: Image, slices: dict[int, int] | None = None) -> None:
    """Each voxel of the result holds the value of the source's voxel that it lies in, and the edges are the same.

    ``slices``: for axes along which only one slice was restored, which.
    """
    only = slices or {}
    data = np.asarray(source.data)
    shape = np.array(result.data.shape)
    for index in np.random.default_rng(1).integers(0, shape, (200, len(shape))):
        at = np.asarray(source.world_to_data(result.data_to_world(index)))
        assert result.data[tuple(index)] == data[tuple(np.floor(at + 0.5 + 1e-6).astype(int))]
    for corner, expected in ((np.zeros(len(shape)) - 0.5, 0), (shape - 0.5, 1)):
        edge = np.asarray(source.world_to_data(result.data_to_world(corner)))
        wanted = [only.get(a, 0 if not expected else n - 1) + expected - 0.5 for a, n in enumerate(data.shape)]
        np.testing.assert_allclose(edge, wanted, atol=1e-9)
    assert result.units == source.units and result.axis_labels == source.axis_labels


PLACES = [
    {},
    {"scale": (3, -0.5, 0.7), "translate": (1, 2, 3)},
    {"scale": (3, 0.5, -0.7), "affine": [[1, 0, 0, 5], [0, -1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]},
]


def test_by_a_factor_on_the_slice_on_show(scan, run, fake_engine, asked) -> None:
    for place in PLACES:
        viewer, widget, image = scan(**place)
        viewer.dims.set_current_step(0, 2)
        at = int(np.round(image.world_to_data(viewer.dims.point)[0]))
        widget.factor.value = 3
        run(widget)
        assert asked(fake_engine.jobs[0].slices[0]) == {"factor": (3, 3), "width": None}
        restored, variance = list(viewer.layers)[1:]
        assert restored.name == "x3 | scan"
        assert restored.data.shape == variance.data.shape == (1, 30, 24)
        check_in_the_world(restored, image, {0: at})
        assert not variance.visible  # all is synthetic: a tint would hide the result
        np.testing.assert_array_equal(image.data, VOLUME)


def test_by_a_factor_on_all_slices(scan, run, fake_engine) -> None:
    for place in PLACES:
        viewer, widget, image = scan(**place)
        widget.factor.value = 2
        run(widget, everywhere=True)
        assert len(fake_engine.jobs[0].slices) == 6
        restored = viewer.layers[1]
        assert restored.data.shape == (6, 20, 16)
        check_in_the_world(restored, image)


def test_all_slices_of_the_volume_on_show_in_a_series(scan, run, fake_engine) -> None:
    series = np.stack([VOLUME, VOLUME + 50])
    viewer, widget, image = scan(
        series, axis_labels=("time", *NAMES), units=("s", "mm", "mm", "mm"), scale=(2, 3, 0.5, 0.5)
    )
    viewer.dims.set_current_step(0, 1)
    widget.factor.value = 2
    run(widget, everywhere=True)
    restored = viewer.layers[1]
    assert len(fake_engine.jobs[0].slices) == 6 and restored.data.shape == (1, 6, 20, 16)
    check_in_the_world(restored, image, {0: 1})


def test_to_a_size_with_pixels_that_are_not_square(scan, run, fake_engine, asked) -> None:
    """Only the coarse axis becomes finer: pixels below the size are left as they are, never made coarser."""
    viewer, widget, image = scan(scale=(5, 3, 1))
    widget.way.value = "size"
    widget.target.value = 1.2
    run(widget)
    restored = viewer.layers[1]
    (observed,) = fake_engine.jobs[0].slices
    assert asked(observed)["factor"] == pytest.approx((2.5, 1.0)) and observed.spacing == pytest.approx((3, 1))
    assert restored.data.shape == (1, 25, 8)
    np.testing.assert_allclose(restored.scale, (5, 1.2, 1))
    check_in_the_world(restored, image, {0: int(viewer.dims.current_step[0])})


def thick_coronal(scan, **more):
    return scan(scale=(1, 4, 1), translate=(-2, -95, 3), **more)


def test_thick_coronal_slices_shown_axially(scan, run, fake_engine, asked) -> None:
    """The axial slice on the screen has pixels of 4 x 1 mm: its rows become finer."""
    viewer, widget, image = thick_coronal(scan)
    viewer.dims.set_current_step(0, 4)
    widget.way.value, widget.target.value = "through", 1.0
    assert widget.prior.value == "fake"
    run(widget)
    (observed,) = fake_engine.jobs[0].slices
    np.testing.assert_array_equal(observed.image, VOLUME[4])
    assert asked(observed) == {"factor": pytest.approx((4, 1)), "width": 1} and observed.spacing == pytest.approx(
        (4, 1)
    )
    restored = viewer.layers[1]
    assert restored.data.shape == (1, 40, 8)
    check_in_the_world(restored, image, {0: 4})
    run(widget, everywhere=True)
    assert len(fake_engine.jobs[1].slices) == 6
    whole = viewer.layers[3]
    assert whole.name == "x4 2 | scan" and whole.data.shape == (6, 40, 8)
    check_in_the_world(whole, image)
    np.testing.assert_allclose(whole.scale, (1, 1, 1))


def test_thick_axial_slices(scan, run, fake_engine, asked) -> None:
    """They become thinner in planes across them, turned head up for the prior and back again for the layer."""
    for signs, names in (
        ((1, 1, 1), NAMES), ((-1, 1, -1), NAMES), ((1, -1, -1), ("S-I", "P-A", "L-R")), ((-1, 1, 1), ("z", "y", "x")),
    ):  # fmt: skip
        place = {"scale": tuple(s * n for s, n in zip(signs, (5, 1, 1), strict=True)), "translate": (7, 8, 9)}
        viewer, widget, image = scan(axis_labels=names, **place)
        widget.way.value, widget.target.value = "through", 2.5
        run(widget, everywhere=True)
        (job,) = fake_engine.jobs
        assert len(job.slices) == 10  # coronal planes: no prior here knows another one
        assert asked(job.slices[0])["factor"] == pytest.approx((2, 1))
        plane = VOLUME[:, 0]  # as stored; names say what is up, signs of the scale do not
        plane = plane[::-1] if names[0] == "I-S" else plane
        plane = plane[:, ::-1] if names[2] == "L-R" else plane
        np.testing.assert_array_equal(job.slices[0].image, plane)
        restored = viewer.layers[1]
        assert restored.data.shape == (12, 10, 8)
        check_in_the_world(restored, image)
        np.testing.assert_allclose(np.abs(restored.scale), (2.5, 1, 1))


def test_one_plane_across_thick_axial_slices_is_the_middle_one(scan, run) -> None:
    viewer, widget, image = scan(scale=(5, 1, 1))
    widget.way.value, widget.target.value = "through", 1.25
    run(widget)
    restored = viewer.layers[1]
    assert restored.data.shape == (24, 1, 8)
    check_in_the_world(restored, image, {1: 5})


def test_the_prior_decides_the_plane(scan, run, fake_engine) -> None:
    """Catches 'frontal' that is not known as coronal."""
    _, widget, _ = scan(scale=(5, 1, 1), axis_labels=("I-S", "R-L", "A-P"))
    widget.way.value, widget.target.value, widget.prior.value = "through", 2.5, "front"
    run(widget, everywhere=True)
    assert len(fake_engine.jobs[0].slices) == 8  # along A-P, the last axis
    assert fake_engine.jobs[0].slices[0].image.shape == (6, 10)


def test_thickness_of_the_slices_and_their_distance(scan, run, fake_engine, asked) -> None:
    _, widget, _ = thick_coronal(scan)
    widget.way.value, widget.target.value, widget.thickness.value = "through", 2.0, 5.0
    run(widget)
    (observed,) = fake_engine.jobs[0].slices
    assert asked(observed) == {"factor": pytest.approx((2, 1)), "width": pytest.approx(1.25)}


def test_only_what_counts_is_shown(scan) -> None:
    _, widget, _ = scan()
    shown = {}
    for way in ("factor", "size", "through"):
        widget.way.value = way
        choices = (widget.factor, widget.target, widget.slices, widget.thickness)
        shown[way] = [not choice.native.isHidden() for choice in choices]
    assert shown == {
        "factor": [True, False, True, False],
        "size": [False, True, True, False],
        "through": [False, True, False, True],
    }


def test_refusals_in_one_sentence(scan, click, fake_engine, sentences) -> None:
    viewer, widget, image = scan(scale=(1, 4, 1))
    expected = []

    def refused(part: str, *, everywhere: bool = False) -> None:
        click(widget.run_all_button if everywhere else widget.run_button)
        expected.append(part)

    widget.way.value, widget.target.value = "size", 4.0
    refused("the pixels are 4 x 1 mm; choose a size below that")
    widget.way.value = "through"
    refused("the slices are 4 mm apart; choose a distance below that")
    widget.target.value = 0.05
    refused("the slices are 4 mm apart")
    widget.target.value = 1.0
    viewer.add_image(VOLUME[0], name="flat")
    widget.image.value = viewer.layers["flat"]
    refused("'flat' is a single slice")
    widget.way.value = "size"
    refused("the pixel size of 'flat' is not known; choose a factor")
    viewer.add_image(VOLUME, name="cubes")
    widget.image.value, widget.way.value = viewer.layers["cubes"], "through"
    refused("the slices of 'cubes' are as thin as its pixels", everywhere=True)
    assert len(sentences) == len(expected)
    for sentence, part in zip(sentences, expected, strict=True):
        assert part.lower() in sentence.lower() and sentence.count(".") == 0
    assert not fake_engine.jobs and len(viewer.layers) == 3 and image in viewer.layers


def test_of_a_dask_layer_only_one_slice_is_computed(scan, run) -> None:
    computed: set[int] = set()

    def block(block_info: dict) -> np.ndarray:
        number = block_info[None]["chunk-location"][0]
        computed.add(number)
        return VOLUME[number : number + 1]

    for way in ("factor", "through"):
        data = dask.array.map_blocks(block, chunks=((1,) * 6, (10,), (8,)), dtype=np.float32, meta=np.zeros((0, 0, 0)))
        viewer, widget, image = thick_coronal(scan, data=data)
        viewer.dims.set_current_step(0, 4)
        widget.way.value, widget.target.value = way, 1.0
        computed.clear()
        run(widget)
        assert computed <= {4}
        check_in_the_world(viewer.layers[1], image, {0: 4})


def test_all_slices_of_a_lazy_layer(scan, run) -> None:
    for kind in ("dask", "zarr", "multiscale"):
        if kind == "multiscale":
            viewer, widget, image = scan([VOLUME, VOLUME[:, ::2, ::2]], multiscale=True, scale=(3, 1, 1))
        else:
            data = zarr.array(VOLUME, chunks=(1, 10, 8)) if kind == "zarr" else dask.array.from_array(VOLUME)
            viewer, widget, image = scan(data, scale=(3, 1, 1))
        widget.factor.value = 2
        run(widget, everywhere=True)
        restored = viewer.layers[1]
        assert not restored.multiscale and restored.data.shape == (6, 20, 16)
        plain = Image(VOLUME, scale=(3, 1, 1), units="mm", axis_labels=NAMES)
        check_in_the_world(restored, plain)
        kept = image.data[0] if kind == "multiscale" else image.data
        np.testing.assert_array_equal(np.asarray(kept), VOLUME)
