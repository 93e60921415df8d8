"""The generator as trained draws what the generator as used draws."""

from __future__ import annotations

import pytest
import torch

from napari_brgm.priors.stylegan2 import StyleGAN2
from napari_brgm.training.synthesis import mixed_latents, noise_fields, synthesise


@pytest.fixture(scope="module")
def net() -> StyleGAN2:
    torch.manual_seed(0)
    found = StyleGAN2({4: 8, 8: 8, 16: 6}, 16, 16, channels=1, mapping_layers=2)
    with torch.no_grad():
        for name, p in found.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                p.add_(0.3 * torch.randn(p.shape))
    return found


@pytest.mark.parametrize("name", ["32_gray", "64_rgb"])
def test_it_matches_the_network_that_is_used(name, parity):
    """Catches a gain, filter or order of the w that differs: the prior would draw other images than were trained."""
    weights, case = parity(name)
    found = StyleGAN2.from_state_dict(weights).synthesis
    with torch.no_grad():
        images = synthesise(found, case["wplus"])
        torch.testing.assert_close(images, case["image_noise_none"], atol=1e-4, rtol=1e-4)
        fields = [
            getattr(block, c).noise_const.expand(len(images), 1, -1, -1)
            for r in found.resolutions
            for block in [getattr(found, f"b{r}")]
            for c in ("conv0", "conv1")
            if hasattr(block, c)
        ]
        torch.testing.assert_close(
            synthesise(found, case["wplus"], fields), case["image_noise_const"], atol=1e-4, rtol=1e-4
        )


def test_noise_has_the_sizes_of_the_layers(net):
    fields = noise_fields(net.synthesis, 3, torch.Generator().manual_seed(0))
    assert [tuple(f.shape) for f in fields] == [(3, 1, r, r) for r in (4, 8, 8, 16, 16)]
    ws = net.mapping(torch.randn(3, 16))
    with torch.no_grad():
        assert not torch.equal(synthesise(net.synthesis, ws, fields), synthesise(net.synthesis, ws))


def test_bfloat16_blocks_draw_nearly_the_same(net):
    """Catches a block that stays in bfloat16 up to the image, or loses its precision elsewhere."""
    ws = net.mapping(torch.randn(4, 16))
    with torch.no_grad():
        full, half = synthesise(net.synthesis, ws), synthesise(net.synthesis, ws, half_from=8)
    assert half.dtype == torch.float32
    assert 0 < float((half - full).norm() / full.norm()) < 0.02
    with torch.no_grad():
        torch.testing.assert_close(synthesise(net.synthesis, ws, half_from=32), full)


def test_latents_are_mixed_as_often_as_asked(net):
    """Catches a crossover that never happens, or leaves one of the two latents out."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        plain = mixed_latents(net.mapping, 64, 0.0, random)
        mixed = mixed_latents(net.mapping, 400, 0.7, random)
    assert torch.equal(plain, plain[:, :1].expand_as(plain))
    steps = (mixed[:, 1:] != mixed[:, :-1]).any(dim=2).sum(dim=1)  # changes of w from layer to layer
    assert set(steps.tolist()) == {0, 1}
    assert 0.6 < float(steps.float().mean()) < 0.8
    where = (mixed[:, 1:] != mixed[:, :-1]).any(dim=2).float().argmax(dim=1)[steps == 1]
    assert set(where.tolist()) == set(range(net.num_ws - 1))


def test_second_derivatives_in_the_latents(net):
    """Path lengths differentiate the generator twice; against finite differences."""
    double = StyleGAN2({4: 3, 8: 2}, 4, 4, channels=1, mapping_layers=1).double()
    ws = torch.randn(1, double.num_ws, 4, dtype=torch.float64, requires_grad=True)
    const = double.synthesis.b4.const

    def images(w: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        net64 = double.synthesis
        x = torch.func.functional_call(_Drawn(net64), {"net.b4.const": c}, (w,))
        return x

    assert torch.autograd.gradgradcheck(images, (ws, const.detach().requires_grad_(True)), atol=1e-4)


class _Drawn(torch.nn.Module):
    """``synthesise`` in double precision."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, ws: torch.Tensor) -> torch.Tensor:
        return synthesise(self.net, ws)
