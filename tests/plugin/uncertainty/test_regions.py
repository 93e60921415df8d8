"""Regions in numbers in the window: figures must be those of the samples, whatever grid the labels have."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_brgm.errors import InputError
from napari_brgm.plugin.layers.results import Extras, add_results
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.plugin.uncertainty.regions import RunRegions
from napari_brgm.plugin.uncertainty.runs import runs_in

if TYPE_CHECKING:
    from napari_brgm.engine.region import RegionDraws

PLACE = {"scale": (3, 2, 1.5), "translate": (10, -20, 5), "units": ("mm",) * 3}
SHAPE = (5, 8, 10)
LONG = 60_000


@pytest.fixture
def add_run(fake_restoration):
    """A run on two axial slices of a volume, its holes in different places."""

    def make(viewer, task: str = "in-paint", samples: bool = True, **place):
        data = np.random.default_rng(7).normal(500, 100, SHAPE).astype(np.float32)
        source = viewer.add_image(data, name="scan", contrast_limits=(0, 1000), **(PLACE | place))
        planes = []
        for number in (1, 3):
            viewer.dims.set_current_step(0, number)
            shown = shown_slice(source, viewer.dims)
            missing = np.zeros(shown.image.shape, bool)
            missing[2:6, number : number + 4] = True
            given = {"missing": missing} if task == "in-paint" else {"factor": (2.0, 2.0)}
            result = fake_restoration(shown.image, **given)
            planes.append((shown, result if samples else result.without_samples()))
        add_results(viewer, source, planes, task, Extras(), "HU")
        (run,) = runs_in(viewer.layers, {}).values()
        return run

    return make


def measured(viewer, run, labels, above=None) -> dict[int, RegionDraws]:
    return RunRegions.of(run, labels, viewer.dims, above).gather(lambda *_: None)


def regions() -> np.ndarray:
    """1 over holes and beside them, on all slices; 7 where nothing was restored."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 1:5, 2:6] = 1
    labels[2, 6:, 7:] = 7
    return labels


def test_figures_are_those_of_the_draws_on_the_image(add_run) -> None:
    viewer = ViewerModel()
    run = add_run(viewer)
    labels = viewer.add_labels(regions(), **PLACE)
    found = measured(viewer, run, labels, above=480.0)
    assert list(found) == [1, 7]
    mean, volume = found[1].figures(0.8)
    inside = regions() == 1
    draws = np.stack([np.asarray(run.base.data, float)] * 3)
    for plane in run.planes:
        draws[(slice(None), *plane.index)] = plane.result.samples
    each = draws[:, inside].mean(axis=1)
    assert mean.value == pytest.approx(each.mean()) and mean.std == pytest.approx(each.std())
    assert volume.value == pytest.approx((9 * (draws[:, inside] > 480).sum(axis=1)).mean())
    assert (mean.pixels, mean.units, mean.level) == (5 * 16, "HU", 0.8)
    assert mean.synthetic == sum((plane.free & inside[plane.index]).sum() for plane in run.planes) > 0
    kept = found[7].figures()[0]
    assert (kept.synthetic, kept.low, kept.high) == (0, kept.value, kept.value)
    assert kept.value == pytest.approx(run.base.data[regions() == 7].mean())


def test_labels_of_another_grid_lie_where_they_are_seen(add_run) -> None:
    """Catches labels taken pixel for pixel, shifts, and axes in other units."""
    viewer = ViewerModel()
    run = add_run(viewer)
    before = measured(viewer, run, viewer.add_labels(regions(), **PLACE))[1].figures()[0]
    finer = np.kron(regions(), np.ones((1, 2, 2), np.uint8))
    place = {"scale": (3, 1, 0.75), "translate": (10, -20.5, 4.625), "units": ("mm",) * 3}
    cut = finer[:, 2:10, 4:12]
    moved = (10, -20.5 + 2 * 1, 4.625 + 4 * 0.75)
    for data, settings in ((finer, place), (cut, place | {"translate": moved})):
        found = measured(viewer, run, viewer.add_labels(data, **settings))[1].figures()[0]
        assert (found.value, found.pixels, found.synthetic) == (before.value, before.pixels, before.synthetic)


