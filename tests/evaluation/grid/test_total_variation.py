"""Least total variation: known minimisers, and data that are met exactly."""

import numpy as np
import pytest
import scipy.fft

from napari_brgm.corruptions import Jpeg
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


@pytest.mark.parametrize("name", ["hole", "x4", "jpeg"])
def test_data_are_met_and_the_variation_is_less(name):
    rng = np.random.default_rng(3)
    truth = np.clip(scipy.ndimage.gaussian_filter(rng.normal(0, 400, (32, 32)), 2) + 128, 0, 255).astype(np.float32)
    task = {
        "hole": hole(), "x4": Task("x4", "x4", factor=4, size=32), "jpeg": Task("jpeg", "jpeg", size=32, quality=10),
    }[name]  # fmt: skip
    observed = task.observe(truth[None])[0]
    found = TotalVariation(steps=1500, share=0.5).restore(observed, task, 0).estimate
    if name == "hole":
        assert np.array_equal(found[~task.missing], observed[~task.missing])
    elif name == "x4":
        np.testing.assert_allclose(block_means(found, 4), observed, atol=1e-4)
    else:
        apart = (found - observed).reshape(4, 8, 4, 8).transpose(0, 2, 1, 3)
        steps = np.abs(scipy.fft.dctn(apart, axes=(2, 3), norm="ortho")) / Jpeg(10).steps.reshape(8, 8)
        assert 0.4 < steps.max() < 0.5 + 1e-9
    assert total_variation(found) < total_variation(truth)


def test_a_jpeg_loses_its_blocks():
    """A flat image with one bright square: nearer to the truth after than before."""
    truth = np.full((32, 32), 60.0, np.float32)
    truth[9:23, 9:23] = 180
    task = Task("jpeg", "jpeg", size=32, quality=10)
    observed = task.observe(truth[None])[0]
    found = TotalVariation().restore(observed, task, 0).estimate
    assert np.square(found - truth).mean() < 0.5 * np.square(observed - truth).mean()


def test_every_task_is_solved():
    assert all(TotalVariation().solves(task) for task in (hole(), Task("x2", "x2", factor=2)))
