"""A mixture fitted to slices of two kinds leans on them, and on Gaussian ones as far as new subjects are like old."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.training.mixture import fit_mixture

SUBJECTS, EACH = 60, 3


@pytest.fixture(scope="module")
def subjects() -> torch.Tensor:
    return torch.arange(SUBJECTS).repeat_interleave(EACH)


def images_of(prior, subjects, kinds: bool) -> torch.Tensor:
    """Slices whose first latents have two tight clusters, or none; all others are Gaussian and a slice's own."""
    generator = torch.Generator().manual_seed(1)
    u = torch.randn(len(subjects), prior.parts.line.model.rank, generator=generator)
    if kinds:
        sign = (subjects % 2 * 2 - 1).float()
        u[:, :4] = 0.97 * sign[:, None] + 0.2 * u[:, :4]
    return prior.synthesize(u[:, None])


def test_it_leans_on_what_comes_again(linear_prior, subjects):
    clustered = fit_mixture(linear_prior, images_of(linear_prior, subjects, True), subjects, mirror=False)
    assert clustered.centres.shape == (SUBJECTS * EACH, linear_prior.parts.line.model.rank)
    assert clustered.shrinkage[0] > 0.8
    plain = fit_mixture(linear_prior, images_of(linear_prior, subjects, False), subjects, mirror=False)
    assert clustered.shrinkage[0] > plain.shrinkage[0] + 0.15


def test_centres_are_the_slices_latents_and_those_of_their_reflections(linear_prior, subjects):
    images = images_of(linear_prior, subjects, True)
    found = fit_mixture(linear_prior, images, subjects, mirror=True)
    own, mirrored = found.centres.chunk(2)
    torch.testing.assert_close(own, linear_prior.parts.line.whitened.encode(images), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(
        mirrored, linear_prior.parts.line.whitened.encode(images.flip(-1)), atol=1e-3, rtol=1e-3
    )  # fmt: skip


def test_what_does_not_suit_it_is_refused(linear_prior, tiny_manifold, subjects):
    images = images_of(linear_prior, subjects, True)
    with pytest.raises(InputError, match="24 pixels a side"):
        fit_mixture(linear_prior, images[..., :20], subjects, mirror=False)
    with pytest.raises(InputError, match="three subjects"):
        fit_mixture(linear_prior, images, subjects * 0, mirror=False)
    with pytest.raises(InputError, match="no linear part"):
        fit_mixture(tiny_manifold, images, subjects, mirror=False)
