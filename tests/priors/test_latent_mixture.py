"""Mixture: the Gaussian for one slice has the moments of the mixture's posterior, and none of it without a leaning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_brgm.corruptions import Identity, Mask
from napari_brgm.engine.alignment import Alignment
from napari_brgm.engine.by_line import by_line
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError, WeightsError
from napari_brgm.priors import latent_mixture
from napari_brgm.priors.gaussian_posterior import GaussianPosterior
from napari_brgm.priors.latent_mixture import LatentMixture
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.settings import preset
from napari_brgm.zoo.described import parts_of
from napari_brgm.zoo.family import WeightsFile

AS_IT_IS = Alignment(0, 0, 1, 0, 0, 255)
RANK, LEADING, SIGMA = 10, 3, 3.0


class Squared(Identity):
    """No linear corruption."""

    linear = False

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return x.square() / 255


class Measured:
    """Whitened latents seen through 14 numbers with noise."""

    def __init__(self, seed: int = 0, shrinkage=(0.9, 0.7, 0.3), centres: int = 40) -> None:
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        basis, self.u = normal(RANK, 14), normal(RANK)
        y = self.u @ basis + SIGMA * normal(14)
        self.gram, self.right = basis @ basis.T / SIGMA**2, basis @ y / SIGMA**2
        precision = self.gram + torch.eye(RANK)
        self.given = GaussianPosterior(torch.linalg.solve(precision, self.right), precision)
        self.mixture = LatentMixture(normal(centres, LEADING), torch.tensor(shrinkage, dtype=torch.float64))
        half = normal(RANK, RANK)
        self.latents = LatentStatistics(normal(RANK), half @ half.T + torch.eye(RANK))
        self.basis, self.y = basis, y

    def moments(self, temper: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the mixture's posterior, part by part."""
        a = torch.zeros(RANK, dtype=torch.float64)
        a[:LEADING] = self.mixture.shrinkage
        d = 1 - a**2
        centres = torch.zeros(len(self.mixture.centres), RANK, dtype=torch.float64)
        centres[:, :LEADING] = self.mixture.centres * self.mixture.shrinkage
        seen = self.basis.T @ torch.diag(d) @ self.basis + SIGMA**2 * torch.eye(14)
        density = torch.distributions.MultivariateNormal
        evidence = torch.stack([density(c @ self.basis, seen).log_prob(self.y) for c in centres])
        w = torch.softmax(temper * evidence, dim=0)
        covariance = torch.linalg.inv(self.gram + torch.diag(1 / d))
        means = (self.right + centres / d) @ covariance
        mean = w @ means
        return mean, covariance + ((means - mean) * w[:, None]).T @ (means - mean)


def in_whitened(measured: Measured) -> tuple[torch.Tensor, torch.Tensor]:
    """Moments of what ``under`` gives, in the prior's whitened latents."""
    latents, posterior = measured.mixture.under(measured.latents, measured.given)
    mean = measured.latents.whiten(latents.colour(posterior.mean))
    units = torch.eye(RANK, dtype=torch.float64)
    turn = measured.latents.whiten(latents.colour(units)) - measured.latents.whiten(latents.colour(0 * units))
    return mean, turn.T @ posterior.covariance @ turn