def test_labels_of_one_plane_are_about_the_slice_on_the_screen(add_run) -> None:
    viewer = ViewerModel()
    run = add_run(viewer)
    flat = viewer.add_labels(regions()[0], **{key: value[1:] for key, value in PLACE.items()})
    viewer.dims.set_current_step(0, 3)
    found = measured(viewer, run, flat)[1].figures()[0]
    assert found.pixels == 16
    assert found.synthetic == (run.planes[1].free & (regions()[0] == 1)).sum() > 0


def test_of_a_finer_result_there_are_its_own_slices_alone(add_run) -> None:
    viewer = ViewerModel()
    run = add_run(viewer, "super-resolve")
    found = measured(viewer, run, viewer.add_labels(regions(), **PLACE), above=480.0)[1].figures()
    assert (found[0].pixels, found[0].synthetic) == (2 * 64, 2 * 64)
    assert 0 < found[1].value < 2 * 64 * 9 / 4


def test_what_cannot_be_measured_is_one_sentence(add_run) -> None:
    viewer = ViewerModel()
    run = add_run(viewer, samples=False)
    with pytest.raises(InputError, match="has no samples"):
        measured(viewer, run, viewer.add_labels(regions(), **PLACE))
    with pytest.raises(InputError, match="no label lies over"):
        measured(viewer, run, viewer.add_labels(np.zeros(SHAPE, np.uint8), **PLACE))
    viewer = ViewerModel()
    run = add_run(viewer, units=("pixel",) * 3)
    labels = viewer.add_labels(regions(), **(PLACE | {"units": ("pixel",) * 3}))
    with pytest.raises(InputError, match="no size in mm"):
        measured(viewer, run, labels, above=480.0)
    assert measured(viewer, run, labels)[1].figures()[0].quantity == "mean"


def test_the_panel_measures_and_saves_a_table(window, add_run, qtbot, click, picture, tmp_path) -> None:
    viewer, panel = window("Uncertainty", show=True)
    viewer.window._qt_window.resize(1280, 720)
    box, meter = panel.regions, panel.region_meter
    run = add_run(viewer)
    assert not box.measure_button.isEnabled() and "Add a labels layer" in box.status.text()
    labels = viewer.add_labels(
        regions(), name="lesions", features={"index": [0, 1, 7], "name": ["", "left", "far"]}, **PLACE
    )
    assert box.measure_button.isEnabled() and box.choice.value is labels
    for fold in panel.findChildren(type(box.parent())):
        fold.expand()
    box.above_box.setChecked(True)
    box.above.setValue(480)
    click(box.measure_button)
    qtbot.waitUntil(lambda: meter.task is None, timeout=LONG)
    assert [box.table.item(row, 0).text() for row in range(2)] == ["1 left", "7 far"]
    mean, volume = measured(viewer, run, labels, 480.0)[1].figures()
    assert box.table.item(0, 1).text().splitlines() == [f"{mean.value:.4g}", f"{mean.low:.4g} … {mean.high:.4g}"]
    assert box.table.item(0, 2).text() == f"{volume.value:.4g}"  # no draw differs
    assert box.table.item(1, 3).text() == "0 %" and "not calibrated" in box.status.text()
    assert box.table.horizontalHeaderItem(2).text() == "mm³ > 480"
    panel.scrolled.ensureWidgetVisible(box)
    picture(viewer, "regions", (1280, 720))
    assert viewer.window._qt_window.height() == 720
    meter.save(tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [(row["region"], row["quantity"]) for row in rows][:2] == [("1", "mean"), ("1", "volume above 480 HU")]
    assert float(rows[0]["value"]) == pytest.approx(mean.value, rel=1e-5)
    viewer.layers.remove(labels)
    assert not box.table.isVisible() and not box.measure_button.isEnabled() and not meter.figures
