"""MAP: equal to the exact mean where there is one, downhill where there is none; starts, early stop, coarse to fine."""

from __future__ import annotations

import math

import pytest
import torch

from napari_brgm.corruptions import Identity
from napari_brgm.inference import maximise
from napari_brgm.inference.maximum import Plateau, learning_rate
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset


@pytest.mark.parametrize("kind", ["mask", "downsample", "blur"])
@pytest.mark.parametrize("sigma", [25.0, 100.0])
def test_map_is_the_exact_mean(linear_problem, kind, sigma):
    """Catches a wrong balance of prior and data (means for sums, a lost factor 2, sigma in other units)."""
    exact = linear_problem(kind, sigma, steps=500)  # Adam, not preconditioned
    found = maximise(exact.posterior)
    w = exact.posterior.latents(found.v)[0, 0].double()
    assert (w - exact.mean).norm() < 0.01 * exact.mean.norm()
    assert found.loss == pytest.approx(float(sum(exact.posterior.terms(found.v)[0].values())), rel=1e-5)


@pytest.mark.parametrize("uneven", [False, True])
@pytest.mark.parametrize("kind", ["mask", "downsample", "blur"])
def test_preconditioned_start_is_the_answer(linear_problem, kind, uneven):
    """start='linear' on a linear generator: v = 0 is the exact mean, and steps must not lose it."""
    exact = linear_problem(kind, start="linear", steps=5, uneven=uneven)
    posterior = exact.posterior
    w = posterior.latents(posterior.start())[0, 0].double()
    assert (w - exact.mean).norm() < 2e-3 * exact.mean.norm()
    found = maximise(posterior)
    assert (posterior.latents(found.v)[0, 0].double() - exact.mean).norm() < 2e-3 * exact.mean.norm()


def test_more_noise_moves_the_map_to_the_prior(linear_problem):
    norms = [float(maximise(linear_problem("mask", sigma, steps=150).posterior).v.norm()) for sigma in (50, 200, 800)]
    assert norms == sorted(norms, reverse=True) and norms[2] < 0.8 * norms[0]


def test_steps_report_the_terms_they_sum(linear_problem, collect):
    yielded, _ = collect(maximise, linear_problem("mask", steps=4).posterior, None, total=8)
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
    likelihood = Likelihood(all_measured(Identity(), image, 5.0), image)
    return lambda **changes: Posterior(prior, likelihood, preset("default").but(start="mean", **changes))


@pytest.mark.parametrize("space", ["w", "w+"])
def test_a_rendered_image_is_recovered(rendered, collect, space):
    """Catches a gradient that does not reach the latents, or reaches those of one layer only."""
    posterior = rendered(latent_space=space, steps=150, learning_rate=0.1)
    yielded, found = collect(maximise, posterior, None)
    first = yielded[0][0].loss
    assert found.loss < 0.1 * first
    assert found.loss == min(step.loss for step, _ in yielded)
    assert found.v.shape == (1, 1 if space == "w" else 8, 32)
    ws = posterior.latents(found.v)
    assert ws.shape == (1, 8, 32)
    spread = (ws - ws[:, :1]).abs().max()
    assert spread == 0 if space == "w" else spread > 1e-3


@pytest.mark.parametrize("name", ["paper", "reference"])
def test_published_presets_go_downhill(rendered, collect, name):
    """Their learning rates are for w itself; in whitened coordinates they would mean something else."""
    paper = preset(name)
    posterior = rendered(**{k: v for k, v in paper.as_dict().items() if k not in ("start", "steps")}, steps=25)
    yielded, found = collect(maximise, posterior, None)
    assert found.loss < yielded[0][0].loss
    assert set(yielded[0][0].terms) == {"w", "pixel", "colinear"}


def test_schedule():
    """A warm-up that starts at 0 would waste a step; a cosine that does not end near 0 would leave MAP jittering."""
    rates = [learning_rate(i, 100, 0.1, "cosine") for i in range(100)]
    assert rates[0] > 0 and max(rates) == pytest.approx(0.1) and rates.index(max(rates)) <= 10 and rates[-1] < 1e-3
    assert learning_rate(0, 1, 0.1, "cosine") > 0
    assert {learning_rate(i, 100, 0.1, "constant") for i in range(100)} == {0.1}
    assert math.isclose(learning_rate(55, 100, 0.1, "cosine"), 0.05, rel_tol=1e-6)


def test_pixels_weigh_by_their_own_noise(linear_problem):
    """Catches a weight that is a standard deviation, or one that reaches the linear start but not the objective."""
    exact, even = linear_problem("downsample", 50.0, uneven=True, steps=500), linear_problem("downsample", 50.0)
    found = maximise(exact.posterior)
    w = exact.posterior.latents(found.v)[0, 0].double()
    assert (w - exact.mean).norm() < 0.01 * exact.mean.norm()
    assert (w - even.mean).norm() > 0.02 * exact.mean.norm()


