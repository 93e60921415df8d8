"""Whether a hole shows by its grain: the ratio itself, and scans that are finer than the frame."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_brgm.corruptions import Frame
from napari_brgm.evaluation import detail
from napari_brgm.evaluation.detail import Grain, _reached, grain_of, native_grain


def test_the_ratio_is_that_of_energies():
    """Catches a ring that the filling reaches into."""
    rng = np.random.default_rng(0)
    original = 100 + rng.normal(0, 5, (90, 90))
    original[:, 80:] = 0  # air
    hidden = np.zeros((90, 90), dtype=bool)
    hidden[20:70, 15:60] = True
    assert grain_of(original, original, hidden) == pytest.approx(1, rel=0.1)
    assert grain_of(np.where(hidden, 100.0, original), original, hidden) < 0.1
    rough = np.where(hidden, 100 + 2 * rng.normal(0, 5, (90, 90)), original)
    assert grain_of(rough, original, hidden) == pytest.approx(4, rel=0.15)
    left = np.broadcast_to(np.arange(90)[None] < 35, hidden.shape)
    half_rough = np.where(left, original, rough)
    assert grain_of(half_rough, original, hidden, left) == pytest.approx(1, rel=0.15)


def test_what_a_fitted_frame_does_not_reach_is_not_counted():
    """Catches the step to the black beyond it, which is no grain: it was half of a film's energy."""
    frame = Frame((40, 60), 24, (0.5, 0.5), (19.5, 29.5), (11.5, 11.5))
    reached = _reached(SimpleNamespace(provenance={"frame": frame.describe()}))
    assert reached.shape == (40, 60)
    assert reached[:, 18:42].all() and not reached[:, :8].any() and not reached[:, 52:].any()


def test_shares_within_the_limit():
    assert Grain.within(np.array([0.84, 0.86, 1.14, 1.16])) == 0.5
    assert Grain.middle(np.array([1.0, 3.0, 2.0])) == 2.0


def test_scans_are_finer_than_the_frame(monkeypatch, linear_prior, tmp_path):
    """Those of the finest set of the same images; enlarged where the prior's own is the finest."""
    read = []

    def held(name, folder, side, spacing):
        images = np.full((3, 1, side, side), 0.5, np.float32) + np.random.default_rng(0).normal(
            0, 0.02, (3, 1, side, side)
        )
        framing = SimpleNamespace(resolution=side, spacing_mm=spacing)
        slices = SimpleNamespace(images=images.astype(np.float32), white=1.0)
        return SimpleNamespace(
            folder=folder, framing=framing, read=lambda data, part: read.append((name, part)) or slices
        )  # fmt: skip

    sets = (held("coarse", "one", 24, 1.5), held("fine", "one", 48, 0.75), held("else", "two", 96, 0.4))
    monkeypatch.setattr(detail, "SETS", sets)
    monkeypatch.setattr(detail, "_WIDTH", (0.3, 0.4))
    seen = []
    for own, side, simulated in ((sets[0], 48, False), (sets[1], 192, True)):
        monkeypatch.setattr(detail, "set_of", lambda prior, own=own: own)
        found = native_grain(
            linear_prior, tmp_path, 2, 2, show=lambda scan, hidden, result: seen.append((scan, hidden, result))
        )
        assert read[-1] == ("fine", "validation")
        assert seen[-1][0].shape == (side, side) and found.simulated is simulated
        assert len(found.samples) == len(found.truth) == 2
        scan, hidden, result = seen[-1]
        np.testing.assert_array_equal(result.estimate[~hidden], scan[~hidden])
