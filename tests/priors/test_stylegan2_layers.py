"""Layers of StyleGAN2: what is done for speed gives what the formulas give."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from napari_brgm.priors.stylegan2_layers import StyledConv, smoothing


def test_one_kernel_enlarges_and_smooths_as_two_do():
    """On a GPU a single transposed convolution stands for the convolution and its smoothing, edges included."""
    layer = StyledConv(5, 7, 8, 16, True, None).requires_grad_(False)
    x = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = F.conv_transpose2d(x, smoothing(torch.float32)(layer.weight), stride=2, padding=2)
    torch.testing.assert_close(whole, layer._enlarged(x), rtol=1e-4, atol=1e-4)


def test_what_is_kept_of_a_frozen_weight_follows_it():
    layer = StyledConv(5, 7, 8, 16, False, None).requires_grad_(False)
    x, w = torch.ones(1, 5, 16, 16), torch.ones(1, 8)
    before = layer(x, w, "none")
    with torch.no_grad():
        layer.weight.mul_(torch.linspace(-1, 1, 5)[None, :, None, None])
    after = layer(x, w, "none")
    fresh = StyledConv(5, 7, 8, 16, False, None).requires_grad_(False)
    fresh.load_state_dict(layer.state_dict())
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, fresh(x, w, "none"))
