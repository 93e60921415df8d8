"""The straight line through a generator's draws: exact for what is straight, a start and a scale for what is not."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Downsample, Identity, Mask
from napari_brgm.errors import WeightsError
from napari_brgm.inference import laplace_at, maximise
from napari_brgm.likelihood import Likelihood
from napari_brgm.observation import all_measured
from napari_brgm.posterior import Posterior
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.line import linearised, tangent
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.network import network_of, with_network
from napari_brgm.priors.parts import Line, Parts
from napari_brgm.priors.prior import LatentStatistics
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.settings import preset
from napari_brgm.tensor_file import read_tensors, write_tensors
from napari_brgm.zoo.files import read_prior, write_prior

SETTINGS = preset("manifold").but(steps=20)


@pytest.fixture(scope="module")
def manifold(tiny_manifold) -> ConvolutionalManifold:
    """The toy with its line."""
    prior = copy.copy(tiny_manifold)
    prior.parts = replace(tiny_manifold.parts, line=linearised(tiny_manifold))
    return prior


def observed(prior, kind) -> Likelihood:
    """A draw of the prior with a hole, or in pixels of 4 x 4."""
    image = (prior.sample(1, seed=8) + 1) * 127.5
    image = image + 2 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    if kind == "mask":
        missing = np.zeros((64, 64), bool)
        missing[20:44, 16:40] = True
        observation = all_measured(Mask(missing), image, 6.0)
        return Likelihood(observation, image * observation.measured)
    low = Downsample(4).A(image)
    return Likelihood(all_measured(Downsample(4), low, 1.4), low)


def started(posterior):
    """Loss where MAP begins."""
    with torch.no_grad():
        return sum(float(term) for term in posterior.terms(posterior.start())[0].values())


def found_by(posterior, steps):
    return maximise(Posterior(posterior.prior, posterior.likelihood, posterior.settings.but(steps=steps)))


def test_what_is_straight_is_found_exactly(linear_prior):
    """Latents with a mean and a covariance of their own: the basis is that of the whitened ones."""
    size = linear_prior.rank
    mix = torch.randn(size, size, generator=torch.Generator().manual_seed(1)) / size**0.5
    bent = copy.copy(linear_prior)
    bent.latents = LatentStatistics(0.3 * torch.ones(size), mix @ mix.T + torch.eye(size))
    line = linearised(bent)
    assert line.complete and not line.exact and line.whitened is line.model
    found = line.model
    wanted = linear_prior.whitened(bent.latents)
    torch.testing.assert_close(found.mean, wanted.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.basis, wanted.basis, atol=1e-4, rtol=0)
    assert found.noise_variance < 1e-8


def test_what_it_misses_is_measured_on_other_draws(manifold):
    u = 0.7 * torch.randn(200, manifold.latents.rank, generator=torch.Generator().manual_seed(77))
    with torch.no_grad():
        images = manifold.synthesize(manifold.latents.colour(u)[:, None])
    line = manifold.parts.line.model
    error = images - line.synthesize(u[:, None])
    means = error.reshape(200, 16, 4, 16, 4).mean(dim=(2, 4))
    assert line.noise_variance == pytest.approx(16 * float(means.square().mean()), rel=0.3)
    assert line.noise_variance > 1.2 * float(error.square().mean())  # it is correlated
    assert float(error.square().mean()) < 0.7 * float(images.var(dim=0).mean())  # and something is explained


@pytest.mark.parametrize("kind", ["mask", "downsample"])
def test_it_starts_nearer_and_gets_there_sooner(manifold, tiny_manifold, kind):
    """The density is the same: losses compare."""
    plain = Posterior(tiny_manifold, observed(manifold, kind), SETTINGS)
    guided = Posterior(manifold, plain.likelihood, SETTINGS)
    assert guided.linear is None and plain.linear is None  # a line is no exact answer
    begun = [started(p) for p in (guided, plain)]
    assert begun[0] < 0.8 * begun[1]
    assert found_by(guided, 3).loss < found_by(plain, 3).loss
    assert found_by(guided, 8).loss < 1.02 * found_by(plain, 60).loss


def test_without_the_start_it_changes_nothing(manifold, tiny_manifold):
    settings = SETTINGS.but(start="mean")
    plain = Posterior(tiny_manifold, observed(manifold, "mask"), settings)
    guided = Posterior(manifold, plain.likelihood, settings)
    assert torch.equal(guided.start(), plain.start())
    assert found_by(guided, 4).loss == found_by(plain, 4).loss


def test_laplace_does_not_depend_on_the_coordinates(manifold, tiny_manifold):
    """Covariance of the latents round the same point, with the line and without it."""
    plain = Posterior(tiny_manifold, observed(manifold, "mask"), SETTINGS)
    guided = Posterior(manifold, plain.likelihood, SETTINGS)
    v = found_by(guided, 12).v
    same = plain.coordinates.at(guided.latents(v)[:, 0])
    covariances = []
    for posterior, point in ((guided, v), (plain, same)):
        spread = laplace_at(posterior, point, torch.Generator().manual_seed(0))
        draws = posterior.whitened(spread.sample(40_000, torch.Generator().manual_seed(1)))[:, 0]
        covariances.append(torch.cov(draws.T))
    torch.testing.assert_close(
        covariances[0], covariances[1], atol=0.06 * float(covariances[1].diagonal().max()), rtol=0
    )


def test_a_file_keeps_it(manifold, tiny_manifold, tmp_path):
    path = tmp_path / "w.safetensors"
    write_prior(manifold, path)
    again, line = read_prior(path).parts.line, manifold.parts.line
    assert again.complete and not again.exact
    torch.testing.assert_close(again.model.coarse, line.model.coarse, atol=1e-3, rtol=1e-3)
    assert again.error_variance == pytest.approx(line.error_variance, rel=1e-5)
    write_prior(tiny_manifold, path)
    again = read_prior(path)
    assert not again.parts.line.complete  # the tangent, for poses only
    write_prior(again, path)
    assert not any(name.startswith("linearisation") for name in read_tensors(path)[0])


def test_the_tangent_is_that_of_the_leading_latents(tiny_manifold):
    """Catches differences of the wrong length, or along other latents."""
    line = tangent(tiny_manifold, leading=3)
    assert line.model.rank == 3 and not line.complete and not line.exact
    assert line.fits(6, 1, 64) and not line.fits(2, 1, 64)
    u = torch.zeros(1, 6)
    u[0, 2] = 0.05
    with torch.no_grad():
        moved, still = (tiny_manifold.synthesize(tiny_manifold.latents.colour(v)[:, None]) for v in (u, 0 * u))
    torch.testing.assert_close(still[0], line.model.mean, atol=1e-5, rtol=0)
    slope = (moved - still)[0] / 0.05
    found = line.model.basis[2]
    assert float((slope * found).sum() / slope.norm() / found.norm()) > 0.85
    assert float(found.norm() / slope.norm()) == pytest.approx(1, abs=0.2)


def test_a_network_without_a_linear_part_has_one_too(random_stylegan2, tmp_path):
    prior = with_network(random_stylegan2, network_of(random_stylegan2))
    prior.parts = replace(prior.parts, line=linearised(prior))
    path = tmp_path / "w.safetensors"
    write_prior(prior, path, dtype=torch.float32)
    again = read_prior(path)
    assert isinstance(again, StyleGAN2Prior) and again.parts.line.model.rank == prior.latents.rank
    moved = with_network(again, network_of(again))
    assert moved.parts is again.parts and moved.info.preset == "unaided"
    y = (prior.sample(1, seed=2) + 1) * 127.5
    likelihood = Likelihood(all_measured(Identity(), y, 5.0), y)
    settings = preset("unaided")
    losses = [started(Posterior(p, likelihood, settings)) for p in (again, random_stylegan2)]
    assert np.isfinite(losses).all() and losses[0] != losses[1]


@pytest.mark.parametrize("part", ["mean", "basis", "noise", "other"])
def test_damaged_lines_are_one_sentence(manifold, tmp_path, part):
    path = tmp_path / "w.safetensors"
    write_prior(manifold, path)
    tensors, metadata = read_tensors(path)
    name = f"linearisation.{part}"
    if part == "other":
        tensors["linearisation.basis"] = tensors["linearisation.basis"][:3].clone()  # of other latents
    elif part == "noise":
        tensors[name] = torch.tensor(-1.0)
    else:
        tensors[name] = tensors[name][..., :10].clone()
    write_tensors(path, tensors, metadata)
    with pytest.raises(WeightsError) as error:
        read_prior(path)
    assert "\n" not in str(error.value)


def test_a_line_of_another_prior_is_refused(tiny_manifold, linear_prior):
    with pytest.raises(WeightsError, match="linearisation"):
        ConvolutionalManifold(
            tiny_manifold.latent_map, tiny_manifold.generator, tiny_manifold.latents, tiny_manifold.info,
            Parts(line=Line(LinearModel(linear_prior.mean, linear_prior.coarse, 0.0), exact=False)),
        )  # fmt: skip
