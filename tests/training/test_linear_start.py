"""The linear start is principal component analysis, computed by a network of the published architecture."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_brgm.errors import InputError
from napari_brgm.priors.encoder import Encoder
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.stylegan2 import Synthesis
from napari_brgm.training.linear_start import PooledComponents, start_encoder, start_synthesis


@pytest.fixture(scope="module")
def slices(smooth_images) -> torch.Tensor:
    """40 slices (40, 1, 16, 16) uint8."""
    return ((smooth_images(40, 16, seed=3) + 1) * 127.5).round().to(torch.uint8)


def parts(slices: torch.Tensor) -> list[torch.Tensor]:
    """In [-1, 1], in two parts."""
    return list((slices.float() / 127.5 - 1).split(23))


@pytest.mark.parametrize("mirror", [False, True])
def test_components_are_those_of_the_pooled_slices(slices, mirror):
    found = PooledComponents(parts(slices), 8, 6, mirror)
    pooled = F.avg_pool2d(slices.float() / 127.5 - 1, 2)
    model = LinearGaussian.fit(pooled, 6, mirror=mirror)
    torch.testing.assert_close(found.mean, model.mean.flatten())
    torch.testing.assert_close(found.variances.sqrt(), model.basis.flatten(1).norm(dim=1), rtol=1e-3, atol=1e-4)
    overlap = found.directions @ F.normalize(model.basis.flatten(1), dim=1).T
    torch.testing.assert_close(overlap.abs(), torch.eye(6), rtol=0, atol=0.02)


def test_network_and_encoder_start_as_the_linear_model(slices):
    """Catches a wrong gain, fan-in, inverse of the leaky ReLU, or a style that depends on w."""
    components = PooledComponents(parts(slices), 8, 6, False)
    net, encoder = Synthesis({8: 10, 16: 4}, 6), Encoder((4, 4), 6, 16, direct=8)
    start_encoder(encoder, components)
    start_synthesis(net, components, rgb_scale=0.0)
    images = slices[:5].float() / 127.5 - 1
    pooled = F.avg_pool2d(images, 2)
    mean, directions = components.mean, components.directions
    projected = (mean + (pooled.flatten(1) - mean) @ directions.T @ directions).reshape(pooled.shape)
    with torch.no_grad():
        w = encoder.encode(images)
        small = net(w[:, None].expand(-1, net.num_ws, -1), "none", until=8)
        whole = net(w[:, None].expand(-1, net.num_ws, -1), "none")
    torch.testing.assert_close(small + net.b16.torgb.bias, projected, rtol=0, atol=1e-4)
    assert float((whole - images).square().mean()) < 0.5 * float((images - images.mean(dim=0)).square().mean())


def test_latents_are_whitened(slices):
    encoder = Encoder((4, 4), 6, 16, direct=8)
    start_encoder(encoder, PooledComponents(parts(slices), 8, 6, False))
    with torch.no_grad():
        w = encoder.encode(slices.float() / 127.5 - 1)
    torch.testing.assert_close(w.T @ w / len(w), torch.eye(6), rtol=0, atol=1e-3)
    torch.testing.assert_close(w.mean(dim=0), torch.zeros(6), rtol=0, atol=1e-3)


def test_few_channels_keep_the_strongest_patterns(slices):
    components = PooledComponents(parts(slices), 8, 6, False)
    errors = []
    for width in (2, 4, 7):
        net = Synthesis({8: width, 16: 4}, 6)
        start_synthesis(net, components, rgb_scale=0.0)
        w = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            shown = net(w[:, None].expand(-1, net.num_ws, -1), "none", until=8).flatten(1)
        mean, scaled = components.at(8)
        errors.append(float((shown + net.b16.torgb.bias.detach() - mean - w @ scaled).square().mean()))
    assert errors[0] > errors[1] > 1e-6 > errors[2]


def test_too_many_latents_are_refused(slices):
    with pytest.raises(InputError, match="use fewer latents"):
        PooledComponents(parts(slices), 8, 40, False)


def test_an_encoder_with_a_direct_path_is_read_back(slices):
    encoder = Encoder((4, 6, 6), 5, 16, direct=8)
    again = Encoder.from_state_dict(encoder.state_dict())
    images = slices[:2].float() / 127.5 - 1
    torch.testing.assert_close(again.encode(images), encoder.encode(images))
