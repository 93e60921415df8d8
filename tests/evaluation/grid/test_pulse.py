"""PULSE: latents stay on their sphere, the best restart fits, seeds decide."""

import numpy as np
import pytest
import torch

from napari_brgm.evaluation.grid.pulse import Pulse
from napari_brgm.evaluation.tasks import Task

SIZE = 24


def boxed() -> Task:
    missing = np.zeros((SIZE, SIZE), bool)
    missing[8:16, 8:16] = True
    return Task("box", "box", missing, size=SIZE)


TASKS = (boxed(), Task("x4", "x4", factor=4, size=SIZE), Task("jpeg", "jpeg", size=SIZE, quality=50))


def drawn(prior) -> np.ndarray:
    return (127.5 * (prior.sample(1, seed=9)[0, 0].numpy() + 1)).astype(np.float32)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_it_finds_an_image_that_the_prior_draws(linear_prior, task):
    """A linear generator fits what it drew itself: without the sphere almost wholly, on it but for its length."""
    truth = drawn(linear_prior)
    observed = task.observe(truth[None])[0]
    free = Pulse(linear_prior, sphere=False, latent_space="w", steps=150, device="cpu").restore(observed, task, 0)
    held = Pulse(linear_prior, latent_space="w", device="cpu").restore(observed, task, 0)
    seen = [np.abs(task.observe(found.estimate[None])[0] - observed).mean() for found in (free, held)]
    assert seen[0] < 2.0 and seen[1] < 0.3 * np.abs(observed - observed.mean()).mean()
    assert held.std is not None and held.std.shape == (SIZE, SIZE) and held.mean.shape == (SIZE, SIZE)


@pytest.mark.parametrize("space", ["w", "w+"])
def test_latents_are_on_the_sphere(random_stylegan2, space):
    method = Pulse(random_stylegan2, latent_space=space, restarts=2, device="cpu")
    v = method.coordinates.drawn(2, torch.Generator().manual_seed(0))
    lengths = method._held(3 * v).norm(dim=2)
    torch.testing.assert_close(lengths, torch.full_like(lengths, random_stylegan2.latents.rank**0.5))
    assert method.settings.prior_density == "gaussianised"


def test_seeds_decide_and_the_best_restart_is_shown(linear_prior):
    task = boxed()
    observed = task.observe(drawn(linear_prior)[None])[0]

    def run(seed: int, restarts: int = 3) -> np.ndarray:
        return Pulse(linear_prior, restarts=restarts, steps=5, device="cpu").restore(observed, task, seed).estimate

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()

    def misfit(image: np.ndarray) -> float:
        return float(np.square(image - observed)[~task.missing].mean())

    assert misfit(run(1, restarts=6)) <= misfit(run(1, restarts=1))  # the first of six is the one of one


def test_what_it_solves(linear_prior):
    method = Pulse(linear_prior, device="cpu")
    assert method.solves(boxed()) and not method.solves(Task("x4", "x4", factor=4, size=128))
    assert {method.name, Pulse(linear_prior, sphere=False).name} == {"pulse", "pulse-restarts"}
    assert method.fingerprint()["prior"] == "toy-24" and method.family == "generative"
