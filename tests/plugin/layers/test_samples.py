"""File > Open Sample: each sample opens without a network, in place, and what is drawn is never taken for a patient."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_brgm.plugin.layers import samples
from napari_brgm.plugin.layers.anatomy import plane_of
from napari_brgm.plugin.layers.planes import thick_axis
from napari_brgm.plugin.layers.tag import TAG
from napari_brgm.plugin.restore.matching import best_prior, modality_of
from napari_brgm.zoo.registry import registered

KINDS = {
    "brain_with_artefact": ["image", "labels"],
    "brain_at_low_resolution": ["image"],
    "brain_volume_with_artefacts": ["image", "labels"],
    "brain_in_thick_slices": ["image"],
    "pydicom_mr": ["image"],
    "pydicom_ct": ["image"],
    "drawn_chest_x_ray": ["image"],
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("a sample asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def image(name: str) -> Image:
    data, settings, _ = getattr(samples, name)()[0]
    return Image(data, **settings)


def test_all_are_known_here() -> None:
    assert set(samples.__all__) == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_it_opens_quickly_and_masks_lie_over_their_image(name: str) -> None:
    getattr(samples, name)()  # imports are paid for once
    began = time.process_time()
    found = getattr(samples, name)()
    assert time.process_time() - began < 2
    assert [kind for _, _, kind in found] == KINDS[name]
    data, settings, _ = found[0]
    layer = Image(data, **settings)
    assert np.isfinite(layer.data).all() and layer.contrast_limits[0] < layer.contrast_limits[1]
    for labels_data, labels_settings, _ in found[1:]:
        labels = Labels(labels_data, **labels_settings)
        assert labels.data.shape == layer.data.shape and labels.data.any() and labels.units == layer.units
        last = np.array(layer.data.shape) - 1
        np.testing.assert_allclose(labels.data_to_world(last), layer.data_to_world(last))


def test_artefacts_of_the_volume_cover_brain_in_the_layer_too() -> None:
    """Catches labels that are flipped against their image; the brain is not the same left and right, nor are they."""
    (data, _, _), (labels, settings, _) = samples.brain_volume_with_artefacts()
    assert (data[labels > 0] > 0.05).all()
    rows, columns = (np.flatnonzero((labels == 1).any(axis=axes)).mean() for axes in ((0, 2), (0, 1)))
    assert columns > labels.shape[2] / 2 and rows > 0.4 * labels.shape[1]  # of the left, at the right of the screen
    assert np.flatnonzero((labels == 2).any(axis=(0, 2))).mean() < 0.4 * labels.shape[1]  # at the front, above
    colours = settings["colormap"].color_dict
    assert not np.allclose(colours[1], colours[2])


def test_thick_slices_can_be_refined() -> None:
    layer = image("brain_in_thick_slices")
    axis, distance, finest = thick_axis(layer)
    assert layer.axis_labels[axis] == "A-P" and (distance, finest) == pytest.approx((4, 1))


@pytest.mark.parametrize(("name", "modality"), [("pydicom_mr", "MR"), ("pydicom_ct", "CT")])
def test_files_of_pydicom(name: str, modality: str) -> None:
    layer = image(name)
    assert modality_of(layer) == modality and plane_of(layer, 0, 1) == "axial"
    assert "(pydicom)" in layer.name and str(layer.units[0]) == "millimeter"


def test_the_drawn_x_ray_is_called_synthetic_and_gets_its_prior() -> None:
    layer = image("drawn_chest_x_ray")
    assert layer.name.startswith("drawn | chest X-ray")
    record = layer.metadata["brgm"]
    assert record["role"] == "drawn" and "ynthetic" in record["notice"] and record["prior"]["name"] == "chest-xray-256"
    assert tuple(layer.axis_labels) == ("S-I", "R-L")
    assert {str(unit) for unit in layer.units} == {"pixel"}  # nobody's, so of no size
    match = best_prior(registered(), modality_of(layer), plane_of(layer, 0, 1) or "", None)
    assert match is not None and match.prior == "chest-xray-256"
    np.testing.assert_array_equal(layer.data, image("drawn_chest_x_ray").data)  # seeded
    assert 20 < layer.data.std() < 100 and layer.data[200:].mean() > layer.data[:30].mean()  # head up


def test_in_the_window(window, fake_engine) -> None:
    """The X-ray can be chosen as an image, with its prior, and the canvas says that it is synthetic."""
    viewer, widget = window("In-paint")
    (layer,) = viewer.open_sample("napari-brgm", "chest-xray-drawn")
    assert widget.image.value is layer and widget.prior.value == "chest-xray-256"
    assert TAG in viewer.canvas.overlays["text"].text
    viewer.layers.clear()
    assert TAG not in viewer.canvas.overlays["text"].text
    for key in ("brain-volume", "brain-thick-slices", "pydicom-mr", "pydicom-ct"):
        assert viewer.open_sample("napari-brgm", key)
    assert widget.label.get_choice("only 1") == 1 and widget.label.get_choice("only 2") == 2
