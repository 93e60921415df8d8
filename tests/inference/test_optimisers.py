"""Adam, Gauss-Newton and L-BFGS: the same minimum, fewer evaluations, candidates that do not disturb each other."""

from __future__ import annotations

from itertools import islice, pairwise

import pytest
import torch

from napari_brgm.corruptions import Identity
from napari_brgm.errors import InputError
from napari_brgm.inference.adam import adam
from napari_brgm.inference.gauss_newton import gauss_newton, residuals
from napari_brgm.inference.lbfgs import lbfgs
from napari_brgm.inference.maximum import learning_rate, maximise
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import Observation
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

SECOND_ORDER = {"gauss-newton": gauss_newton, "lbfgs": lambda posterior, v: lbfgs(posterior.terms, v)}


@pytest.fixture(scope="module")
def curved(random_stylegan2):
    """``build(**settings)``: half of an image that the generator drew, under a net that is far from linear."""
    image = to_grey(random_stylegan2.sample(1, seed=3))
    observed = torch.ones(1, 1, 32, 32)
    observed[..., 16:] = 0
    weight = 0.5 + torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    likelihood = Likelihood(Observation(Identity(), observed, 8.0, weight), image * observed)
    return lambda **changes: Posterior(random_stylegan2, likelihood, preset("default").but(start="mean", **changes))


@pytest.mark.parametrize("optimiser", SECOND_ORDER)
@pytest.mark.parametrize("kind", ["mask", "downsample", "blur"])
def test_the_exact_mean_is_found_in_few_steps(linear_problem, kind, optimiser):
    """A quadratic of 12 dimensions; catches a product with J of the wrong sign or scale, or a stale pair."""
    exact = linear_problem(kind, 25.0, steps=45, optimiser=optimiser)
    found = maximise(exact.posterior)
    w = exact.posterior.latents(found.v)[0, 0].double()
    assert (w - exact.mean).norm() < 2e-3 * exact.mean.norm()


@pytest.mark.parametrize("optimiser", SECOND_ORDER)
@pytest.mark.parametrize("space", ["w", "w+"])
def test_no_worse_than_three_times_as_many_steps_of_adam(curved, optimiser, space):
    def least(descent, steps):
        return min(float(visit.loss) for visit in islice(descent, steps))

    posterior = curved(latent_space=space)
    v = posterior.start()
    rival = min(
        least(adam(posterior.terms, v, lambda i, peak=peak: learning_rate(i, 100, peak, "cosine")), 100)
        for peak in (0.02, 0.1)
    )
    assert least(SECOND_ORDER[optimiser](posterior, v), 30) < 1.02 * rival


@pytest.mark.parametrize("optimiser", SECOND_ORDER)
def test_candidates_do_not_disturb_each_other(curved, optimiser):
    """A batch of three is three runs: line searches, damping and pairs are each candidate's own."""
    posterior = curved()
    v = posterior.coordinates.drawn(3, torch.Generator().manual_seed(2))
    together = [visit.loss for visit in islice(SECOND_ORDER[optimiser](posterior, v), 6)]
    for row in range(3):
        alone = [visit.loss for visit in islice(SECOND_ORDER[optimiser](posterior, v[row : row + 1]), 3)]
        torch.testing.assert_close(torch.stack(together)[:3, row], torch.cat(alone), rtol=1e-3, atol=0)


@pytest.mark.parametrize("optimiser", SECOND_ORDER)
def test_the_loss_of_accepted_points_only_falls(curved, optimiser):
    losses = [float(visit.loss) for visit in islice(SECOND_ORDER[optimiser](curved(), curved().start()), 30)]
    kept = losses if optimiser == "gauss-newton" else [min(losses[: i + 1]) for i in range(len(losses))]
    assert all(b <= a for a, b in pairwise(kept)) and kept[-1] < 0.2 * kept[0]


@pytest.mark.parametrize("density", ["gaussian", "diagonal", "flat"])
def test_squares_of_the_residuals_are_the_terms(curved, density):
    """Else Gauss-Newton would minimise another loss than it reports."""
    posterior = curved(prior_density=density, lambda_w=0.7)
    v = posterior.coordinates.drawn(2, torch.Generator().manual_seed(1))
    parts, images = residuals(posterior, v)
    terms, same = posterior.terms(v)
    assert parts.keys() == terms.keys() and torch.equal(images, same)
    for name, part in parts.items():
        torch.testing.assert_close(part.square().sum(dim=1), terms[name], rtol=1e-4, atol=1e-4)


def test_gauss_newton_refuses_what_is_no_sum_of_squares(curved):
    posterior = curved(lambda_colinear=0.1, optimiser="gauss-newton")
    with pytest.raises(InputError, match="lbfgs"):
        maximise(posterior)


def test_lbfgs_stays_where_no_step_helps(curved):
    """At a minimum, rounding makes every step look like a loss; the point must survive that."""
    found = maximise(curved(optimiser="lbfgs", steps=150))
    visits = list(islice(lbfgs(curved().terms, found.v), 60))
    assert min(float(visit.loss) for visit in visits) <= found.loss * (1 + 1e-6)
    assert all(torch.isfinite(visit.v).all() for visit in visits)
