"""Rivals that are settings of ``restore``: what each lets go, and that it runs."""

from dataclasses import replace

import numpy as np
import pytest

from napari_brgm.evaluation.grid.latent_search import deep_image_method, one_latent, penalised_z
from napari_brgm.evaluation.tasks import Task
from napari_brgm.priors.coordinates import White
from napari_brgm.priors.mapped_coordinates import Mapped

SIZE = 24


def boxed(size: int = SIZE) -> Task:
    missing = np.zeros((size, size), bool)
    missing[8:14, 8:14] = True
    return Task("box", "box", missing, size=size)


@pytest.mark.parametrize("make", [one_latent, penalised_z])
def test_a_linear_generator_gives_the_least_squares_image(linear_prior, make):
    """What 12 components can draw of what they drew, from every second row; the penalty shrinks it a little."""
    truth = (127.5 * (linear_prior.sample(1, seed=4)[0, 0].numpy() + 1)).astype(np.float32)
    method, task = make(linear_prior, "cpu"), boxed()
    method.prepare()
    found = method.restore(task.observe(truth[None])[0], task, 0)
    assert found.std is None and np.abs(found.estimate - truth)[task.missing].max() < 3
    assert not method.used.residual_field and method.used.start == "mean"
    assert method.solves(task) and not method.solves(replace(task, missing=None, factor=4, size=32))


def test_latents_are_z_where_there_is_a_mapping_network(random_stylegan2, linear_prior):
    """And whitened w where there is none: under its density a step away from the mean costs the same."""
    method = penalised_z(random_stylegan2)
    assert isinstance(random_stylegan2.coordinates(method.used, lambda: None), Mapped)
    bare = linear_prior.coordinates(penalised_z(linear_prior).used, lambda: None)
    assert isinstance(bare, White) and bare.shape == (1, 12)
    assert method.used.lambda_w > 0 == one_latent(random_stylegan2).used.lambda_w


def test_the_untrained_network_solves_every_frame_and_tells_its_spread():
    method, task = deep_image_method(32, "cpu"), boxed(32)
    assert method.used.name == "untrained" and method.family == "training-free"
    method.settings = method.used.but(steps=3, window=2)
    image = task.observe(np.random.default_rng(0).uniform(0, 255, (1, 32, 32)).astype(np.float32))[0]
    found = method.restore(image, task, 0)
    assert np.array_equal(found.estimate[~task.missing], image[~task.missing])
    assert found.std is not None and found.std[task.missing].min() > 0
