"""The button must save what is chosen while the window goes on, and say in one sentence how it went."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from napari_brgm.plugin import background
from napari_brgm.plugin.layers.scans import image_layer
from napari_brgm.scan import Scan
from napari_brgm.scans import read_scan

if TYPE_CHECKING:
    from pathlib import Path

RECORD = {"notice": "Synthetic.", "software": {"name": "napari-brgm"}, "task": "in-paint", "source_layer": "head"}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sentences: list[str] = []
    monkeypatch.setattr(background, "show_error", sentences.append)
    return sentences


def add(viewer, role: str, source: Path | None = None, **record: object):
    array = np.random.default_rng(0).random((8, 7, 6)).astype(np.float32)
    scan = Scan(array, np.diag([-1.0, 2.0, 3.0, 1.0]), name=f"{role} | head", source=source,
                provenance=RECORD | {"role": role} | record)  # fmt: skip
    data, settings, _ = image_layer(scan)
    return viewer.add_image(data, **settings)


def test_saves_a_run_in_the_background(window, click, qtbot, said, tmp_path: Path, picture) -> None:
    viewer, widget = window("Save with provenance")
    assert widget.result.value is None
    source = tmp_path / "in" / "head.nii.gz"
    source.parent.mkdir()
    source.touch()
    layers = [add(viewer, role, source, run="abc") for role in ("restored", "variance")]
    alone = add(viewer, "restored", source)
    viewer.add_labels(np.zeros((6, 7, 8), int))
    assert list(widget.result.choices) == [layers[0], alone]
    assert widget.folder.value == source.parent  # offered
    widget.result.value = layers[0]
    widget.folder.value = tmp_path / "out"
    picture(viewer, "save")
    click(widget.save_button)
    assert not widget.save_button.isEnabled()
    qtbot.waitUntil(lambda: widget.task is None, timeout=20000)
    assert widget.save_button.isEnabled()
    assert said == []
    assert "saved 2 layers" in widget.status.text().lower()
    files = sorted((tmp_path / "out").glob("*.nii.gz"))
    assert [file.name for file in files] == [
        "head_desc-brgmInpaintEstimate_image.nii.gz",
        "head_desc-brgmInpaintVariance_image.nii.gz",
    ]
    (scan,) = read_scan(files[0])
    assert scan.provenance == layers[0].metadata["brgm"]
    again = viewer.open(files[0], plugin="napari-brgm")
    assert [layer.metadata["brgm"]["role"] for layer in again] == ["restored", "variance"]
    assert viewer.canvas.overlays["text"].visible if hasattr(viewer, "canvas") else viewer.text_overlay.visible
    for layer in again:
        viewer.layers.remove(layer)

    widget.result.value = alone  # no run
    click(widget.save_button)
    qtbot.waitUntil(lambda: widget.task is None, timeout=20000)
    assert (tmp_path / "out" / "head_desc-brgmInpaint2Estimate_image.nii.gz").is_file()


def test_what_dicom_cannot_hold_is_told(window, click, qtbot, said, tmp_path: Path, monkeypatch) -> None:
    """Catches restored values that are cut off in silence: an implant of 10^6 HU that comes out as 31743."""
    viewer, widget = window("Save with provenance")
    warned: list[str] = []
    monkeypatch.setattr(background, "show_warning", warned.append)
    (scan,) = read_scan(get_testdata_file("CT_small.dcm", download=False))
    array = scan.array.copy()
    array[5, 5:8] = 1e6
    record = RECORD | {"role": "restored", "run": "abc"}
    data, settings, _ = image_layer(replace(scan, array=array, provenance=record, name="restored | head"))
    widget.result.value = viewer.add_image(data, **settings)
    widget.format.value, widget.folder.value = "dicom", tmp_path / "out"
    click(widget.save_button)
    qtbot.waitUntil(lambda: widget.task is None, timeout=20000)
    assert said == [] and "saved the result as dicom" in widget.status.text().lower()
    (sentence,) = warned
    assert sentence.startswith("3 restored pixels of 'restored | head'") and "NIfTI" in sentence


def test_refusals_are_sentences(window, click, qtbot, said, tmp_path: Path) -> None:
    viewer, widget = window("Save with provenance")
    click(widget.save_button)
    assert "no result" in said[-1]
    layer = add(viewer, "restored")
    click(widget.save_button)
    assert "no folder is chosen" in said[-1].lower()
    file = tmp_path / "file"
    file.touch()
    widget.folder.value = file
    click(widget.save_button)
    assert "is a file" in said[-1]
    widget.folder.value = tmp_path / "out"
    widget.format.value = "dicom"
    click(widget.save_button)
    qtbot.waitUntil(lambda: widget.task is None, timeout=20000)
    assert "save it as NIfTI instead" in said[-1]
    assert not (tmp_path / "out").exists()
    viewer.layers.remove(layer)
    assert widget.result.value is None
