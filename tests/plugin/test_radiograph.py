"""A radiograph as it comes from the detector, in a real window: two strokes of the mouse, restored in bounded memory.

With BRGM_SCREENSHOTS naming a folder, each station leaves a picture there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from napari_brgm.plugin.layers.tag import TAG
from napari_brgm.zoo.registry import load_prior

LONG = 400_000  # ms
ROWS, COLUMNS = 2500, 2000
MOST = 1.5  # GB, beside what the window and its layers had before the run


@pytest.fixture
def radiograph(tmp_path: Path) -> Path:
    """A chest that is nobody's, drawn by the prior, as a detector of 0.15 mm writes it: 12 bits, noise, borders."""
    small = load_prior("chest-xray-256").sample(1, 5)
    fine = torch.nn.functional.interpolate(small, (ROWS, COLUMNS), mode="bicubic")[0, 0].numpy()
    noise = np.random.default_rng(0).normal(0, 12, fine.shape)
    pixels = np.clip(400 + 1500 * (fine + 1) / 2 + noise, 0, 4095).astype(np.uint16)
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID = file.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"  # digital X-ray
    file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(), generate_uid()
    file.Modality, file.BodyPartExamined, file.ViewPosition = "DX", "CHEST", "PA"
    file.PatientOrientation, file.ImagerPixelSpacing = ["L", "F"], [0.15, 0.15]
    file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.PixelData = pixels.tobytes()
    file.save_as(tmp_path / "chest.dcm", enforce_file_format=True)
    return tmp_path / "chest.dcm"


def resident(key: str) -> float:
    """GB of this process: 'VmRSS' now, 'VmHWM' at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 2**20


def test_two_strokes_on_a_full_radiograph(window, qtbot, click, picture, stroke, hover, radiograph: Path) -> None:
    viewer, widget = window("In-paint", show=True)
    (image,) = viewer.open(radiograph, plugin="napari-brgm")
    assert image.data.shape[-2:] == (ROWS, COLUMNS)
    assert widget.prior.value == "chest-xray-256", widget.reason.text()
    widget.device.value, widget.quality.value, widget.with_samples.value = "cpu", "preview", True
    viewer.window._qt_window.resize(1280, 720)
    viewer.reset_view()
    qtbot.wait(300)
    click(widget.paint_button.native)
    labels = viewer.layers[-1]
    labels.brush_size = 40
    front = tuple(viewer.dims.current_step[:-2]) if image.ndim > 2 else ()
    for ends in (((700, 600), (1100, 650)), ((1500, 500), (1480, 1500))):
        stroke(viewer, labels, [(*front, *end) for end in ends])
    hole = np.asarray(labels.data) > 0
    assert 0.002 < hole.mean() < 0.05, "the strokes of the mouse did not paint"
    labels.mode = "pan_zoom"
    picture(viewer, "radiograph-painted")

    before, pixels = resident("VmRSS"), np.array(image.data)
    if (clear := Path("/proc/self/clear_refs")).exists():
        clear.write_text("5")  # what follows counts its own peak
    click(widget.run_button)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=LONG)
    assert resident("VmHWM") - before < MOST
    restored = next(layer for layer in viewer.layers if layer.name.startswith("restored"))
    variance = next(layer for layer in viewer.layers if layer.name.startswith("variance"))
    np.testing.assert_array_equal(np.asarray(restored.data)[~hole], pixels[~hole])
    assert (np.asarray(variance.data)[hole] > 0).all() and not np.asarray(variance.data)[~hole].any()
    assert TAG in viewer.canvas.overlays["text"].text
    rim = np.abs(np.asarray(restored.data, float)[hole] - pixels[hole])
    assert np.median(rim) < 100  # the prior drew it, and 12 of it is noise

    # its samples are made one at a time, when they are looked at
    samples = next(layer for layer in viewer.layers if layer.name.startswith("samples"))
    assert samples.data.shape == (32, *pixels.shape[-2:]) and not isinstance(samples.data, np.ndarray)
    one = np.asarray(samples.data[3])
    np.testing.assert_array_equal(one[~hole.reshape(one.shape)], pixels[~hole].astype(np.float32))
    samples.visible = True
    viewer.dims.set_current_step(0, 7)
    qtbot.wait(300)
    assert resident("VmHWM") - before < MOST
    samples.visible = labels.visible = variance.visible = False
    picture(viewer, "radiograph-restored")
    variance.visible = True
    viewer.layers.selection.active = restored
    hover(viewer, restored, (*front, 900, 625))
    qtbot.wait(200)
    for theme in ("light", "dark"):
        viewer.theme = theme
        picture(viewer, f"radiograph-{theme}")
