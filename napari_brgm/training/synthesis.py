"""The generator as it is trained: same parameters and images as priors/stylegan2.py, other arithmetic.

Blocks from a resolution on run in bfloat16, image outputs and styles in float32; filters are pooling passes; nothing
waits for the device. Activations are not clamped: bfloat16 has float32's exponents, so nothing overflows.

Sources: Karras et al., arXiv 1912.04958 (Sec. 2, App. B: mixed latents as in arXiv 1812.04948, Sec. 3.1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.priors.stylegan2_layers import GAIN
from napari_brgm.training.convolution import convolve, convolve_up
from napari_brgm.training.resample import smooth, upsample

if TYPE_CHECKING:
    from napari_brgm.priors.stylegan2 import Mapping, Synthesis
    from napari_brgm.priors.stylegan2_layers import StyledConv, ToRGB

__all__ = ["mixed_latents", "noise_fields", "synthesise"]


def mixed_latents(mapping: Mapping, n: int, mixing: float, generator: torch.Generator) -> Tensor:
    """Ws (n, num_ws, D) of random z; with probability ``mixing`` the layers from a random one on get another w."""
    device = mapping.w_avg.device
    z = torch.randn(2 * n, mapping.z_dim, device=device, generator=generator)
    first, second = mapping(z)[:, 0].chunk(2)  # (n, D) each
    layers = mapping.num_ws
    where = torch.randint(1, layers, (n,), device=device, generator=generator)
    mixed = torch.rand(n, device=device, generator=generator) < mixing
    switched = mixed[:, None] & (torch.arange(layers, device=device) >= where[:, None])  # (n, L)
    return torch.where(switched[:, :, None], second[:, None], first[:, None])


def noise_fields(net: Synthesis, n: int, generator: torch.Generator) -> list[Tensor]:
    """N(0, 1) noise (n, 1, r, r) for each convolution."""
    sides = [r for r in net.resolutions for _ in range(1 if r == net.resolutions[0] else 2)]
    device = next(net.parameters()).device
    return [torch.randn(n, 1, side, side, device=device, generator=generator) for side in sides]


def synthesise(net: Synthesis, ws: Tensor, fields: list[Tensor] | None = None, half_from: int | None = None) -> Tensor:
    """Images (B, C, R, R) float32 of ws (B, num_ws, D).

    Parameters
    ----------
    net : Synthesis
        Of the 'skip' architecture.
    ws : Tensor
    fields : list of Tensor or None
        Noise of ``noise_fields``; None: no noise.
    half_from : int or None
        Resolution from which blocks run in bfloat16; None: all in float32.
    """
    x = image = None
    layer = 0
    for r in net.resolutions:
        block = getattr(net, f"b{r}")
        half = half_from is not None and r >= half_from
        if x is None:
            x = block.const.expand(len(ws), -1, -1, -1)
        convolutions = [block.conv1] if image is None else [block.conv0, block.conv1]
        x = x.to(torch.bfloat16 if half else ws.dtype)
        for convolution in convolutions:
            x = _styled(convolution, x, ws[:, layer], None if fields is None else fields[layer])
            layer += 1
        rgb = _to_rgb(block.torgb, x, ws[:, layer])
        image = rgb if image is None else upsample(image) + rgb
    assert image is not None
    return image


def _styled(layer: StyledConv, x: Tensor, w: Tensor, field: Tensor | None) -> Tensor:
    """Activations (B, I, h, w) -> (B, O, r, r); gains are folded into demodulation, noise and bias."""
    s = layer.affine(w)  # (B, I)
    demod = (s.square() @ layer.weight.square().sum(dim=(2, 3)).T + 1e-8).rsqrt() * GAIN  # (B, O)
    x = x * s[:, :, None, None].to(x.dtype)
    weight = layer.weight.to(x.dtype)
    if layer.up:
        x = smooth(convolve_up(x, weight), pad=1)
        demod = demod * 4
    else:
        x = convolve(x, weight, padding=1)
    bias = (layer.bias * GAIN)[None, :, None, None].to(x.dtype)
    x = torch.addcmul(bias, x, demod[:, :, None, None].to(x.dtype))  # (B, O, r, r)
    if field is not None:
        x = x + (field * (layer.noise_strength * GAIN)).to(x.dtype)
    return F.leaky_relu(x, 0.2, inplace=True)


def _to_rgb(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    """Activations (B, I, r, r) -> image (B, C, r, r), in float32; styles scale the few weights, not the activations."""
    b, channels, rows, columns = x.shape
    s = layer.affine(w) / math.sqrt(channels)  # (B, I)
    weight = s[:, :, None] * layer.weight[None, :, :, 0, 0].transpose(1, 2)  # (B, I, C)
    flat = x.permute(0, 2, 3, 1).reshape(b, rows * columns, channels).to(w.dtype)
    image = torch.bmm(flat, weight) + layer.bias  # (B, rows * columns, C)
    return image.transpose(1, 2).reshape(b, -1, rows, columns)
