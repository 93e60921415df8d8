"""Imported networks of every published layout restore in the window, and the layers say what they are.

In-painting with each; super-resolution with a gray one and with those whose colours are alike and are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from published_layouts import SEEN_THROUGH, files, scan

from napari_brgm.plugin.restore import choices
from napari_brgm.settings import settings_for
from napari_brgm.zoo.install import import_file

if TYPE_CHECKING:
    from pathlib import Path

FACTOR = 8


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of a person who has imported a file of each layout, under the layout's name."""
    home, files_at = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NAPARI_BRGM_HOME", str(home))
        for layout, (name, content) in files().items():
            (files_at / name).write_bytes(content)
            import_file(files_at / name, layout)
    return home


@pytest.fixture(autouse=True)
def home(imported: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of an empty one."""
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(imported))
    return imported


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "settings_for", lambda *a: settings_for(*a).but(steps=3))


@pytest.fixture
def restored(qtbot, click):
    """``restored(viewer, widget, layout)``: the layers of a run with that prior, by role; its note of colours is on
    show."""

    def run(viewer, widget, layout: str) -> dict:
        widget.prior.value, widget.device.value = layout, "cpu"
        widget.samples.value, widget.with_std.value = 8, True
        before = set(viewer.layers)
        click(widget.run_button)
        assert widget.worker is not None, widget.status.text()
        qtbot.waitUntil(lambda: widget.worker is None, timeout=60_000)
        added = [layer for layer in viewer.layers if layer not in before]
        assert len(added) == 3, widget.status.text()
        for layer in added:
            assert not getattr(layer, "rgb", False) and " | " in layer.name
            assert layer.metadata["brgm"]["notice"].startswith("Synthetic")
            assert layer.metadata["brgm"]["prior"]["name"] == layout
        through, told = SEEN_THROUGH[layout], widget.advice.text()
        assert f"it is seen through {through}" in told if through else "seen" not in told
        for layer in added:  # nothing is said of a result that is taken away
            viewer.layers.remove(layer)
        assert "seen" not in widget.advice.text()
        return {layer.metadata["brgm"]["role"]: np.asarray(layer.data) for layer in added}

    return run


def test_each_layout_in_paints(window, restored) -> None:
    viewer, widget = window("In-paint")
    image = scan(36, 40)
    missing = np.zeros(image.shape, np.uint8)
    missing[12:24, 14:27] = 1
    widget.image.value = viewer.add_image(image, name="scan", scale=(2, 2), units="mm")
    viewer.add_labels(missing, scale=(2, 2), units="mm")
    assert set(SEEN_THROUGH) <= set(widget.prior.choices)
    for layout in ("ada-gray", "ada-colour", "tensorflow", "rosinality"):  # the shell's tests in-paint with all
        layers = restored(viewer, widget, layout)
        hole = missing > 0
        np.testing.assert_array_equal(layers["restored"][~hole], image[~hole], err_msg=layout)
        assert np.isfinite(layers["restored"]).all(), layout
        for role in ("std", "variance"):
            hidden = layers[role][hole]
            assert np.isfinite(hidden).all() and (hidden > 0).all(), (layout, role)


def test_gray_and_colour_super_resolve(window, restored) -> None:
    viewer, widget = window("Super-resolve")
    image = scan(10, 12)
    widget.image.value = viewer.add_image(image, name="scan", scale=(16, 16), units="mm")
    widget.way.value, widget.factor.value = "factor", FACTOR
    for layout in ("ada-gray", "ada-colour", "rosinality"):
        layers = restored(viewer, widget, layout)
        std, variance = layers.pop("std"), layers.pop("variance")
        (fine,) = layers.values()
        assert fine.shape == tuple(FACTOR * n for n in image.shape), layout
        means = fine.reshape(image.shape[0], FACTOR, image.shape[1], FACTOR).mean(axis=(1, 3))
        assert np.abs(means - image).max() < 1e-3 * np.ptp(image), layout
        assert np.isfinite(std).all() and (std > 0).all() and (variance > 0).all(), layout
