"""MAP: equal to the exact mean where there is one, and downhill where there is none."""

from __future__ import annotations

import math

import pytest
import torch

from napari_brgm.inference import maximise
from napari_brgm.inference.maximum import learning_rate
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset


@pytest.mark.parametrize("kind", ["mask", "downsample", "blur"])
@pytest.mark.parametrize("sigma", [25.0, 100.0])
def test_map_is_the_exact_mean(linear_problem, finish, kind, sigma):
    """Catches a wrong balance of prior and data (means for sums, a lost factor 2, sigma in other units)."""
    exact = linear_problem(kind, sigma, steps=1500)  # Adam, not preconditioned: an ill-conditioned mask takes long
    _, found = finish(maximise(exact.posterior))
    w = exact.posterior.latents(found.v)[0, 0].double()
    assert (w - exact.mean).norm() < 0.01 * exact.mean.norm()
    assert found.loss == pytest.approx(float(sum(exact.posterior.terms(found.v)[0].values())), rel=1e-5)


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("kind", ["mask", "downsample", "blur"])
def test_preconditioned_start_is_the_answer(linear_problem, finish, kind, uneven):
    """start='linear' on a linear generator: v = 0 is the exact mean, and steps must not lose it."""
    exact = linear_problem(kind, start="linear", steps=5, uneven=uneven)
    posterior = exact.posterior
    w = posterior.latents(posterior.start())[0, 0].double()
    assert (w - exact.mean).norm() < 2e-3 * exact.mean.norm()
    _, found = finish(maximise(posterior))
    assert (posterior.latents(found.v)[0, 0].double() - exact.mean).norm() < 2e-3 * exact.mean.norm()


def test_more_noise_moves_the_map_to_the_prior(linear_problem, finish):
    norms = [
        float(finish(maximise(linear_problem("mask", sigma, steps=400).posterior))[1].v.norm())
        for sigma in (50, 200, 800)
    ]
    assert norms == sorted(norms, reverse=True) and norms[2] < 0.8 * norms[0]


def test_steps_report_the_terms_they_sum(linear_problem, finish):
    yielded, _ = finish(maximise(linear_problem("mask", steps=4).posterior, total=8))
    steps = [step for step, _ in yielded]
    assert [(s.phase, s.iteration, s.total) for s in steps] == [("map", i, 8) for i in (1, 2, 3, 4)]
    for step, image in yielded:
        assert set(step.terms) == {"w", "pixel"}
        assert step.loss == pytest.approx(sum(step.terms.values()), rel=1e-5)
        assert image.shape == (1, 1, 24, 24) and not image.requires_grad


@pytest.fixture
def rendered(random_stylegan2):
    """``build(**settings)``: the posterior of an image that the generator itself drew, noise-free."""
    prior = random_stylegan2
    image = to_grey(prior.sample(1, seed=3))
    likelihood = Likelihood(image, lambda x: x, torch.ones(1, 1, 32, 32), sigma=5.0)
    return lambda **changes: Posterior(prior, likelihood, preset("default").but(start="mean", **changes))


@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_rendered_image_is_recovered(rendered, finish, space):
    """Catches a gradient that does not reach the latents, or reaches those of one layer only."""
    posterior = rendered(latent_space=space, steps=150, learning_rate=0.1)
    yielded, found = finish(maximise(posterior))
    first = yielded[0][0].loss
    assert found.loss < 0.1 * first
    assert found.loss == min(step.loss for step, _ in yielded)
    assert found.v.shape == (1, 1 if space == "w" else 8, 32)
    ws = posterior.latents(found.v)
    assert ws.shape == (1, 8, 32)
    spread = (ws - ws[:, :1]).abs().max()
    assert spread == 0 if space == "w" else spread > 1e-3


@pytest.mark.parametrize("name", ["paper", "reference"])
def test_published_presets_go_downhill(rendered, finish, name):
    """Their learning rates are for w itself; in whitened coordinates they would mean something else."""
    paper = preset(name)
    posterior = rendered(**{k: v for k, v in paper.as_dict().items() if k not in ("start", "steps")}, steps=25)
    yielded, found = finish(maximise(posterior))
    assert found.loss < yielded[0][0].loss
    assert set(yielded[0][0].terms) == {"w", "pixel", "colinear"}


def test_schedule():
    """A warm-up that starts at 0 would waste a step; a cosine that does not end near 0 would leave MAP jittering."""
    rates = [learning_rate(i, 100, 0.1, "cosine") for i in range(100)]
    assert rates[0] > 0 and max(rates) == pytest.approx(0.1) and rates.index(max(rates)) <= 10 and rates[-1] < 1e-3
    assert learning_rate(0, 1, 0.1, "cosine") > 0
    assert {learning_rate(i, 100, 0.1, "constant") for i in range(100)} == {0.1}
    assert math.isclose(learning_rate(55, 100, 0.1, "cosine"), 0.05, rel_tol=1e-6)


def test_pixels_weigh_by_their_own_noise(linear_problem, finish):
    """Catches a weight that is a standard deviation, or one that reaches the linear start but not the objective."""
    exact, even = linear_problem("downsample", 50.0, uneven=True, steps=800), linear_problem("downsample", 50.0)
    _, found = finish(maximise(exact.posterior))
    w = exact.posterior.latents(found.v)[0, 0].double()
    assert (w - exact.mean).norm() < 0.01 * exact.mean.norm()
    assert (w - even.mean).norm() > 0.02 * exact.mean.norm()
