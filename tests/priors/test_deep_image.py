"""The untrained network: each image of a batch has weights of its own, and any slice finds a frame."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.errors import InputError
from napari_brgm.priors.deep_image import DeepImagePrior, IndependentStatistics
from napari_brgm.priors.prior import Prior


def draw(prior: DeepImagePrior, batch: int = 3) -> torch.Tensor:
    u = torch.randn(batch, 1, prior.latents.rank, generator=torch.Generator().manual_seed(1))
    return prior.latents.colour(u)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_equals_one_image_at_a_time(channels):
    """Catches grouped convolutions or skips that mix the channels of neighbouring images."""
    prior = DeepImagePrior(48, channels)
    ws = draw(prior).requires_grad_(True)
    images = prior.synthesize(ws)
    assert images.shape == (3, channels, 48, 48) and images.abs().max() <= 1
    for i in range(3):
        torch.testing.assert_close(images[i : i + 1], prior.synthesize(ws[i : i + 1]), rtol=1e-3, atol=1e-4)
    (gradient,) = torch.autograd.grad(images[1].square().sum(), ws)
    assert gradient[1].abs().max() > 0 and not gradient[[0, 2]].abs().max() > 0
    assert (images[0] - images[1]).abs().mean() > 0.05


def test_every_layer_has_a_say():
    """Catches a skip connection or a layer that the forward pass forgets."""
    prior = DeepImagePrior(32)
    ws = draw(prior, 1).requires_grad_(True)
    (gradient,) = torch.autograd.grad((prior.synthesize(ws) - 0.2).square().sum(), ws)
    assert all(part.abs().max() > 0 for part in torch.split(gradient[0, 0], prior.sizes))


def test_networks_start_as_networks_do():
    prior = DeepImagePrior(32)
    mean, std = (torch.split(value, prior.sizes) for value in (prior.latents.mean, prior.latents.std))
    for shape, m, s in zip(prior.shapes, mean, std, strict=True):
        if len(shape) == 4:
            assert m.eq(0).all() and s[0] == pytest.approx((2 / (shape[1] * shape[2] * shape[3])) ** 0.5)
        else:
            assert m.eq(m[0]).all() and s[0] == pytest.approx(0.02)
    gains = [float(m[0]) for shape, m in zip(prior.shapes, mean, strict=True) if len(shape) == 1]
    assert gains == [1.0, 0.0] * (len(gains) // 2) + [0.0]  # gain and offset of each block, and the last bias


@pytest.mark.parametrize(
    ("shape", "side"),
    [((5, 7), 32), ((32, 32), 32), ((33, 20), 48), ((100, 81), 112), ((500, 512), 512), ((513, 20), 512)],
)
def test_the_frame_holds_the_slice(shape, side):
    prior = DeepImagePrior(32, seed=5).for_slice(shape, 3)
    assert prior.for_slice(shape, 3) is prior
    assert (prior.resolution, prior.channels, prior.seed) == (side, 3, 5)


def test_a_seed_decides_the_noise():
    a, b, c = DeepImagePrior(32), DeepImagePrior(32), DeepImagePrior(32, seed=1)
    assert torch.equal(a.noise, b.noise) and not torch.equal(a.noise, c.noise)
    assert a.noise.shape == (1, 8, 32, 32) and a.noise.max() <= 0.1
    torch.testing.assert_close(a.sample(9, seed=3), b.sample(9, seed=3))  # more than one batch
    assert (a.sample(2, seed=3) - a.sample(2, seed=4)).abs().mean() > 0.05


def test_it_is_a_prior():
    prior = DeepImagePrior(32)
    assert isinstance(prior, Prior) and prior.to("cpu") is prior and prior.info.preset == "untrained"
    assert not prior.info.anatomy and prior.parts.line is None
    assert sum(prior.sizes) == len(prior.latents.mean) == prior.latents.rank


@pytest.mark.parametrize(("arguments", "sentence"), [((40,), "steps of 16"), ((16,), "32 to 512"), ((528,), "528")])
def test_other_sides_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        DeepImagePrior(*arguments)
    with pytest.raises(InputError, match="1 or 3 channels"):
        DeepImagePrior(32, 2)


def test_statistics_are_inverse():
    statistics = IndependentStatistics(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    u = torch.tensor([[[2.0, -1.0]]])
    assert statistics.colour(u).tolist() == [[[2.0, -5.0]]] and statistics.rank == 2
    torch.testing.assert_close(statistics.whiten(statistics.colour(u)), u)
