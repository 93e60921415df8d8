"""Windows round the holes of a stack: the same for all its slices, from one part of a long stack to the next."""

from __future__ import annotations

import numpy as np
import pytest

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine import observed, run_stack, stacked
from napari_brgm.engine.volume import restore_volume
from napari_brgm.settings import preset

PLAIN = preset("default").but(fit_pose=False, steps=2)
SLICES = 26  # two parts, the second one given what was drawn of the first


@pytest.fixture
def seen(monkeypatch) -> list:
    """Windows of each part of a stack, as they are told; near holes, as the frame is a small one."""
    monkeypatch.setattr(observed, "_MARGIN", 4.0)
    found: list = []

    class Told(stacked.StackedRestoring):
        def __init__(self, *given, **options):
            super().__init__(*given, **options)
            found.append(self.near)

    monkeypatch.setattr(run_stack, "StackedRestoring", Told)
    return found


def holes() -> np.ndarray:
    """Small ones, which move a little from slice to slice."""
    missing = np.zeros((SLICES, 24, 24), dtype=bool)
    for i in range(2, SLICES - 2):
        missing[i, 9:12, 8 + i % 2 : 11 + i % 2] = True
    return missing


def test_a_long_stack_is_that_of_the_whole_frame(seen, stack_prior, stack_of, monkeypatch):
    """Catches a field that is not known where the next part has its holes, and slices that are cut apart."""
    truth, missing = stack_of(SLICES, seed=3), holes()
    options = {"spacing": (1.0, 1.5, 1.5), "settings": PLAIN, "samples": 3}
    near = restore_volume(truth, Mask(missing), stack_prior, **options)
    assert len(seen) == 2
    assert [len(one) for one in seen] == [1, 1]
    assert seen[0] == seen[1]
    assert seen[0][0].side == 12
    monkeypatch.setattr(run_stack, "stack_near", lambda *of: ())
    whole = restore_volume(truth, Mask(missing), stack_prior, **options)
    assert seen[-1] == ()
    for a, b in ((near.estimate, whole.estimate), (np.asarray(near.samples), np.asarray(whole.samples))):
        apart = np.abs(a - b)[..., missing]
        assert 0 < apart.max() < 1.5
        assert np.sqrt(np.mean(apart**2)) < 0.3
    assert np.asarray(whole.samples).std(axis=0)[missing].mean() > 1


def test_what_is_no_hole_has_no_windows(seen, stack_prior, stack_of):
    """Slices that were not measured at all, and coarse ones."""
    truth, missing = stack_of(6, seed=4), holes()[:6]
    missing[3] = True
    options = {"spacing": (1.0, 1.5, 1.5), "settings": PLAIN, "samples": 0}
    restore_volume(truth, Mask(missing), stack_prior, **options)
    coarse = truth.reshape(6, 12, 2, 12, 2).mean(axis=(2, 4))
    restore_volume(coarse, Downsample((1, 2, 2)), stack_prior, **{**options, "spacing": (1.0, 3.0, 3.0)})
    assert seen == [(), ()]
