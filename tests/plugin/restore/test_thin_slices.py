"""Thin slices of thick ones in the window: exact in the world, of the slices on show and of no others, and saved."""

from __future__ import annotations

from importlib import import_module
from itertools import product

import dask.array
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from napari_brgm.engine.previews import Previews
from napari_brgm.plugin import prior_panel
from napari_brgm.plugin.layers.saving import layers_of_run, save_run
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.layers.tag import TAG
from napari_brgm.plugin.preferences import Preferences
from napari_brgm.plugin.restore import panel, super_resolve
from napari_brgm.plugin.restore.preview import Preview
from napari_brgm.scan import Scan
from napari_brgm.scans import read_scan
from napari_brgm.zoo.entry import Kind, PriorEntry

NAMES = ("I-S", "A-P", "R-L")
VOLUME = np.random.default_rng(0).normal(100, 10, (6, 10, 8)).astype(np.float32)
PRIORS = {
    name: PriorEntry(name, Kind.shipped, modality="MR T1", plane="axial", resolution=24, preset="default", rank=rank)
    for rank, name in enumerate(("stack-24", "alone"))
}
PLACES = [
    {"scale": (3, 0.5, 0.7), "translate": (1, 2, 3)},
    {"scale": (-3, -0.5, 0.7), "translate": (1, 2, 3)},
    {"scale": (3, 0.5, -0.7), "affine": [[1, 0, 0, 5], [0, -1, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]},
]


@pytest.fixture(autouse=True)
def two_priors(monkeypatch) -> None:
    """One that knows how slices belong together, and one that does not."""
    monkeypatch.setattr(prior_panel, "offered_priors", lambda: PRIORS)
    monkeypatch.setattr(super_resolve, "knows_stacks", lambda entry: entry.name == "stack-24")
    monkeypatch.setattr(panel, "preferences", lambda: Preferences(preview=False))


@pytest.fixture
def scan(window):
    """``scan(data, **place)``: a scan alone in the window, which a test opens once."""
    opened: list[tuple] = []

    def open_with(data=VOLUME, **place):
        opened[:] = opened or [window("Super-resolve")]
        viewer, widget = opened[0]
        viewer.layers.clear()
        settings = {"units": "mm", "axis_labels": NAMES, "scale": (3, 1, 1)} | place
        image = viewer.add_image(data, name="scan", contrast_limits=(60, 140), **settings)
        widget.quality.value, widget.factor.value = "preview", 1
        return viewer, widget, image

    return open_with


@pytest.fixture
def run(qtbot, click):
    def press_and_wait(widget, *, everywhere: bool = False) -> None:
        click(widget.run_all_button if everywhere else widget.run_button)
        assert widget.worker is not None, widget.status.text()
        qtbot.waitUntil(lambda: widget.worker is None, timeout=60_000)

    return press_and_wait


def assert_over(result, source, first: int = 0, last: int | None = None) -> None:
    """Outer edges lie on those of the source's slices first .. last, and each voxel in the one whose value it has."""
    shape, data = np.array(result.data.shape), np.asarray(source.data)
    ends = [first, 0, 0], [data.shape[0] if last is None else last + 1, *data.shape[1:]]
    for corner in product((0, 1), repeat=3):
        at = np.asarray(source.world_to_data(result.data_to_world(np.array(corner) * shape - 0.5)))
        np.testing.assert_allclose(at, [ends[c][axis] - 0.5 for axis, c in enumerate(corner)], atol=1e-9)
    for index in np.random.default_rng(1).integers(0, shape, (200, 3)):
        at = np.asarray(source.world_to_data(result.data_to_world(index)))
        assert result.data[tuple(index)] == data[tuple(np.floor(at + 0.5 + 1e-6).astype(int))]
    assert result.units == source.units and result.axis_labels == source.axis_labels


def test_the_whole_stack(scan, run, fake_engine) -> None:
    for factor, place in product((1, 2), PLACES):
        viewer, widget, image = scan(**place)
        widget.slices.value, widget.factor.value = 3, factor
        run(widget, everywhere=True)
        job = fake_engine.jobs[-1]
        assert len(job.slices) == 6 and job.count == 18
        np.testing.assert_allclose(job.stack.places, 3 * np.arange(6))
        np.testing.assert_allclose(job.stack.thin, np.arange(18) - 1)
        np.testing.assert_allclose(job.stack.profile, np.eye(6).repeat(3, axis=1) / 3)
        restored, variance = list(viewer.layers)[1:]
        assert restored.name == "x3 | scan" and variance.name == "variance | scan"
        assert restored.data.shape == variance.data.shape == (18, 10 * factor, 8 * factor)
        assert_over(restored, image)
        np.testing.assert_array_equal(variance.translate, restored.translate)
        np.testing.assert_allclose(np.abs(restored.scale), np.abs(place["scale"]) / np.array([3, factor, factor]))
        assert viewer.canvas.overlays.text.text == TAG
        np.testing.assert_array_equal(image.data, VOLUME)


def test_the_slice_on_show_with_its_neighbours(scan, run, fake_engine) -> None:
    """They are restored with it and thrown away: catches layers that begin with a neighbour."""
    for step, first, last in ((0, 0, 2), (3, 1, 5), (5, 3, 5)):
        viewer, widget, image = scan()
        viewer.dims.set_current_step(0, step)
        widget.slices.value = 4
        run(widget)
        job = fake_engine.jobs[-1]
        np.testing.assert_array_equal([one.image for one in job.slices], VOLUME[first : last + 1])
        restored = viewer.layers[1]
        assert restored.data.shape == (4, 10, 8)
        assert_over(restored, image, step, step)
        assert widget.slice_progress.maximum() == 1  # done: the bar is back


def test_of_a_lazy_layer_only_what_counts_is_computed(scan, run, fake_engine) -> None:
    computed: set[int] = set()

    def block(block_info: dict) -> np.ndarray:
        computed.add(number := block_info[None]["chunk-location"][0])
        return VOLUME[number : number + 1]

    data = dask.array.map_blocks(block, chunks=((1,) * 6, (10,), (8,)), dtype=np.float32, meta=np.zeros((0, 0, 0)))
    viewer, widget, image = scan(data)
    viewer.dims.set_current_step(0, 1)
    widget.slices.value = 2
    computed.clear()
    run(widget)
    assert computed <= {0, 1, 2, 3}
    assert_over(viewer.layers[1], image, 1, 1)


def test_previews_lie_where_the_thin_slices_will(scan) -> None:
    viewer, widget, image = scan(scale=(3, 0.5, -0.7), translate=(1, 2, 3))
    widget.slices.value = 3
    parts = widget.parts(image, shown_slice(image, viewer.dims), True)
    estimates = Previews()
    preview = Preview(viewer, image, parts, estimates)
    layer = viewer.layers[-1]
    assert layer.data_to_world((0, 0, 0))[0] == pytest.approx(0)  # a third of 3 mm below the first middle
    estimates[16] = np.full((10, 8), 7, np.float32)
    preview.look()
    assert layer.data_to_world((0, 0, 0))[0] == pytest.approx(1 + 15) and (layer.data == 7).all()
    for number in (3, 4, 8):  # those of a window
        estimates[number] = np.full((10, 8), number, np.float32)
    viewer.dims.set_point(0, image.data_to_world((1, 0, 0))[0])  # the thick slice of 3, 4 and 5
    assert layer.data_to_world((0, 0, 0))[0] == pytest.approx(1 + 3) and (layer.data == 4).all()
    viewer.dims.set_point(0, image.data_to_world((5, 0, 0))[0])
    assert (layer.data == 7).all()
    preview.remove()
    viewer.dims.set_point(0, image.data_to_world((1, 0, 0))[0])


def test_in_a_series_of_volumes(scan, run, fake_engine) -> None:
    viewer, widget, _ = scan(
        np.stack([VOLUME, VOLUME + 50]), axis_labels=("time", *NAMES), units=("s", "mm", "mm", "mm"),
        scale=(2, 3, 1, 1),
    )  # fmt: skip
    viewer.dims.set_current_step(0, 1)
    widget.slices.value = 2
    run(widget, everywhere=True)
    restored = viewer.layers[1]
    assert restored.data.shape == (1, 12, 10, 8)
    np.testing.assert_array_equal(restored.data[0], (VOLUME + 50).repeat(2, axis=0))
    np.testing.assert_allclose(restored.data_to_world((0, 0, 0, 0)), (2, -0.75, 0, 0))


def test_thickness_of_the_slices(scan, run, fake_engine) -> None:
    _, widget, _ = scan()
    assert widget.thickness.native.isHidden()
    widget.slices.value = 3
    assert not widget.thickness.native.isHidden()
    widget.thickness.value = 1.0
    run(widget, everywhere=True)
    np.testing.assert_allclose(fake_engine.jobs[0].stack.profile, np.eye(6).repeat(3, axis=1) * ([0, 1, 0] * 6))


def test_offered_where_it_can_be_and_why_not_elsewhere(scan, click, fake_engine, sentences) -> None:
    viewer, widget, image = scan()

    def refused(words: str) -> None:
        assert not widget.slices.enabled and widget.slices.value == 1
        assert words.lower() in widget.slices.tooltip.lower() and widget.slices.tooltip.count(".") == 1, (
            widget.slices.tooltip
        )

    def offered() -> None:
        assert widget.slices.enabled, widget.slices.tooltip
        assert "1: slices stay as they are" in widget.slices.tooltip
        widget.slices.value = 3

    offered()
    widget.prior.value = "alone"
    refused("takes one slice at a time; choose stack-24")
    widget.prior.value = "stack-24"
    offered()
    widget.method.value = "laplace"
    refused("choose MAP")
    widget.method.value = "map"
    offered()
    viewer.dims.order = (1, 0, 2)
    refused("the slices on show are coronal and the prior knows axial ones")
    viewer.dims.order = (0, 1, 2)
    offered()
    for name, data, place, words in (
        ("flat", VOLUME[0], {"axis_labels": NAMES[1:], "units": "mm"}, "'flat' is a single slice"),
        ("pixels", VOLUME, {}, "how far apart the slices of 'pixels' are is not known"),
        ("front", VOLUME, {"scale": (1, 4, 1), "units": "mm"}, "choose 'thinner slices, in planes across them'"),
    ):
        widget.image.value = viewer.add_image(data, name=name, **place)
        refused(words)
    leaning = np.array([[-1, 0, 0, 0], [0, -0.8, 1.8, 0], [0, 0.6, 2.4, 0], [0, 0, 0, 1]])
    data, settings, _ = image_layer(Scan(VOLUME.transpose(2, 1, 0), leaning, name="leaning"))
    widget.image.value = viewer.add_image(data, **settings)
    refused("'leaning' lean by 37 degrees")
    widget.image.value = image
    offered()
    widget.slices.value = 1
    click(widget.run_all_button)
    assert len(sentences) == 1 and "choose a factor or a number of slices above 1" in sentences[0]
    assert not fake_engine.jobs


@pytest.fixture
def series(stack_of, tmp_path):
    """Four axial slices of 2 mm, 3 mm apart, from the head down."""
    shown = stack_of(12, seed=7).reshape(4, 3, 24, 24).mean(axis=1)
    (tmp_path / "series").mkdir()
    source = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
    source.Rows = source.Columns = 24
    source.PixelSpacing, source.ImageOrientationPatient = [1.5, 1.5], [1, 0, 0, 0, 1, 0]
    source.SliceThickness, source.SpacingBetweenSlices, source.SeriesNumber = 2, 3, 5
    for k, pixels in enumerate(shown):
        source.SOPInstanceUID, source.InstanceNumber = generate_uid(), k + 1
        source.ImagePositionPatient, source.SliceLocation = [-17.0, -18.0, 40.0 - 3 * k], 40.0 - 3 * k
        source.PixelData = pixels.round().astype("<i2").tobytes()
        source.save_as(tmp_path / "series" / f"{k}.dcm")
    return tmp_path / "series"


def test_a_series_restored_and_saved(window, series, run, stack_prior, monkeypatch, tmp_path) -> None:
    """By the engine itself: its slices have gaps, and what is saved opens again where it lay."""
    registry = import_module("napari_brgm.zoo.registry")
    monkeypatch.setattr(registry, "load_prior", lambda name: stack_prior)
    (scan,) = read_scan(series)
    viewer, widget = window("Super-resolve")
    data, settings, _ = image_layer(scan)
    image = viewer.add_image(data, **settings)
    widget.quality.value, widget.factor.value, widget.samples.value = "preview", 1, 2
    widget.with_samples.value = True
    widget.slices.value = 3
    run(widget, everywhere=True)
    restored = viewer.layers[1]
    assert restored.data.shape == (12, 24, 24), widget.status.text()
    for at, wanted in ((-0.5, -0.5), (11.5, 3.5)):
        edge = np.asarray(image.world_to_data(restored.data_to_world((at, 0, 0))))
        np.testing.assert_allclose(edge, (wanted, 0, 0), atol=1e-9)
    boxes = 0.25 * restored.data[::3] + 0.5 * restored.data[1::3] + 0.25 * restored.data[2::3]  # 2 of every 3 mm
    np.testing.assert_allclose(boxes, data, atol=1.5)
    run_layers = layers_of_run(viewer, restored)
    assert [layer.metadata["brgm"]["role"] for layer in run_layers] == ["x3", "samples", "variance"]
    nifti, samples, variance = save_run(run_layers, tmp_path / "out", "nifti", complete=False)
    (study,) = save_run(run_layers, tmp_path / "out", "dicom")
    folder, spread = study / "estimate", study / "std"
    step = scan.affine[:3, 2] / 3
    first = scan.affine[:3, 3] - step
    for path in (nifti, samples, variance, folder, spread):
        (back,) = read_scan(path)
        assert back.shape[:3] == (24, 24, 12) and back.provenance is not None
        turned = 1 if back.affine[:3, 2] @ step > 0 else -1  # DICOM is read from the feet up
        np.testing.assert_allclose(back.affine[:3, 2], turned * step, atol=1e-5)
        np.testing.assert_allclose(back.affine[:3, 3], first if turned > 0 else first + 11 * step, atol=1e-4)
        again = image_layer(back)
        np.testing.assert_allclose(again[1]["translate"][-3:], restored.translate, atol=1e-4)
        np.testing.assert_allclose(again[1]["scale"][-3:], restored.scale, atol=1e-6)
        if path in (nifti, folder):
            np.testing.assert_allclose(again[0], restored.data, atol=0.51)
    for file in sorted(folder.iterdir()):
        written = pydicom.dcmread(file)
        assert (written.SliceThickness, written.SpacingBetweenSlices) == (1, 1)


def test_the_panel_fits_1280_x_720(window, qtbot, picture, run, fake_engine) -> None:
    """With all of its rows and after a run; in both themes."""
    viewer, widget = window("Super-resolve", show=True)
    image = viewer.add_image(VOLUME, name="scan", units="mm", axis_labels=NAMES, scale=(3, 1, 1))
    widget.image.value, widget.quality.value = image, "preview"
    widget.slices.value, widget.factor.value = 3, 2
    run(widget)
    qt = viewer.window._qt_window
    for theme in ("dark", "light"):
        viewer.theme = theme
        qt.resize(1280, 720)
        qtbot.wait(200)
        assert (qt.width(), qt.height()) == (1280, 720)
        for row in (widget.factor, widget.slices, widget.thickness):
            assert row.native.isVisible() and row.native.width() > 40
        picture(viewer, f"thin-slices-{theme}")
