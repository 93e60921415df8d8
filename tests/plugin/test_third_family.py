"""A family of priors that no widget was written for is offered, run and drawn from like the others."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch

from napari_brgm.plugin.restore import choices
from napari_brgm.settings import settings_for
from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.install import import_file


@pytest.fixture
def installed(toy_family, tmp_path, monkeypatch) -> str:
    """Name of the toy, installed as a person installs weights; no others are there."""
    empty = tmp_path / "shipped"
    empty.mkdir()
    (empty / "registry.json").write_text("{}")
    monkeypatch.setattr(import_module("napari_brgm.zoo.registry"), "weights_folder", lambda: empty)
    write_prior(toy_family.bumps(), tmp_path / "bumps.safetensors", torch.float32)
    return import_file(tmp_path / "bumps.safetensors", "mine").name


@pytest.fixture
def short(monkeypatch) -> None:
    monkeypatch.setattr(choices, "settings_for", lambda *a: settings_for(*a).but(steps=3))


def test_it_is_chosen_and_restores(toy_family, installed, window, qtbot, click, short) -> None:
    viewer, widget = window("In-paint")
    image = (toy_family.bumps().sample(1, seed=4)[0, 0].numpy() + 1) * 127.5
    source = viewer.add_image(image, name="scan", scale=(2, 2), units="mm")
    missing = np.zeros(image.shape, np.uint8)
    missing[12:18, 14:20] = 1
    viewer.add_labels(missing, scale=(2, 2), units="mm")
    assert widget.prior.choices == (installed, "deep-image")
    widget.image.value, widget.device.value, widget.samples.value = source, "cpu", 2
    widget.prior.value = installed
    before = set(viewer.layers)
    click(widget.run_button)
    assert widget.worker is not None, widget.status.text()
    qtbot.waitUntil(lambda: widget.worker is None, timeout=60_000)
    restored, variance = [layer for layer in viewer.layers if layer not in before]
    assert restored.metadata["brgm"]["prior"]["name"] == installed
    kept = missing == 0
    np.testing.assert_array_equal(restored.data[kept], image[kept])
    assert (variance.data[~kept] > 0).all() and np.isfinite(restored.data).all()
