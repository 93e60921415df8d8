"""Pivotal tuning moves the weights towards the data, keeps the prior that was given, and says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Identity, Mask
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError
from napari_brgm.inference import maximise, tune
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset


@pytest.fixture
def posterior(random_stylegan2):
    target = to_grey(random_stylegan2.sample(1, seed=3)) + 20 * torch.randn(
        1, 1, 32, 32, generator=torch.Generator().manual_seed(0)
    )
    likelihood = Likelihood(all_measured(Identity(), target, 10.0), target)
    return Posterior(random_stylegan2, likelihood, preset("unaided").but(steps=20))


def test_the_data_are_met_better_and_the_prior_is_left_alone(posterior, collect):
    maximum = maximise(posterior)
    before = {name: p.clone() for name, p in posterior.prior.synthesis.named_parameters()}
    yielded, tuned = collect(tune, posterior, maximum.v, 10.0, 25, done=20)
    with torch.no_grad():
        old, new = (float(p.likelihood.pixel(p.images(maximum.v))) for p in (posterior, tuned))
    assert new < 0.8 * old
    assert all(torch.equal(p, before[name]) for name, p in posterior.prior.synthesis.named_parameters())
    assert [step.iteration for step, _ in yielded] == list(range(21, 46))
    assert not any(p.requires_grad for p in tuned.prior.synthesis.parameters())
    assert tuned.coordinates is posterior.coordinates and tuned.likelihood is posterior.likelihood


def test_a_tuned_result_says_so(random_stylegan2):
    image = to_grey(random_stylegan2.sample(1, seed=3))[0, 0].numpy()
    hole = np.zeros((32, 32), dtype=bool)
    hole[10:20, 10:20] = True
    settings = preset("unaided").but(steps=5, refine_steps=4)
    result = restore(image, Mask(hole), random_stylegan2, samples=2, settings=settings)
    assert any("tuned to this slice in 4 steps" in note for note in result.provenance["notes"])
    assert [entry["phase"] for entry in result.trace] == ["map"] * 5 + ["refine"] * 4


def test_without_a_network_there_is_nothing_to_tune(linear_problem):
    posterior = linear_problem("mask").posterior
    with pytest.raises(InputError, match="no network to tune"):
        tune(posterior, posterior.start(), 1.0, 5)
