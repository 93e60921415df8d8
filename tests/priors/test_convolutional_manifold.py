"""G(phi) = g(f_phi(s)): phi is held in its box, a batch is apart, and parts that do not fit are refused."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import WeightsError
from napari_brgm.priors.convolutional_manifold import ConvolutionalManifold
from napari_brgm.priors.hourglass import Hourglass
from napari_brgm.priors.latent_maps import ConvolutionalMap, VectorMap
from napari_brgm.priors.parts import Parts
from napari_brgm.priors.prior import LowRankStatistics, Prior, PriorInfo
from napari_brgm.priors.residual_field import ResidualField


def draw(prior, batch: int = 3) -> torch.Tensor:
    u = torch.randn(batch, 1, prior.latents.rank, generator=torch.Generator().manual_seed(2))
    return prior.latents.colour(u)


def test_it_is_a_prior(tiny_manifold):
    assert isinstance(tiny_manifold, Prior)
    assert (tiny_manifold.resolution, tiny_manifold.channels, tiny_manifold.num_ws) == (64, 1, 1)
    assert len(tiny_manifold.latents.mean) == tiny_manifold.latent_map.size
    assert (tiny_manifold.info.preset, tiny_manifold.info.family) == ("manifold", "manifold")
    assert tiny_manifold.info.anatomy and tiny_manifold.for_slice((300, 200), 1) is tiny_manifold
    assert tiny_manifold.to("cpu") is tiny_manifold


def test_images_are_those_of_the_projected_latents(tiny_manifold):
    ws = draw(tiny_manifold)
    ws[0, 0, :5] = torch.tensor([9.0, -9.0, 0.02, -0.02, 0.005])
    images = tiny_manifold.synthesize(ws)
    assert images.shape == (3, 1, 64, 64) and images.abs().max() <= 1
    box = ws.clone()
    weights = tiny_manifold.latent_map.weights
    box[..., :weights] = box[..., :weights].clamp(-0.01, 0.01)
    assert not torch.equal(box, ws)
    with torch.no_grad():
        wanted = tiny_manifold.generator(tiny_manifold.latent_map(box[:, 0]))
    torch.testing.assert_close(images, wanted, rtol=1e-4, atol=1e-5)


def test_a_batch_equals_one_image_at_a_time(tiny_manifold):
    """Catches batch norm that is left in training mode, and images that are mixed."""
    ws = draw(tiny_manifold)
    together = tiny_manifold.synthesize(ws)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], tiny_manifold.synthesize(ws[i : i + 1]), rtol=1e-3, atol=1e-4)
    assert (together[0] - together[1]).abs().mean() > 1e-3


def test_samples_follow_the_seed(tiny_manifold):
    images = tiny_manifold.sample(18, seed=4)  # more than one batch
    assert images.shape == (18, 1, 64, 64)
    torch.testing.assert_close(images, tiny_manifold.sample(18, seed=4))
    assert (images - tiny_manifold.sample(18, seed=5)).abs().max() > 1e-2


def test_gradients_reach_phi(tiny_manifold):
    ws = draw(tiny_manifold).requires_grad_(True)
    tiny_manifold.synthesize(ws).square().sum().backward()
    assert ws.grad is not None and torch.isfinite(ws.grad).all() and (ws.grad.abs().amax(dim=2) > 0).all()


def field(std: int, torus: int) -> ResidualField:
    return ResidualField(torch.ones(std, std), torch.ones(torus, torus))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"latents": LowRankStatistics(torch.zeros(9), torch.ones(1, 9))}, "takes 4 numbers where the statistics"),
        ({"latents": LowRankStatistics(torch.zeros(4), torch.ones(0, 4))}, "no components"),
        ({"generator": Hourglass(ins=32, trunk=(2, 2), fine=())}, "from 64 channels"),
        ({"generator": Hourglass(outs=2, trunk=(2, 2), fine=())}, "grey or colour"),
        ({"generator": Hourglass(trunk=(2,) * 7, fine=())}, "too many sizes"),
        ({"generator": Hourglass(trunk=(2, 2), fine=(2,) * 6)}, "too many sizes"),
        ({"parts": Parts(residual=field(33, 33))}, "32 x 32"),
        ({"parts": Parts(residual=field(32, 31))}, "32 x 32"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, sentence):
    parts = {
        "latent_map": VectorMap(4), "generator": Hourglass(trunk=(2, 2), fine=()), "info": PriorInfo("x"),
        "latents": LowRankStatistics(torch.zeros(4), torch.ones(1, 4)), "parts": Parts(residual=field(32, 40)),
    }  # fmt: skip
    ConvolutionalManifold(**parts)
    with pytest.raises(WeightsError, match=sentence):
        ConvolutionalManifold(**parts | changes)


def test_colour():
    drawn = ConvolutionalMap()
    torch.manual_seed(0)
    net = Hourglass(outs=3, trunk=(4, 4), fine=(4,))
    start = drawn.start(torch.Generator().manual_seed(0))
    prior = ConvolutionalManifold(drawn, net, LowRankStatistics(start, 1e-3 * torch.ones(1, drawn.size)), PriorInfo(""))
    assert prior.sample(2).shape == (2, 3, 64, 64) and prior.channels == 3
