"""Enlargement: no shift by half a pixel, and block means that come back."""

import numpy as np
import pytest

from napari_brgm.evaluation.grid.interpolation import INTERPOLATIONS, Enlargement, block_means
from napari_brgm.evaluation.tasks import Task, tasks_of_size

X4 = Task("x4", "x4", factor=4, size=64)


def ramp(size: int = 64) -> np.ndarray:
    """Rises by one a row and three a column, at the centres of fine pixels."""
    return np.arange(size)[:, None] + 3.0 * np.arange(size)


@pytest.mark.parametrize(("kernel", "error"), [("bilinear", 1e-9), ("bicubic", 0.8), ("lanczos", 0.8)])
def test_a_ramp_stays_where_it_is(kernel, error):
    """Half a fine pixel of shift is an error of 2; Keys' cubic with a = -0.75 and Lanczos ripple on a ramp."""
    found = Enlargement(kernel).enlarged(block_means(ramp(), 4), 4)
    inner = slice(16, -16)
    apart = (found - ramp())[inner, inner]
    assert np.abs(apart).max() < error and abs(apart.mean()) < 1e-4


def test_the_nearest_is_the_block_itself():
    coarse = np.random.default_rng(0).uniform(0, 255, (8, 8))
    found = Enlargement("nearest").enlarged(coarse, 4)
    assert np.array_equal(found, np.kron(coarse, np.ones((4, 4))))


@pytest.mark.parametrize("method", INTERPOLATIONS, ids=lambda method: method.name)
def test_back_projection_meets_the_observation(method):
    y = np.random.default_rng(1).uniform(0, 255, (16, 16))
    apart = np.abs(block_means(method.restore(y, X4, 0).estimate, 4) - y).max()
    assert (apart < 3) == bool(method.rounds or method.kernel == "nearest")


def test_low_resolution_alone():
    solved = {task.name for task in tasks_of_size(128) if Enlargement("lanczos").solves(task)}
    assert solved == {"x2", "x4", "x8"} and not Enlargement("bicubic").solves(Task("j", "J", quality=10))
    assert len({method.name for method in INTERPOLATIONS}) == len(INTERPOLATIONS)
