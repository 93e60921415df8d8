"""Several starts, early stop and coarse-to-fine in MAP."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_brgm.coarse import seen_coarser
from napari_brgm.inference.maximum import Plateau, maximise, maximise_together
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset


@pytest.fixture(scope="module")
def posterior(random_stylegan2):
    """``build(seed, **settings)``: a posterior whose answer is a draw with this seed, from far away."""

    def build(**changes):
        image = to_grey(random_stylegan2.sample(1, seed=4))
        likelihood = Likelihood(image, lambda x: x, torch.ones(1, 1, 32, 32), sigma=40.0)
        settings = preset("default").but(
            **{"start": "mean", "optimiser": "adam", "steps": 40, "learning_rate": 0.1, **changes}
        )
        return Posterior(random_stylegan2, likelihood, settings)

    return build


@pytest.mark.parametrize("optimiser", ["adam", "gauss-newton", "lbfgs"])
def test_the_best_of_the_starts_goes_on(posterior, finish, optimiser):
    """One candidate is put on the answer: it has to win, whatever its place among the others."""
    problem = posterior(starts=4, optimiser=optimiser)
    _, answer = finish(maximise(posterior(steps=80)))
    coordinates = problem.coordinates
    drawn = coordinates.drawn(3, torch.Generator().manual_seed(0))
    drawn[1] = answer.v[0]

    class Rigged:
        def __getattr__(self, name):
            return getattr(coordinates, name)

        def drawn(self, batch, generator):
            assert batch == 3
            return drawn

    problem.__dict__["coordinates"] = Rigged()
    yielded, found = finish(maximise(problem))
    assert found.v.shape == (1, 1, 32) and found.loss <= 1.001 * answer.loss
    assert len(yielded) == 40 and all(image.shape == (1, 1, 32, 32) for _, image in yielded)
    assert yielded[0][0].loss == pytest.approx(answer.loss, rel=1e-3)  # what is shown is the best of them


def test_all_starts_run_together_for_a_quarter_of_the_steps(posterior, finish):
    """The first candidate is the start itself, so that the best of all is no worse; a seed repeats them."""

    def run(starts, seed=0):
        return finish(maximise(posterior(starts=starts), generator=torch.Generator().manual_seed(seed)))

    (alone, _), (together, found) = run(1), run(4)
    assert all(b.loss <= a.loss * 1.001 for (a, _), (b, _) in zip(alone[:10], together[:10], strict=True))
    assert found.loss <= together[9][0].loss
    assert torch.equal(run(4)[1].v, found.v)


def test_a_step_or_two_are_enough_for_several_starts(posterior, finish):
    for steps in (1, 2, 3):
        yielded, found = finish(maximise(posterior(starts=3, steps=steps, coarse_to_fine=True)))
        assert len(yielded) == steps and found.v.shape == (1, 1, 32)
        assert found.loss <= max(step.loss for step, _ in yielded)


@pytest.mark.parametrize("optimiser", ["adam", "gauss-newton", "lbfgs"])
def test_tolerance_stops_and_does_not_stop_too_soon(posterior, finish, optimiser):
    def run(tolerance):
        return finish(maximise(posterior(steps=120, optimiser=optimiser, tolerance=tolerance)))

    slow = 0.1 if optimiser == "gauss-newton" else 0.03  # whose steps are iterations of several evaluations
    (all_steps, full), (some, stopped) = run(None), run(slow)
    assert len(all_steps) == 120 and 8 < len(some) < 120
    assert stopped.loss < 0.5 * all_steps[0][0].loss and full.loss <= stopped.loss * 1.001


def test_plateau_looks_at_several_steps():
    """One bad step of Adam is no plateau, and a slow start is not the end."""
    rule = Plateau(0.01)
    assert not any(rule.reached(loss) for loss in (100, 120, 95, 110, 90, 85, 80))
    assert [rule.reached(loss) for loss in (79.9, 79.8, 79.8, 79.8, 79.8)][-1]
    never = Plateau(None)
    assert not any(never.reached(1.0) for _ in range(50))


@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
def test_coarse_to_fine_ends_with_the_whole_measurement(posterior, finish, optimiser):
    """The loss that is returned is that of all pixels; coarse losses are lower and must not be taken for it."""
    problem = posterior(coarse_to_fine=True, steps=60, optimiser=optimiser)
    yielded, found = finish(maximise(problem))
    assert len(yielded) == 60
    real = float(sum(problem.terms(found.v)[0].values()))
    assert found.loss == pytest.approx(real, rel=1e-4)
    start = float(sum(problem.terms(problem.start())[0].values()))
    assert found.loss < 0.5 * start  # a random net has many minima; it went down to one of them
    assert yielded[0][0].loss < start  # and began with the coarse measurement


def test_coordinates_stay_those_of_the_fine_measurement(linear_problem):
    """With a linear part they depend on the measurement: a coarse one of its own would move v = 0."""
    posterior = linear_problem("mask", start="linear").posterior
    coarse = seen_coarser(posterior, 2)
    v = torch.randn(2, 1, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(coarse.images(v), posterior.images(v))
    assert (coarse.terms(v)[0]["pixel"] < posterior.terms(v)[0]["pixel"]).all()
    assert posterior.likelihood.observation.shape != coarse.likelihood.observation.shape
    assert seen_coarser(posterior, 1) is posterior


@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
@pytest.mark.parametrize("changes", [{}, {"starts": 3}, {"coarse_to_fine": True}])
def test_observations_side_by_side_share_one_synthesis(posterior, finish, optimiser, changes, monkeypatch):
    """Each finds what it would find alone, from as many syntheses as one of them takes."""
    problem = posterior(optimiser=optimiser, **changes)
    rows = 32 if problem.settings.coarse_to_fine else 20  # 20 have one level less
    image = to_grey(problem.prior.sample(1, seed=9))[..., :rows, :]
    other = Likelihood(image, lambda x: x[..., :rows, :], torch.ones(1, 1, rows, 32), sigma=30.0)
    members = [problem, Posterior(problem.prior, other, problem.settings)]

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in (1, 2)]

    batches = []
    drawn = Posterior.drawn
    monkeypatch.setattr(Posterior, "drawn", lambda self, ws: batches.append(len(ws)) or drawn(self, ws))
    told, found = finish(maximise_together(members, None, generators()))
    starts = changes.get("starts", 1)
    assert len(told) == len(batches) == 40 and batches[0] == 2 * starts and batches[-1] == 2
    for i, (member, generator) in enumerate(zip(members, generators(), strict=True)):
        steps, alone = finish(maximise(member, generator=generator))
        assert told[0][i][0].loss == pytest.approx(steps[0][0].loss, rel=1e-4)
        assert found[i].loss < 1.4 * alone.loss < 0.5 * steps[0][0].loss  # a line search of the other costs it steps
        assert float(sum(member.terms(found[i].v)[0].values())) == pytest.approx(found[i].loss, rel=1e-4)


def test_the_slowest_decides_when_all_stop(posterior, finish):
    easy = posterior(steps=120, optimiser="lbfgs", tolerance=0.03)
    hard = Posterior(easy.prior, replace(easy.likelihood, sigma=4.0), easy.settings)
    lengths = [len(finish(maximise_together(members))[0]) for members in ([easy], [hard], [easy, hard])]
    assert lengths[0] < lengths[1] <= lengths[2] + 2 < 122
