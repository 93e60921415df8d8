"""Holes that are filled while they are painted: what a run would say of them, by the prior's line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.live import LiveSlice
from napari_brgm.engine.restore import restore
from napari_brgm.errors import Cancelled, InputError
from napari_brgm.likelihood import to_grey
from napari_brgm.settings import preset


def test_it_is_what_a_run_of_a_linear_prior_says(linear_prior, scan, hole):
    """Catches another noise, another alignment or another scale of the spread than a run's."""
    live = LiveSlice(scan, linear_prior, None, preset(linear_prior.info.preset))
    part = hole.copy()
    part[: np.flatnonzero(hole.any(axis=1))[0] + 3] = False
    live.place(hole)
    live.fill(part)
    found = live.fill(hole)
    run = restore(scan, Mask(hole), linear_prior, samples=400)
    assert found.estimate.dtype == run.estimate.dtype
    np.testing.assert_array_equal(found.estimate[~hole], scan[~hole])
    span = np.ptp(scan)
    assert np.abs(found.estimate - run.estimate)[hole].max() < 0.02 * span
    assert run.std[hole].mean() > 0
    assert found.std[hole].mean() == pytest.approx(run.std[hole].mean(), rel=0.2)
    assert (found.std[~hole] == 0).all()


def test_strokes_and_one_mask_fill_alike_and_twice_alike(brain_prior):
    image = to_grey(brain_prior.sample(1, seed=3))[0, 0].numpy()
    masks = []
    for bottom in (50, 58, 66):
        mask = np.zeros(image.shape, dtype=bool)
        mask[44:bottom, 50:74] = True
        masks.append(mask)
    settings = preset(brain_prior.info.preset)
    painted, whole = (LiveSlice(image, brain_prior, None, settings) for _ in range(2))
    for mask in masks:
        found = painted.fill(mask)
    whole.place(masks[0])
    other = whole.fill(masks[-1])
    np.testing.assert_allclose(found.estimate, other.estimate, atol=0.5)
    np.testing.assert_array_equal(painted.fill(masks[-1]).estimate, found.estimate)
    assert np.ptp(found.estimate[masks[-1]]) > 10


def test_it_says_when_placing_again_is_worth_it(linear_prior, scan, hole):
    live = LiveSlice(scan, linear_prior, None, preset(linear_prior.info.preset))
    one = np.zeros_like(hole)
    one[tuple(np.argwhere(hole)[0])] = True
    live.fill(one)
    assert live.outgrown(hole)
    live.place(hole)
    assert not live.outgrown(hole)
    elsewhere = np.roll(hole, hole.shape[0] // 2, axis=0)  # as many pixels
    assert not (elsewhere & hole).any() and live.outgrown(elsewhere)


def test_the_spread_is_that_of_the_last_mask_where_the_alignment_is_given(linear_prior, scan, hole):
    settings, alignment = preset(linear_prior.info.preset), Alignment(0, 0, 1, 0, low=0, high=float(scan.max()))
    kept = LiveSlice(scan, linear_prior, None, settings, alignment)
    one = np.zeros_like(hole)
    one[tuple(np.argwhere(hole)[0])] = True
    kept.fill(one)
    assert not kept.outgrown(hole)
    fresh = LiveSlice(scan, linear_prior, None, settings, alignment)
    np.testing.assert_allclose(kept.fill(hole).std, fresh.fill(hole).std, rtol=1e-3)


def test_it_can_be_stopped_and_goes_on_rightly(linear_prior, scan, hole):
    def stop() -> None:
        raise Cancelled("enough")

    settings = preset(linear_prior.info.preset)
    live, other = (LiveSlice(scan, linear_prior, None, settings) for _ in range(2))
    part = hole.copy()
    part[tuple(np.argwhere(hole)[0])] = False
    live.fill(part)
    with pytest.raises(Cancelled):
        live.fill(hole, stop)
    other.fill(part)
    np.testing.assert_allclose(live.fill(hole).estimate, other.fill(hole).estimate, atol=1e-3 * np.ptp(scan))


def test_a_prior_without_a_line_is_refused(with_parts, linear_prior, scan):
    with pytest.raises(InputError, match="no linear part"):
        LiveSlice(scan, with_parts(linear_prior, line=None), None, preset("default"))


def test_nothing_of_it_asks_for_gradients(linear_prior, scan, hole):
    live = LiveSlice(scan, linear_prior, None, preset(linear_prior.info.preset))
    with torch.enable_grad():
        found = live.fill(hole)
    assert isinstance(found.estimate, np.ndarray)
