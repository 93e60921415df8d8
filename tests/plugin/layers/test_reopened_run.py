"""A run in a real window: in-painted, looked at, saved, and opened again in an empty viewer as what it was."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from napari_brgm.plugin.docks import bring_up
from napari_brgm.plugin.layers import opening
from napari_brgm.plugin.layers.outcome import PINNED_KEY
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.plugin.layers.tag import TAG
from napari_brgm.scans import read_scan
from napari_brgm.scans.samples import brain_slice

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = "napari-brgm"
LONG = 240_000  # ms


def dock(viewer, title: str):
    return viewer.window.add_plugin_dock_widget(PLUGIN, title)[1]


@pytest.fixture
def in_paint(window, qtbot, click):
    """A real run of a few steps on a hole of the scan; gives viewer, hole and the run's layers."""

    def run(data, settings):
        viewer, widget = window("In-paint", show=True)
        image = viewer.add_image(data, **settings)
        hole = np.zeros(image.data.shape, np.uint8)
        rows, columns = (n // 2 for n in hole.shape[-2:])
        hole[..., rows - 6 : rows + 4, columns - 5 : columns + 7] = 1
        labels = viewer.add_labels(hole, name="mask", scale=image.scale, translate=image.translate, units=image.units,
                                   axis_labels=image.axis_labels)  # fmt: skip
        widget.image.value, widget.labels.value = image, labels
        widget.prior.value = "brain-axial-128"
        widget.device.value, widget.quality.value, widget.samples.value = "cpu", "preview", 6
        widget.with_std.value = True
        before = len(viewer.layers)
        click(widget.run_button)
        qtbot.waitUntil(lambda: widget.worker is None, timeout=LONG)
        assert len(viewer.layers) == before + 3, widget.status.text()
        return viewer, hole, list(viewer.layers)[before:]

    return run


def test_all_that_the_inspector_needs_comes_back(in_paint, qtbot, click, picture, tmp_path: Path, monkeypatch) -> None:
    told: list[str] = []
    for name in ("show_info", "show_warning"):
        monkeypatch.setattr(opening, name, told.append)
    scan, _ = brain_slice()
    data, settings, _ = image_layer(scan)
    viewer, hole, layers = in_paint(data, settings)
    restored, _, variance = layers
    variance.opacity = 0.7
    inspector = dock(viewer, "Uncertainty")
    viewer.layers.selection.active = restored
    pixel = tuple(int(i) for i in np.argwhere(hole)[37])
    inspector.look(restored.data_to_world(pixel))
    click(inspector.pin_button)
    lines = [label.text() for label in (inspector.value, inspector.trust, inspector.place)]
    assert "calibrated" in lines[1], lines
    count = inspector.sample_slider.maximum()
    looks = [(layer.name, layer.visible, layer.opacity, layer.colormap.name, tuple(layer.contrast_limits))
             for layer in layers]  # fmt: skip
    samples = [np.array(inspector.run.planes[0].sample(number))[hole > 0] for number in range(count)]
    assert len({sample.tobytes() for sample in samples}) == count == 6
    saver = dock(viewer, "Save with provenance")
    saver.result.value, saver.folder.value = restored, tmp_path
    assert saver.format.value == "nifti" and saver.complete.value
    click(saver.save_button)
    qtbot.waitUntil(lambda: saver.task is None, timeout=LONG)
    assert "saved 4 layers and the samples" in saver.status.text().lower()
    files = sorted(tmp_path.glob("*.nii.gz"))
    assert len(files) == 4 and "Estimate" in files[0].name

    viewer.layers.clear()
    assert TAG not in viewer.canvas.overlays["text"].text
    opened = viewer.open(files, plugin=PLUGIN)  # dropped together: napari hands them over one by one
    assert len(opened) == len(viewer.layers) == 4
    assert [sentence.split()[0] for sentence in told] == [file.name for file in files[1:]]
    assert all("open already" in sentence for sentence in told)
    again = list(viewer.layers)[1:]
    assert [(layer.name, layer.visible, layer.opacity, layer.colormap.name, tuple(layer.contrast_limits))
            for layer in again] == looks  # fmt: skip
    np.testing.assert_array_equal(viewer.layers[0].data, hole)
    assert TAG in viewer.canvas.overlays["text"].text

    bring_up(viewer, "Uncertainty")
    viewer.layers.selection.active = again[0]
    assert inspector.pin_button.isChecked()
    assert [label.text() for label in (inspector.value, inspector.trust, inspector.place)] == lines
    assert inspector.play_button.isEnabled() and inspector.sample_slider.maximum() == count
    picture(viewer, "reopened", (1280, 720))
    click(inspector.play_button)
    qtbot.waitUntil(lambda: inspector.sample_slider.value() == 3, timeout=20_000)
    assert saver.result.value in again  # what is played is not what one wants to save
    click(inspector.play_button)
    number = inspector.sample_slider.value() - 1
    shown = inspector.maps.sample.layer
    qtbot.waitUntil(lambda: np.array_equal(shown.data[hole > 0], samples[number]), timeout=20_000)
    inspector.hide_sample()
    click(inspector.pin_button)
    assert all(PINNED_KEY not in layer.metadata for layer in again)  # a pin that is let go is not saved with another
    outside = tuple(int(i) for i in np.argwhere((hole == 0) & (restored.data > 0.3))[5])
    inspector.look(again[0].data_to_world(outside))
    assert "measured" in inspector.value.text()

    # what was deleted comes back, the rest is there
    viewer.layers.remove(again[1])
    (std,) = viewer.open(files[0], plugin=PLUGIN)
    assert std.metadata["brgm"]["role"] == "std" and len(inspector.run_choice.choices) == 1


def test_a_dicom_run_is_saved_as_dicom_and_beside_it_whole(in_paint, qtbot, click, picture, tmp_path: Path) -> None:
    """Catches NIfTI offered for DICOM; samples lost without a way to keep them; names of the series in NIfTI files."""
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    shutil.copy(get_testdata_file("MR_small.dcm", download=False), folder / "IM0001")
    data, settings, _ = image_layer(read_scan(folder)[0])
    viewer, _, layers = in_paint(data, settings | {"name": "Jane's head"})
    saver = dock(viewer, "Save with provenance")
    saver.result.value = layers[0]
    assert saver.format.value == "dicom" and not saver.complete.value
    assert saver.folder.value == tmp_path
    saver.folder.value = tmp_path / "out"
    click(saver.save_button)
    qtbot.waitUntil(lambda: saver.task is None, timeout=LONG)
    (result,) = (tmp_path / "out").iterdir()
    assert result.name == "series-1_desc-brgmInpaintDicom_image"
    assert "the result as dicom" in saver.status.text().lower(), saver.status.text()
    saver.complete.value = True
    saver.folder.value = tmp_path / "whole"
    click(saver.save_button)
    qtbot.waitUntil(lambda: saver.task is None, timeout=LONG)
    assert "samples" in saver.status.text()
    for path in (tmp_path / "whole").iterdir():
        text = path.read_bytes() if path.suffix in (".json", ".safetensors") else b""
        assert "Jane" not in path.name and b"Jane" not in text
    viewer.layers.clear()
    series = viewer.open(tmp_path / "whole" / result.name, plugin=PLUGIN)
    assert [layer.metadata["brgm"]["role"] for layer in series] == ["mask", "restored", "std"]
    picture(viewer, "reopened-dicom", (1280, 720))
    viewer.layers.clear()
    mask, *opened = viewer.open(next((tmp_path / "whole").glob("*Variance*.nii.gz")), plugin=PLUGIN)
    assert [layer.name.split(" | ")[0] for layer in opened] == ["restored", "std", "variance"]
    assert mask.data.sum() == 120
    inspector = dock(viewer, "Uncertainty")
    assert inspector.play_button.isEnabled() and inspector.sample_slider.maximum() == 6
    viewer.layers.clear()
    both = viewer.open(tmp_path / "whole", plugin=PLUGIN)  # the folder: DICOM and NIfTI
    assert len(both) == 3 + 4