@pytest.mark.parametrize("temper", [1.0, 0.5])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_its_posterior_has_the_moments_of_the_mixtures(monkeypatch, seed, temper):
    monkeypatch.setattr(latent_mixture, "_TEMPER", temper)
    measured = Measured(seed)
    for found, wanted in zip(in_whitened(measured), measured.moments(temper), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_without_leaning_it_is_the_gaussian():
    measured = Measured(shrinkage=(0.0, 0.0, 0.0))
    mean, covariance = in_whitened(measured)
    torch.testing.assert_close(mean, measured.given.mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(covariance, measured.given.covariance, atol=1e-6, rtol=0)


def test_latents_are_whitened_and_coloured_back():
    measured = Measured()
    latents, _ = measured.mixture.under(measured.latents, measured.given)
    w = torch.randn(4, 2, RANK, dtype=torch.float64)
    torch.testing.assert_close(latents.colour(latents.whiten(w)), w)


def test_two_far_modes_are_one_wide_gaussian():
    """No Gaussian has a posterior as wide as theirs: the mean stays theirs, and nothing is negative."""
    measured = Measured(shrinkage=(0.99, 0.99, 0.3))
    far = torch.tensor([[6.0, 0, 0], [-6.0, 0, 0]], dtype=torch.float64)
    measured.mixture = LatentMixture(far, measured.mixture.shrinkage)
    blind = GaussianPosterior(torch.zeros(RANK, dtype=torch.float64), torch.eye(RANK, dtype=torch.float64))
    measured.given = blind
    mean, covariance = in_whitened(measured)
    assert mean.abs().max() < 1e-6
    assert 4 < covariance[0, 0] < 40 and torch.linalg.eigvalsh(covariance).min() > 0


@pytest.mark.parametrize(
    ("centres", "shrinkage"),
    [
        (torch.zeros(0, 3), torch.zeros(3)), (torch.zeros(4, 3), torch.zeros(2)), (torch.zeros(4, 3), torch.ones(3)),
        (torch.full((4, 3), torch.nan), torch.zeros(3)), (torch.zeros(4), torch.zeros(4)),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(centres, shrinkage):
    with pytest.raises(InputError):
        LatentMixture(centres, shrinkage)
    with pytest.raises(WeightsError):
        parts_of(WeightsFile({"mixture.centres": centres, "mixture.shrinkage": shrinkage}, {}, "", "toy"))


def test_heads_of_two_kinds_are_restored_better(linear_prior, with_parts):
    """Latents of +-2 and little between: what is measured says which, and the mixture what that means for the rest."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.where(torch.rand(400, 1, generator=generator) < 0.5, -1.0, 1.0)
    u = torch.cat([kinds * torch.tensor([1.0, -1.0, 1.0]), torch.zeros(400, 1)], dim=1)
    u = 0.95 * u + 0.3 * torch.randn(u.shape, generator=generator)
    prior = with_parts(linear_prior, mixture=LatentMixture(u[20:], torch.tensor([0.95, 0.95, 0.95, 0.05])))
    missing = np.zeros((24, 24), dtype=bool)
    missing[4:20, 3:20] = True
    errors = {"default": 0.0, "mixture": 0.0}
    for one in u[:8]:
        v = torch.zeros(1, 1, linear_prior.parts.line.model.rank)
        v[..., :4] = one
        image = ((prior.synthesize(prior.latents.colour(v)) + 1) * 127.5)[0, 0].numpy()
        for name in errors:
            settings = preset(name).but(calibrate=False, residual_field=False)
            found = restore(
                image, Mask(missing), prior, samples=4, settings=settings, noise_sigma=2.0, alignment=AS_IT_IS
            )
            errors[name] += float(np.square(found.mean - image)[missing].mean())
            assert found.provenance["settings"]["prior_density"] == ("gaussian" if name == "default" else "mixture")
    assert errors["mixture"] < 0.8 * errors["default"]


def test_where_it_cannot_be_weighed_the_gaussian_stands(linear_prior, with_parts, smooth_images):
    scan = ((smooth_images(1, 24)[0, 0] + 1) * 127.5).numpy()
    hole = np.zeros((24, 24), dtype=bool)
    hole[8:14, 8:14] = True
    with pytest.raises(InputError, match="no mixture over training slices"):
        restore(scan, Mask(hole), linear_prior, settings=preset("mixture"), samples=2)
    prior = with_parts(linear_prior, mixture=LatentMixture(torch.zeros(5, 3), torch.full((3,), 0.5)))
    found, plain = (
        restore(scan, Squared(), prior, settings=preset(name), samples=2) for name in ("mixture", "default")
    )
    np.testing.assert_array_equal(found.estimate, plain.estimate)
    with pytest.raises(InputError, match="start 'linear'"):
        preset("mixture").but(start="mean")


def test_what_the_line_explains_is_asked_of_the_gaussian(linear_prior, with_parts, smooth_images):
    """Its latents have another centre under the mixture: clean slices looked like nothing that the prior knows."""
    scan = ((smooth_images(1, 24)[0, 0] + 1) * 127.5).numpy()
    centres = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    mixed = with_parts(linear_prior, mixture=LatentMixture(centres, torch.full((3,), 0.9)))
    mixed.info = replace(linear_prior.info, preset="mixture")
    plain, found = (by_line(scan, prior, (1.5, 1.5)) for prior in (linear_prior, mixed))
    torch.testing.assert_close(found.shown, plain.shown)
