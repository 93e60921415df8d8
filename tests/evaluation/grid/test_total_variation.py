"""Least total variation: known minimisers, and data that are met exactly."""

import numpy as np
import pytest
from scipy import ndimage

from napari_brgm.evaluation.grid.interpolation import block_means
from napari_brgm.evaluation.grid.total_variation import TotalVariation, total_variation
from napari_brgm.evaluation.tasks import Task


def hole(size: int = 32) -> Task:
    missing = np.zeros((size, size), bool)
    missing[12:16, 10:22] = True
    return Task("hole", "hole", missing, size=size)


def test_a_straight_edge_is_continued():
    """The least variation across a hole is that of the edge; a harmonic filling blurs it."""
    truth = np.where(np.arange(32) < 17, 30.0, 200.0) * np.ones((32, 1))
    task = hole()
    found = TotalVariation(steps=2000).restore(np.where(task.missing, 0, truth), task, 0).estimate
    assert np.abs(found - truth).max() < 1.0


def test_variation_by_hand():
    image = np.zeros((8, 8))
    image[:, 4:] = 10
    assert total_variation(image) == pytest.approx(80)


@pytest.mark.parametrize("name", ["hole", "x4"])
def test_data_are_met_and_the_variation_is_less(name):
    rng = np.random.default_rng(3)
    truth = np.clip(ndimage.gaussian_filter(rng.normal(0, 400, (32, 32)), 2) + 128, 0, 255).astype(np.float32)
    task = hole() if name == "hole" else Task("x4", "x4", factor=4, size=32)
    observed = task.observe(truth[None])[0]
    found = TotalVariation(steps=1500).restore(observed, task, 0).estimate
    if name == "hole":
        assert np.array_equal(found[~task.missing], observed[~task.missing])
    else:
        np.testing.assert_allclose(block_means(found, 4), observed, atol=1e-4)
    assert total_variation(found) < total_variation(truth)


def test_an_edge_of_a_jpeg_loses_what_its_weight_says():
    """Halves of 16 columns move towards each other by weight / 16: the derivative of 16 a^2 / (2 weight) - a."""
    step = np.where(np.arange(32) < 16, 50.0, 150.0) * np.ones((32, 1))
    found = TotalVariation(weight=8.0).restore(step, Task("jpeg", "jpeg", size=32, quality=10), 0).estimate
    np.testing.assert_allclose(found[:, [0, 31]], np.array([[50.5, 149.5]]) * np.ones((32, 1)), atol=0.1)


def test_every_task_is_solved():
    assert all(
        TotalVariation().solves(task) for task in (hole(), Task("x2", "x2", factor=2), Task("j", "J", quality=10))
    )
