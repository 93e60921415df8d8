"""Runs are taken back one after the other, and brought again in the reverse order, within a bound of memory."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_brgm.plugin.layers import history
from napari_brgm.plugin.layers.history import history_of


@pytest.fixture
def viewer() -> ViewerModel:
    """A scan, and three runs of two layers."""
    found = ViewerModel()
    found.add_image(np.zeros((8, 8)), name="scan")
    for number in range(3):
        layers = [found.add_image(np.ones((8, 8)), name=f"{role} {number}") for role in ("restored", "variance")]
        history_of(found).add(layers)
    return found


def names(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_all_runs_come_again(viewer: ViewerModel) -> None:
    before, own = names(viewer), history_of(viewer)
    for left in (5, 3, 1, 1):
        own.take_back()
        assert names(viewer) == before[:left]
    assert viewer.status == "there is no run to take back"
    for there in (3, 5, 7, 7):
        own.bring_again()
        assert names(viewer) == before[:there]
    assert viewer.status == "there is no run to bring again"
    own.take_back()
    assert names(viewer) == before[:5]


def test_a_new_run_ends_those_taken_back(viewer: ViewerModel) -> None:
    own = history_of(viewer)
    own.take_back()
    own.take_back()
    own.add([viewer.add_image(np.ones((8, 8)), name="restored 4")])
    before = names(viewer)
    own.bring_again()
    assert names(viewer) == before


def test_large_ones_are_let_go_but_for_the_last(viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch) -> None:
    size = 2 * 8 * 8 * 8
    for most, kept in ((2 * size, 2), (size - 1, 1)):
        monkeypatch.setattr(history, "_MOST_BYTES", most)
        own = history_of(viewer)
        for _ in range(3):
            own.take_back()
        for _ in range(3):
            own.bring_again()
        assert len(viewer.layers) == 1 + 2 * kept
        for number in range(3 - kept):
            own.add([viewer.add_image(np.ones((8, 8)), name=f"more {number} {i}") for i in range(2)])
