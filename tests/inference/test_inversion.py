"""Inversion returns the image it was given where the generator can draw it, and says how far it is where it cannot."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.inference.inversion import invert, starting_latents
from napari_brgm.likelihood import to_grey
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.parts import Parts
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.stylegan2 import Synthesis
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior


@pytest.fixture(scope="module")
def tiny() -> StyleGAN2Prior:
    """A 16 px network of five latents, correlated and not centred."""
    torch.manual_seed(3)
    net = Synthesis({4: 12, 8: 12, 16: 8}, 5)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("torgb.weight"):
                p.mul_(0.1)  # images stay within [-1, 1]
    mixed = torch.randn(5, 5)
    return StyleGAN2Prior(net, LatentStatistics(torch.full((5,), 0.5), mixed @ mixed.T / 5), PriorInfo("tiny"))


@pytest.mark.parametrize("space", ["w", "w+"])
def test_an_image_of_the_prior_comes_back(tiny, space):
    """Catches a wrong factor, a lost mean, layers that share a w they should not, and a learning rate that stalls."""
    targets = tiny.sample(3, seed=2)
    found = invert(tiny, targets, space=space, steps=300, learning_rate=0.1)
    assert float(found.rmse.max()) < 1
    assert float(found.trace[0].min()) > 5  # the start did not give it away
    torch.testing.assert_close(tiny.synthesize(found.ws), found.images, rtol=0, atol=1e-4)
    in_w = torch.equal(found.ws, found.ws[:, :1].expand_as(found.ws))
    assert in_w == (space == "w")


def test_error_is_in_grey_levels_and_the_best_is_kept(tiny):
    targets = tiny.sample(2, seed=5) + 0.3
    found = invert(tiny, targets, steps=20, learning_rate=3.0)  # jumps about
    own = (to_grey(found.images).clamp(0, 255) - to_grey(targets)).square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(found.rmse, own)
    assert found.trace.shape == (21, 2)
    unclipped = (found.images - targets).square().mean(dim=(1, 2, 3))
    start = (tiny.synthesize(tiny.latents.mean.expand(2, 6, 5)) - targets).square().mean(dim=(1, 2, 3))
    assert bool((unclipped <= start + 1e-6).all())


def test_images_do_not_influence_each_other(tiny):
    """Catches an objective averaged over the batch."""
    targets = tiny.sample(3, seed=4)
    together = invert(tiny, targets, steps=15)
    apart = invert(tiny, targets, steps=15, batch=1)
    torch.testing.assert_close(together.ws, apart.ws, rtol=1e-3, atol=1e-3)
    assert together.trace.shape == apart.trace.shape == (16, 3)


def test_pull_keeps_latents_near_the_mean(tiny):
    target = tiny.sample(1, seed=6) + 0.5
    free, held = (invert(tiny, target, steps=60, pull=pull).ws for pull in (0.0, 1e5))
    assert (held - tiny.latents.mean).norm() < 0.3 * (free - tiny.latents.mean).norm()


def test_it_starts_at_the_linear_part(linear_prior):
    """Closed form: a linear generator is inverted before the first step."""
    targets = linear_prior.sample(2, seed=1)
    assert float(invert(linear_prior, targets, steps=0).trace[0].max()) < 1e-2


def test_it_starts_at_the_encoder_if_that_gives_whole_latents(tiny, smooth_images):
    targets = smooth_images(2, 16)
    whole, leading = Encoder((4, 4), 5, 16).eval(), Encoder((4, 4), 3, 16).eval()
    for encoder, expected in ((whole, whole.encode(targets)), (leading, tiny.latents.mean.expand(2, 5))):
        prior = StyleGAN2Prior(tiny.synthesis, tiny.latents, tiny.info, parts=Parts(encoder=encoder))
        torch.testing.assert_close(starting_latents(prior, targets), expected)
        started = invert(prior, targets, steps=0)
        torch.testing.assert_close(started.ws[:, 2], expected, rtol=1e-3, atol=1e-3)


def test_it_refines_a_linear_part(smooth_images):
    base = LinearGaussian.fit(smooth_images(30, 16), 6)
    torch.manual_seed(0)
    net = Synthesis({8: 8, 16: 8}, 4, inject=True)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("torgb.weight"):
                p.mul_(0.05)
    prior = StyleGAN2Prior(net, base.latents, PriorInfo("base"), base=base)
    found = invert(prior, smooth_images(2, 16, seed=9), steps=40)
    assert bool((found.rmse < 0.9 * found.trace[0]).all())


def test_what_does_not_fit_is_refused(tiny):
    image = tiny.sample(1)
    with pytest.raises(InputError, match=r"must be \(B, 1, 16, 16\)"):
        invert(tiny, image[..., :8])
    with pytest.raises(InputError, match="'w' or 'w\\+'"):
        invert(tiny, image, space="z")
    with pytest.raises(InputError, match="at least one"):
        invert(tiny, image[:0])
    with pytest.raises(InputError, match="at least 0"):
        invert(tiny, image, steps=-1)
