"""Latent maps: the paper's ConvNet of one image, drawn for many images at once without mixing them, in its box."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from napari_brgm.errors import WeightsError
from napari_brgm.priors.latent_maps import ConvolutionalMap, FreeMap, VectorMap, latent_map, map_from_state_dict

KINDS = ("convolutional", "free", "vector")


def params(drawn, batch: int = 3, seed: int = 3) -> torch.Tensor:
    """Different for each image, inside what is allowed."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, drawn.size, generator=generator)
    return drawn.project(drawn.start(generator) + 0.3 * noise)


def by_the_paper(drawn: ConvolutionalMap, phi: torch.Tensor) -> tuple[torch.Tensor, list[tuple[int, ...]]]:
    """f_phi(s) of one image, layer by layer, with batch norm over a batch of one; and the shapes on the way."""
    flat = iter(torch.split(phi, drawn.sizes))
    weights = [next(flat).reshape(b, a, 3, 3) for a, b in ((2, 8), (8, 16), (16, 32), (32, 64))]
    norms = [(next(flat), next(flat)) for _ in range(3)]
    x, shapes = drawn.s, [tuple(drawn.s.shape)]
    for weight, (gain, offset) in zip(weights, norms, strict=False):
        x = F.batch_norm(F.conv2d(x, weight), None, None, gain, offset, training=True, eps=1e-7)
        x = F.leaky_relu(x, 0.2)
        shapes.append(tuple(x.shape))
    x = F.conv2d(x, weights[3], next(flat))
    assert next(flat, None) is None
    return x, [*shapes, tuple(x.shape)]


def test_the_convolutional_map_is_the_papers():
    drawn = ConvolutionalMap()
    phi = params(drawn)
    z = drawn(phi)
    for i in range(3):
        wanted, shapes = by_the_paper(drawn, phi[i])
        assert shapes == [(1, 2, 40, 40), (1, 8, 38, 38), (1, 16, 36, 36), (1, 32, 34, 34), (1, 64, 32, 32)]
        torch.testing.assert_close(z[i : i + 1], wanted, rtol=1e-3, atol=1e-5)
    assert drawn.size == 9 * (2 * 8 + 8 * 16 + 16 * 32 + 32 * 64) + 2 * (8 + 16 + 32) + 64
    assert 0 <= drawn.s.min() < 0.01 and 0.99 < drawn.s.max() < 1  # uniform noise


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_one_image_at_a_time(kind):
    """Catches grouped convolutions that mix the channels of neighbouring images."""
    drawn = latent_map(kind, size=5)
    given = params(drawn).requires_grad_(True)
    z = drawn(given)
    assert z.shape == (3, drawn.channels, drawn.side, drawn.side) == (3, 64, 32, 32)
    for i in range(3):
        torch.testing.assert_close(z[i : i + 1], drawn(given[i : i + 1]), rtol=1e-4, atol=1e-6)
    (gradient,) = torch.autograd.grad(z[1].square().sum(), given)
    assert gradient[1].abs().max() > 0 and not gradient[[0, 2]].abs().max() > 0
    assert (z[0] - z[1]).abs().max() > 1e-3


def test_the_start_is_a_network_that_can_learn():
    drawn = ConvolutionalMap()
    start = drawn.start(torch.Generator().manual_seed(0))
    assert torch.equal(start, drawn.start(torch.Generator().manual_seed(0)))
    weights, rest = start[: drawn.weights], start[drawn.weights :]
    assert weights.abs().max() <= 0.01 and weights.std() == pytest.approx(0.01 / 3**0.5, rel=0.02)
    gains = [1.0] * 8 + [0.0] * 8 + [1.0] * 16 + [0.0] * 16 + [1.0] * 32 + [0.0] * 32 + [0.0] * 64
    assert rest.tolist() == gains
    assert FreeMap().start(torch.Generator()).shape == (64 * 32 * 32,)
    assert VectorMap(4).start(torch.Generator()).tolist() == [0.0] * 4


def test_a_smaller_map_is_enlarged_and_comes_back_as_it_was():
    drawn = latent_map("free", size=8)
    assert drawn.size == 64 * 8 * 8
    given = params(drawn)
    z = drawn(given)
    assert z.shape == (3, 64, 32, 32)
    means = z.reshape(3, 64, 8, 4, 8, 4).mean(dim=(3, 5))
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    wanted = torch.nn.functional.avg_pool2d(given.reshape(3, 64, 8, 8), 3, 1, padding=1)
    assert (means - given.reshape(3, 64, 8, 8))[inner].abs().mean() < (wanted - given.reshape(3, 64, 8, 8))[
        inner
    ].abs().mean()
    again = map_from_state_dict("free", drawn.state_dict())
    assert again.size == drawn.size
    torch.testing.assert_close(again(given), z)


def test_projections_are_to_the_nearest_allowed():
    drawn = ConvolutionalMap(box=0.02)
    wild = 3 * torch.randn(2, drawn.size, generator=torch.Generator().manual_seed(0))
    near = drawn.project(wild)
    torch.testing.assert_close(near[:, : drawn.weights], wild[:, : drawn.weights].clamp(-0.02, 0.02))
    assert torch.equal(near[:, drawn.weights :], wild[:, drawn.weights :])  # biases and normalisation are free
    wild = 3 * torch.randn(2, FreeMap().size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(FreeMap().project(wild), wild.clamp(-1, 1))
    vectors = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(VectorMap(2).project(vectors), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))


@pytest.mark.parametrize("kind", KINDS)
def test_rebuilt_from_its_weights(kind):
    """Catches a map that comes back with other noise s, or another box."""
    drawn = ConvolutionalMap(seed=7, box=0.5) if kind == "convolutional" else latent_map(kind, size=6)
    again = map_from_state_dict(drawn.kind, drawn.state_dict())
    assert again.kind == kind and again.size == drawn.size
    given = 2 * params(drawn)
    torch.testing.assert_close(again(again.project(given)), drawn(drawn.project(given)))
    assert not any(p.requires_grad for p in again.parameters())


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("other", {}), ("", {}), ("x" * 5000 + "\n", {}), ("convolutional", {}), ("vector", {}),
        ("convolutional", {"s": torch.zeros(1, 2, 39, 40), "box": torch.tensor(0.01)}),
        ("free", {"s": torch.zeros(3)}), ("free", {"side_of_map": torch.tensor(33)}),
        ("free", {"side_of_map": torch.tensor(float("nan"))}), ("free", {"side_of_map": torch.tensor(float("inf"))}),
        ("free", {"side_of_map": torch.tensor(7.5)}),
        ("free", {"side_of_map": torch.zeros(2)}), ("vector", {"dense.weight": torch.zeros(3)}),
        ("vector", {"dense.weight": torch.zeros(4096, 0), "dense.bias": torch.zeros(4096)}),
        ("vector", {"dense.weight": torch.empty(0, 1 << 40), "dense.bias": torch.zeros(4096)}),
        ("vector", {"dense.weight": torch.zeros(4096, 3)}),
    ],
)  # fmt: skip
def test_other_weights_are_refused(kind, weights):
    with pytest.raises(WeightsError, match="unknown or incomplete") as caught:
        map_from_state_dict(kind, weights)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 200