# ---- several starts, early stop and coarse-to-fine


@pytest.mark.parametrize("optimiser", ["adam", "gauss-newton", "lbfgs"])
def test_the_best_of_the_starts_goes_on(distant, collect, optimiser):
    """One candidate is put on the answer: it has to win, whatever its place among the others."""
    problem = distant(starts=4, optimiser=optimiser)
    answer = maximise(distant(steps=80))
    coordinates = problem.coordinates
    drawn = coordinates.drawn(3, torch.Generator().manual_seed(0))
    drawn[1] = answer.v[0]

    class Rigged:
        def __getattr__(self, name):
            return getattr(coordinates, name)

        def drawn(self, batch, generator):
            assert batch == 3
            return drawn

    problem = Posterior(problem.prior, problem.likelihood, problem.settings, Rigged())
    yielded, found = collect(maximise, problem, None)
    assert found.v.shape == (1, 1, 32) and found.loss <= 1.001 * answer.loss
    assert len(yielded) == 40 and all(image.shape == (1, 1, 32, 32) for _, image in yielded)
    assert yielded[0][0].loss == pytest.approx(answer.loss, rel=1e-3)  # what is shown is the best of them


def test_all_starts_run_together_for_a_quarter_of_the_steps(distant, collect):
    """The first candidate is the start itself, so that the best of all is no worse; a seed repeats them."""

    def run(starts, seed=0):
        return collect(maximise, distant(starts=starts), torch.Generator().manual_seed(seed))

    (alone, _), (together, found) = run(1), run(4)
    assert all(b.loss <= a.loss * 1.001 for (a, _), (b, _) in zip(alone[:10], together[:10], strict=True))
    assert found.loss <= together[9][0].loss
    assert torch.equal(run(4)[1].v, found.v)


def test_a_step_or_two_are_enough_for_several_starts(distant, collect):
    for steps in (1, 2, 3):
        yielded, found = collect(maximise, distant(starts=3, steps=steps, coarse_to_fine=True), None)
        assert len(yielded) == steps and found.v.shape == (1, 1, 32)
        assert found.loss <= max(step.loss for step, _ in yielded)


@pytest.mark.parametrize(("optimiser", "tolerance"), [("adam", 3e-4), ("gauss-newton", 1e-2), ("lbfgs", 1e-3)])
def test_tolerance_stops_and_does_not_stop_too_soon(linear_problem, collect, optimiser, tolerance):
    """On a problem with one minimum: where there are many, rounding decides which, and how long the way is."""

    def run(tolerance):
        changes = {"steps": 200, "optimiser": optimiser, "learning_rate": 0.1, "tolerance": tolerance}
        return collect(maximise, linear_problem("mask", 8.0, **changes).posterior, None)

    (all_steps, full), (some, stopped) = run(None), run(tolerance)
    assert len(all_steps) == 200 and 8 < len(some) < 150
    assert (1 - 1e-5) * full.loss <= stopped.loss < 1.01 * full.loss < 0.5 * all_steps[0][0].loss


def test_plateau_looks_at_several_steps():
    """One bad step of Adam is no plateau, and a slow start is not the end."""
    rule = Plateau(0.01)
    assert not any(rule.reached(loss) for loss in (100, 120, 95, 110, 90, 85, 80))
    assert [rule.reached(loss) for loss in (79.9, 79.8, 79.8, 79.8, 79.8)][-1]
    never = Plateau(None)
    assert not any(never.reached(1.0) for _ in range(50))


@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
def test_coarse_to_fine_ends_with_the_whole_measurement(distant, collect, optimiser):
    """The loss that is returned is that of all pixels; coarse losses are lower and must not be taken for it."""
    problem = distant(coarse_to_fine=True, steps=60, optimiser=optimiser)
    yielded, found = collect(maximise, problem, None)
    assert len(yielded) == 60
    real = float(sum(problem.terms(found.v)[0].values()))
    assert found.loss == pytest.approx(real, rel=1e-4)
    start = float(sum(problem.terms(problem.start())[0].values()))
    assert found.loss < 0.5 * start  # a random net has many minima; it went down to one of them
    assert yielded[0][0].loss < start  # and began with the coarse measurement


def test_coordinates_stay_those_of_the_fine_measurement(linear_problem):
    """With a linear part they depend on the measurement: a coarse one of its own would move v = 0."""
    posterior = linear_problem("mask", start="linear").posterior
    coarse = posterior.coarser(2)
    v = torch.randn(2, 1, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(coarse.images(v), posterior.images(v))
    assert (coarse.terms(v)[0]["pixel"] < posterior.terms(v)[0]["pixel"]).all()
    assert posterior.likelihood.y.shape != coarse.likelihood.y.shape
    assert posterior.coarser(1) is posterior
