"""Changing the prior, of whatever family, must ask for no other change; what a prior cannot do is not offered."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest
import torch

from napari_brgm.plugin import prior_panel
from napari_brgm.plugin.restore import choices
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import latent_map
from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
from napari_brgm.settings import settings_for
from napari_brgm.zoo.files import write_prior

OWN_FRAME = "deep-image"  # trained on nothing
PRIORS = ["toy-stylegan2", "toy-lcm", OWN_FRAME]


@pytest.fixture(scope="module")
def files(tmp_path_factory, random_stylegan2):
    """A folder of weights with a registry: one prior of each family."""
    folder = tmp_path_factory.mktemp("weights")
    generator = torch.Generator().manual_seed(0)
    phi = latent_map("convolutional")
    statistics = LowRankStatistics(phi.start(generator), 1e-3 * torch.randn(3, phi.size, generator=generator))
    lcm = ConvolutionalManifold(
        phi, Hourglass(trunk=(8, 8), fine=(), skip=2), statistics, PriorInfo("toy-lcm", spacing_mm=2.0)
    )
    entries = {}
    for name, prior in (("toy-stylegan2", random_stylegan2), ("toy-lcm", lcm)):
        digest = write_prior(prior, folder / f"{name}.safetensors")
        entries[name] = {"file": f"{name}.safetensors", "sha256": digest, "title": f"Title of {name}"}
    (folder / "registry.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture(autouse=True)
def registry(files, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(import_module("napari_brgm.zoo.registry"), "weights_folder", lambda: files)


@pytest.fixture
def short(monkeypatch) -> None:
    """Two steps of each inference."""
    monkeypatch.setattr(choices, "settings_for", lambda *a: settings_for(*a).but(steps=2, window=2))


def bright(size: int = 32) -> np.ndarray:
    image = np.random.default_rng(0).normal(5, 0.1, (size, size)).astype(np.float32)
    image[8:24, 10:22] += 60
    return image


def test_each_prior_does_each_task_and_only_the_name_changes(window, qtbot, click, short) -> None:
    """Switched in one widget of each task: the layers that come are of the same names, shapes and places."""
    viewer, paint = window("In-paint")
    _, clean = viewer.window.add_plugin_dock_widget("napari-brgm", "Clean up")
    source = viewer.add_image(bright(), name="scan", scale=(2, 2), units="mm")
    mask = viewer.add_labels((bright() > 60).astype(np.uint8) * (np.arange(32) < 14), scale=(2, 2), units="mm")
    assert tuple(paint.prior.choices) == ("toy-stylegan2", "toy-lcm", OWN_FRAME)  # by rank
    for widget in (paint, clean):
        widget.image.value, widget.device.value, widget.samples.value = source, "cpu", 2
        for name in PRIORS:
            before = set(viewer.layers)
            widget.prior.value = name
            click(widget.run_button)
            assert widget.worker is not None, widget.status.text()
            qtbot.waitUntil(lambda widget=widget: widget.worker is None, timeout=60_000)
            made = [layer for layer in viewer.layers if layer not in before]
            assert len(made) == 2, widget.status.text()
            restored, variance = made
            assert restored.data.shape == variance.data.shape == source.data.shape
            assert restored.metadata["brgm"]["prior"]["name"] == name or name == "toy-stylegan2"
            assert np.isfinite(restored.data).all() and restored.units == source.units
            if widget is paint:
                kept = mask.data == 0
                np.testing.assert_array_equal(restored.data[kept], source.data[kept])
            else:
                assert variance.data.any() and (restored.data != source.data).mean() > 0.5


def test_the_untrained_prior_is_last_and_says_when_to_use_it(window) -> None:
    _, widget = window("In-paint")
    box = widget.prior.native
    assert box.itemText(box.count() - 1) == "none: deep image prior (untrained)"
    widget.prior.value = "toy-lcm"
    assert widget.prior.tooltip == "Title of toy-lcm" and widget.hint.isHidden()
    widget.prior.value = OWN_FRAME
    assert not widget.hint.isHidden()
    assert "no anatomy" in widget.hint.text() and "lower bound" in widget.prior.tooltip


def test_vi_is_offered_where_there_is_a_density(window) -> None:
    _, widget = window("Super-resolve")
    widget.prior.value, widget.method.value = "toy-lcm", "vi"
    widget.prior.value = OWN_FRAME
    assert (widget.method.choices, widget.method.value) == (("map",), "map")
    assert "Only MAP is offered" in widget.hint.text() and "Only MAP is offered" in widget.method.tooltip
    widget.refresh_priors()  # as the Weights widget does
    assert widget.method.value == "map" and widget.prior.value == OWN_FRAME
    widget.prior.value = "toy-stylegan2"
    assert (widget.method.choices, widget.method.value) == (("map", "laplace", "vi"), "vi")


def test_where_nothing_else_is_there_the_untrained_prior_is_chosen(window, monkeypatch) -> None:
    only = {OWN_FRAME: prior_panel.offered_priors()[OWN_FRAME]}
    monkeypatch.setattr(prior_panel, "offered_priors", lambda: only)
    _, widget = window("In-paint")
    assert widget.prior.value == OWN_FRAME and widget.method.choices == ("map",)
