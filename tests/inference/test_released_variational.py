"""The released code's VI: its mean goes downhill, its spread stays the prior's, and the job says both."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError
from napari_brgm.inference import fit_released_gaussian
from napari_brgm.inference.step import Progress
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.observation import all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

QUICK = preset("reference").but(feature_size=32, steps=12, fit_pose=False)


@pytest.fixture(scope="module")
def grey(linear_prior):
    return ((linear_prior.sample(1, seed=21)[0, 0].numpy() + 1) * 127.5).clip(0, 255)


@pytest.fixture
def right_half():
    missing = np.zeros((24, 24), bool)
    missing[:, 12:] = True
    return Mask(missing)


def test_the_mean_moves_and_the_spread_stays(linear_prior, right_half):
    y = right_half.A(to_grey(linear_prior.sample(1, seed=21)))
    posterior = Posterior(linear_prior, Likelihood(all_measured(right_half, y, 5.0), y), QUICK.but(steps=60))
    steps = []
    found = fit_released_gaussian(posterior, torch.Generator().manual_seed(0), Progress(steps.append))
    torch.testing.assert_close(found.std, linear_prior.latents.std.expand(found.std.shape))
    start = posterior.coordinates.start(1)
    before, after = (sum(map(float, posterior.terms(v)[0].values())) for v in (start, found.mean[None]))
    assert after < before and steps[-1].loss < steps[0].loss
    assert set(steps[0].terms) == {"pixel", "w", "colinear", "q", "theta"}
    assert len({step.terms["theta"] for step in steps}) > 1  # sigma does move, and is not what comes back
    # of six draws the first is the mean, so that its image is that of the mean latent
    assert steps[0].terms["colinear"] == pytest.approx(float(posterior.terms(start)[0]["colinear"]), abs=1e-6)


def test_draws_of_a_job(linear_prior, grey, right_half):
    found = restore(grey, right_half, linear_prior, method="vi", samples=8, settings=QUICK)
    assert any("faults of the released code" in note for note in found.provenance["notes"])
    assert [step["phase"] for step in found.trace] == ["vi"] * 12  # nothing is searched for before
    assert found.variance[:, 12:].min() > 0 and (found.estimate[:, :12] == grey[:, :12].astype(np.float32)).all()


def test_map_has_no_spread(linear_prior, grey, right_half):
    found = restore(grey, right_half, linear_prior, samples=8, settings=QUICK)
    assert not found.has_spread and any("no spread after MAP" in note for note in found.provenance["notes"])
    with pytest.raises(InputError, match="no log density"):
        restore(grey, right_half, linear_prior, method="laplace", settings=QUICK)


def test_factors_above_sixteen_weigh_colinearity_more(linear_prior, grey):
    coarse = restore(grey.reshape(4, 6, 4, 6).mean(axis=(1, 3)), Downsample(18), linear_prior, settings=QUICK)
    fine = restore(grey.reshape(12, 2, 12, 2).mean(axis=(1, 3)), Downsample(2), linear_prior, settings=QUICK)
    weights = [found.provenance["settings"]["lambda_colinear"] for found in (coarse, fine)]
    assert weights == [1.0, 0.1]


@pytest.mark.parametrize("change", [{"latent_space": "w"}, {"lambda_pixel": None}, {"optimiser": "gauss-newton"}])
def test_other_settings_that_do_not_go_with_it_are_refused(change):
    with pytest.raises(InputError, match="released objective"):
        QUICK.but(**change)
