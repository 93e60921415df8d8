"""The density of a StyleGAN2's latents, and the linear image that ours refine."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.prior import LatentStatistics, Prior, PriorInfo
from napari_brgm.priors.stylegan2 import StyleGAN2, Synthesis
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior, mapped_statistics


def test_latent_statistics_are_those_of_mapped_z(parity):
    """Catches statistics of z, of a handful of samples, or a standard deviation in place of a covariance."""
    net = StyleGAN2.from_state_dict(parity("32_gray")[0])
    found = mapped_statistics(net.mapping)
    with torch.no_grad():
        w = net.mapping(torch.randn(40_000, net.mapping.z_dim, generator=torch.Generator().manual_seed(9)))[:, 0]
    error = (found.mean - w.mean(dim=0)) / w.std(dim=0)
    assert error.abs().max() < 5 * (1 / 10_000 + 1 / 40_000) ** 0.5
    torch.testing.assert_close(found.std, w.std(dim=0), rtol=0.06, atol=0)
    assert (found.covariance - torch.cov(w.T)).norm() < 0.06 * torch.cov(w.T).norm()
    torch.testing.assert_close(found.factor @ found.factor.T, found.covariance, rtol=1e-3, atol=1e-4)
    again = mapped_statistics(net.mapping)
    assert torch.equal(found.mean, again.mean) and torch.equal(found.covariance, again.covariance)


def test_a_singular_covariance_has_a_factor():
    """Catches a Cholesky that fails where fewer directions vary than there are latents."""
    w = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) @ torch.ones(3, 8)
    statistics = LatentStatistics.of(w)
    factor = statistics.factor
    assert torch.isfinite(factor).all()
    torch.testing.assert_close(factor @ factor.T, statistics.covariance, rtol=1e-3, atol=1e-3)


def test_a_published_network_is_a_prior(random_stylegan2, parity):
    """Catches samples that skip the mapping: w drawn from a Gaussian would give other images."""
    prior = random_stylegan2
    assert isinstance(prior, Prior)
    assert (prior.resolution, prior.channels, prior.num_ws, prior.latents.rank) == (32, 1, 8, 32)
    assert prior.parts.line is None and prior.parts.residual is None and prior.parts.encoder is None
    assert (prior.info.preset, prior.info.family, prior.info.anatomy) == ("unaided", "stylegan2", True)
    z = torch.randn(3, 24, generator=torch.Generator().manual_seed(5))
    net = StyleGAN2.from_state_dict(parity("32_gray")[0])
    with torch.no_grad():
        wanted = net.synthesis(net.mapping(z), noise="none")
    torch.testing.assert_close(prior.sample(3, seed=5), wanted)
    assert not torch.equal(prior.sample(3, seed=6), wanted)
    assert prior.to("cpu") is prior


def refining(linear_prior, inject: bool = True) -> StyleGAN2Prior:
    torch.manual_seed(0)
    net = Synthesis({6: 4, 12: 4, 24: 3}, 5, inject=inject)
    return StyleGAN2Prior(net, LatentStatistics.standard(12), PriorInfo("ours"), base=linear_prior)


def test_ours_is_the_linear_image_and_a_correction(linear_prior):
    """Catches a base that is left out, or taken from another layer's w."""
    prior = refining(linear_prior)
    ws = torch.randn(2, prior.num_ws, 12, generator=torch.Generator().manual_seed(1))
    base = linear_prior.synthesize(ws[:, :1])
    with torch.no_grad():
        correction = prior.synthesis(ws[..., :5], "none", base)
        torch.testing.assert_close(prior.synthesize(ws), base + correction)
        assert correction.abs().max() > 1e-3
        other = prior.synthesis(ws[..., :5], "none", base.flip(0))
    assert (other - correction).abs().max() > 1e-4, "the network does not look at the base image"
    line = prior.parts.line
    assert line.exact and line.complete and line.model is linear_prior and line.error_variance == 0
    assert line.latents is prior.latents and prior.info.preset == "default"
    u = torch.randn(2, 1, 12, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(line.whitened.synthesize(u), linear_prior.synthesize(prior.latents.colour(u)))
    assert line.whitened is line.whitened  # it is a product of the basis' size


def test_sizes_that_do_not_fit_are_refused(linear_prior):
    net = Synthesis({6: 4, 12: 4, 24: 3}, 5, inject=True)
    with pytest.raises(WeightsError, match="linear part has 12"):
        StyleGAN2Prior(net, LatentStatistics.standard(11), PriorInfo("ours"), base=linear_prior)
    with pytest.raises(WeightsError, match="reads 5 latents"):
        StyleGAN2Prior(net, LatentStatistics.standard(12), PriorInfo("ours"))
