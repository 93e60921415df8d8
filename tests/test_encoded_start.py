"""The start from the encoder: a filled-in observation, and the leading latents it gives."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.encoded_start import encoded, filled_in
from napari_brgm.likelihood import Likelihood, to_grey
from napari_brgm.posterior import Posterior
from napari_brgm.priors.encoder import Encoder
from napari_brgm.settings import preset


@pytest.fixture
def hole():
    missing = torch.zeros(24, 24, dtype=torch.bool)
    missing[4:16, 10:24] = True
    return missing


@pytest.fixture
def truth(linear_prior):
    return to_grey(linear_prior.sample(1, seed=5))


@pytest.mark.parametrize("kind", ["mask", "downsample"])
def test_the_observation_is_put_into_the_mean(linear_prior, hole, truth, kind):
    """Measured pixels exactly, the hole from the mean; coarse pixels exactly, detail from the mean."""
    f = Mask(hole) if kind == "mask" else Downsample(3)
    observed = (~hole).float()[None, None] if kind == "mask" else torch.ones(1, 1, 8, 8)
    likelihood = Likelihood(f.A(truth), f.A, observed, 10.0)
    mean = to_grey(linear_prior.mean[None])
    found = filled_in(likelihood, mean)
    torch.testing.assert_close(f.A(found), f.A(truth), rtol=0, atol=0.05)
    if kind == "mask":
        torch.testing.assert_close(found[..., hole], mean[..., hole])
    else:
        exact = mean + f.A_dagger(f.A(truth - mean), (24, 24))
        torch.testing.assert_close(found, exact, rtol=0, atol=0.1)


def test_leading_latents_are_the_encoder_s_and_the_others_the_mean(linear_prior, hole, truth, monkeypatch):
    class Known(Encoder):
        def encode(self, images):
            return linear_prior.encode(images)[:, : self.latents]

    encoder = Known((4, 8), 5, 24).eval().requires_grad_(False)
    monkeypatch.setattr(linear_prior, "encoder", encoder, raising=False)
    likelihood = Likelihood(truth, lambda x: x, torch.ones(1, 1, 24, 24), 10.0)
    posterior = Posterior(linear_prior, likelihood, preset("default").but(start="encoder"))
    w = posterior.latents(posterior.start(2))[:, 0]
    expected = linear_prior.encode(truth / 127.5 - 1)[0]
    torch.testing.assert_close(w[:, :5], expected[:5].expand(2, 5), rtol=1e-2, atol=1e-2)
    assert w[:, 5:].abs().max() < 1e-5
    best = posterior.terms(posterior.start())[0]["pixel"]
    assert best < posterior.terms(posterior.coordinates.start(1))[0]["pixel"]


def test_without_a_fitting_encoder_the_mean_is_the_start(linear_prior, truth, monkeypatch):
    likelihood = Likelihood(truth, lambda x: x, torch.ones(1, 1, 24, 24), 10.0)
    for encoder in (None, Encoder((4, 8), 5, 32)):
        monkeypatch.setattr(linear_prior, "encoder", encoder, raising=False)
        posterior = Posterior(linear_prior, likelihood, preset("default").but(start="encoder"))
        assert encoded(posterior) is None
        assert torch.equal(posterior.start(), posterior.coordinates.start(1))
