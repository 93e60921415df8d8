"""The Batch widget with real processes: rows as they end, stopped and gone on with, found again, results opened."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_brgm.plugin.batch.process import BatchWish, last_batch
from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.install import import_file

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 120_000  # ms: processes import torch
AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def tiny(random_stylegan2, tmp_path) -> str:
    """An installed prior of 32 px."""
    write_prior(random_stylegan2, tmp_path / "tiny.safetensors")
    return import_file(tmp_path / "tiny.safetensors", "tiny").name


@pytest.fixture
def scans(random_stylegan2, tmp_path) -> Path:
    """Two scans of two slices with masks, and one that is broken."""
    folder = tmp_path / "scans"
    folder.mkdir()
    images = random_stylegan2.sample(4, seed=9)[:, 0].numpy() * 100 + 200
    for number in range(2):
        volume = np.moveaxis(images[2 * number : 2 * number + 2], 0, 2).astype(np.float32)
        mask = np.zeros(volume.shape, np.uint8)
        mask[8:13, 9:14] = 1
        nib.save(nib.Nifti1Image(volume, AFFINE), folder / f"s{number}.nii.gz")
        nib.save(nib.Nifti1Image(mask, AFFINE), folder / f"s{number}_mask.nii.gz")
    (folder / "broken.nii.gz").write_bytes(b"no scan")
    (folder / "broken_mask.nii.gz").write_bytes((folder / "s0_mask.nii.gz").read_bytes())
    return folder


@pytest.fixture
def filled(window, qtbot, tiny, tmp_path, monkeypatch):
    """``filled()``: a viewer and the widget, told of prior and results; one process, three steps a slice."""
    asked = BatchWish.arguments
    quick = ["batch", "--processes", "1"]
    monkeypatch.setattr(BatchWish, "arguments", lambda wish: [*quick, *asked(wish)[1:], "--steps", "3"])

    def make(show: bool = False):
        viewer, widget = window("Batch", show=show)
        qtbot.waitUntil(lambda: tiny in widget.prior.choices, timeout=PATIENCE)
        widget.prior.value, widget.samples.value, widget.out.value = tiny, 2, tmp_path / "out"
        return viewer, widget

    return make


def ended(widget, qtbot) -> None:
    qtbot.waitUntil(lambda: widget.task is None and widget.start_button.isEnabled(), timeout=PATIENCE)


def test_a_folder_is_restored_and_its_results_open(filled, scans, tmp_path, qtbot, click, picture):
    viewer, widget = filled(show=True)
    widget.scans.value = widget.masks.value = scans
    click(widget.start_button)
    assert not widget.start_button.isEnabled() and not widget.cancel_button.isHidden()
    qtbot.waitUntil(lambda: widget.table.rowCount() == 3, timeout=PATIENCE)
    ended(widget, qtbot)
    assert widget.status.text() == "2 of 3 restored, 1 failed: the table says why"
    name, state, _, reason = widget.table.texts("broken")
    assert (name, state) == ("broken", "failed") and reason.startswith("broken.nii.gz")
    assert widget.table.texts("s1")[1] == "done" and widget.table.texts("s1")[2].endswith(" s")
    picture(viewer, "batch-done", (1280, 720))

    at = next(i for i in range(3) if widget.table.item(i, 0).text() == "s1")
    place = widget.table.visualItemRect(widget.table.item(at, 0)).center()
    qtbot.mouseClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(widget.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    roles = {layer.metadata.get("brgm", {}).get("role", "restored") for layer in viewer.layers}
    assert {"restored", "variance"} <= roles
    assert all("s1" in layer.name for layer in viewer.layers)

    count = len(viewer.layers)
    broken = next(i for i in range(3) if widget.table.item(i, 0).text() == "broken")
    widget.table.cellDoubleClicked.emit(broken, 0)
    assert len(viewer.layers) == count
    private = [path for path in (tmp_path / "out").rglob("*") if path.stat().st_mode & 0o077]
    assert private == []


def test_it_goes_on_without_the_window_is_found_again_stopped_and_gone_on_with(filled, scans, window, tmp_path, qtbot):
    """Catches a batch that ends with napari, or begins anew; there are more rows than can be done meanwhile."""
    rows, count = tmp_path / "rows.csv", 40
    lines = [f"{scans}/s0.nii.gz,{scans}/s0_mask.nii.gz,r{k},0" for k in range(count)]
    rows.write_text("\n".join(["scan,mask,name,index", *lines]))
    _, first = filled()
    first.source.value, first.job.value = "job", rows
    first.start()
    qtbot.waitUntil(lambda: first.table.rowCount() == count and first.table.texts("r0")[1] == "done", timeout=PATIENCE)
    first.close()
    first.setParent(None)
    assert last_batch().is_running

    _, second = window("Batch")
    assert not second.start_button.isEnabled() and second.job.value == rows and second.table.rowCount() == count
    assert second.table.texts("r0")[1] == "done"
    second.cancel()
    ended(second, qtbot)
    assert second.status.text() == "Stopped; what is finished is kept, and Start goes on"
    states = [second.table.texts(f"r{k}")[1] for k in range(count)]
    assert set(states) == {"done", "waiting"}

    qtbot.waitUntil(lambda: "tiny" in second.prior.choices, timeout=PATIENCE)
    assert second.prior.value == "tiny"
    next_one, time = f"r{states.index('waiting')}", (tmp_path / "out" / "r0").stat().st_mtime_ns
    second.start()
    qtbot.waitUntil(
        lambda: second.table.rowCount() == count and second.table.texts(next_one)[1] == "done", timeout=PATIENCE
    )
    assert second.table.texts("r0")[1] == "done" and (tmp_path / "out" / "r0").stat().st_mtime_ns == time
    second.cancel()
    ended(second, qtbot)


def test_layers_of_the_viewer_become_rows(filled, tmp_path, qtbot, random_stylegan2, click):
    viewer, widget = filled()
    images = random_stylegan2.sample(2, seed=9)[:, 0].numpy() * 100 + 200
    hole = np.zeros((32, 32), np.uint8)
    hole[8:13, 9:14] = 1
    for name, image in zip(("one", "another"), images, strict=True):
        viewer.add_image(image, name=name, scale=(1.0, 1.0), units=("mm", "mm"))
        viewer.add_labels(hole, name=f"{name} artefact mask", scale=(1.0, 1.0), units=("mm", "mm"))
    viewer.add_image(images[0][:20], name="without a mask")
    widget.source.value = "layers"
    click(widget.start_button)
    ended(widget, qtbot)
    assert widget.status.text() == "2 of 2 restored"
    assert {widget.table.item(i, 0).text() for i in range(2)} == {"one", "another"}
    widget.open_result("another")
    restored = next(layer for layer in viewer.layers if "brgm" in layer.metadata)
    data = np.squeeze(restored.data)
    outside = hole == 0
    np.testing.assert_array_equal(data[outside], images[1].astype(np.float32)[outside])
    assert (data[~outside] != images[1][~outside]).all()


def test_what_is_missing_or_wrong_is_said(filled, scans, tmp_path, qtbot, click, sentences):
    viewer, widget = filled(show=True)
    for change, said in (
        (lambda: None, "choose the folder of the scans first"),
        (lambda: setattr(widget.scans, "value", scans), "choose the folder of the masks"),
        (lambda: setattr(widget.source, "value", "job"), "choose the job file first"),
        (lambda: setattr(widget.source, "value", "layers"), "there is no image layer"),
        (lambda: viewer.add_image(np.ones((32, 32))), "no image layer has a mask on its grid"),
    ):
        change()
        click(widget.start_button)
        assert said.lower() in widget.status.text().lower()
    for name in ("a", "b"):
        viewer.add_labels(np.ones((32, 32), np.uint8), name=name)
    click(widget.start_button)
    assert "has several masks ('a', 'b')" in widget.status.text()
    empty = tmp_path / "empty"
    empty.mkdir()
    widget.source.value, widget.scans.value, widget.masks.value = "folder", empty, empty
    click(widget.start_button)
    ended(widget, qtbot)
    assert "No mask in" in widget.status.text() and sentences[-1] == widget.status.text()


def test_a_process_that_was_killed_is_not_taken_for_one_that_works(filled, scans, window, tmp_path, qtbot, home):
    _, widget = filled()
    widget.scans.value = widget.masks.value = scans
    widget.start()
    os.kill(last_batch().process, signal.SIGKILL)
    ended(widget, qtbot)
    assert widget.status.text() == "Stopped; what is finished is kept, and Start goes on"
    record = json.loads((home / "batch.json").read_text())
    (home / "batch.json").write_text(json.dumps(record | {"process": os.getpid()}))  # a number that is another's now
    _, again = window("Batch")
    assert again.start_button.isEnabled() and not last_batch().is_running
    QApplication.processEvents()
