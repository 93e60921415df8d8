"""Linear start: a StyleGAN2 synthesis network and an encoder that begin as principal component analysis.

    w       = (x - mean)' V / sqrt(lambda)                        the encoder's direct path, on pooled images x
    image_r = sum_i s_i(w) p_i,   p_i = SVD of (mean, V sqrt(lambda)) at the smallest resolution r

The second is what torgb at the smallest resolution computes, without demodulation, if its features p_i do not depend on
w: there conv1 gets a delta kernel and style 1, the constant the patterns p_i (through the inverse of the leaky ReLU,
which is a bijection), and torgb's affine layer the coefficients. Training then starts from the coarse image of each
slice and not from noise. All of it is published architecture: the weights load anywhere.

The grey level at the border is left to the bias of the last torgb: enlarging takes the outside of an image as zero.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.errors import InputError
from napari_brgm.priors.stylegan2_layers import GAIN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari_brgm.priors.encoder import Encoder
    from napari_brgm.priors.stylegan2 import Synthesis

__all__ = ["PooledComponents", "start_encoder", "start_synthesis"]


class PooledComponents:
    """Mean, principal directions and variances of images pooled to ``side`` pixels.

    Attributes
    ----------
    mean : (P,) Tensor
        P = C side^2, in [-1, 1].
    directions : (K, P) Tensor
        Orthonormal, of falling variance.
    variances : (K,) Tensor
    """

    def __init__(self, parts: Iterable[Tensor], side: int, components: int, mirror: bool) -> None:
        """Of images in parts (n, C, R, R) in [-1, 1], on any device; ``mirror`` counts the reflections too."""
        pooled = torch.cat([F.avg_pool2d(part, part.shape[-1] // side).cpu() for part in parts])  # (N, C, side, side)
        self.side, self.channels = side, int(pooled.shape[1])
        if mirror:
            pooled = torch.cat([pooled, pooled.flip(-1)])
        flat = pooled.flatten(1)
        if not 0 < components <= min(flat.shape[1], len(flat) - 1):
            raise InputError(
                f"{len(flat)} slices pooled to {side} px cannot give {components} latents; use fewer latents"
            )
        self.mean = flat.mean(dim=0)
        covariance = torch.cov(flat.double().T, correction=0)
        values, vectors = torch.linalg.eigh(covariance)
        self.variances = values[-components:].flip(0).clamp(min=1e-8).float()
        self.directions = vectors[:, -components:].flip(1).T.contiguous().float()

    def at(self, resolution: int) -> tuple[Tensor, Tensor]:
        """Mean (1, C r^2) and components (K, C r^2) scaled by their standard deviations, at a resolution r <= side."""
        scaled = self.directions * self.variances.sqrt()[:, None]
        maps = torch.cat([self.mean[None], scaled]).reshape(-1, self.channels, self.side, self.side)
        flat = F.avg_pool2d(maps, self.side // resolution).flatten(1)
        return flat[:1], flat[1:]


def start_encoder(encoder: Encoder, components: PooledComponents) -> None:
    """Set the direct path to the whitened coordinates, and the convolutional one to zero."""
    assert encoder.direct is not None
    with torch.no_grad():
        project = components.directions / components.variances.sqrt()[:, None]  # (K, P)
        encoder.direct.weight.copy_(project)
        encoder.direct.bias.copy_(-project @ components.mean)
        encoder.head.weight.zero_()
        encoder.head.bias.zero_()


def start_synthesis(net: Synthesis, components: PooledComponents, rgb_scale: float = 0.02) -> None:
    """Set the first block to the components; torgb of the other ones starts at ``rgb_scale`` of its random weight."""
    with torch.no_grad():
        for r in net.resolutions[1:]:
            getattr(net, f"b{r}").torgb.weight.mul_(rgb_scale)
        if net.channels != 1:
            return  # one pattern serves all colours in torgb: colour nets start at random
        first, last = net.resolutions[0], net.resolutions[-1]
        block = getattr(net, f"b{first}")
        mean, scaled = components.at(first)
        edge = mean.reshape(first, first)[[0, -1]].mean()
        mean = mean - edge
        getattr(net, f"b{last}").torgb.bias.fill_(edge)
        width = block.const.shape[0]
        stack = torch.cat([mean, scaled])  # (1 + K, r^2), images = [1, w] @ stack
        u, s, patterns = torch.linalg.svd(stack, full_matrices=False)
        rank = min(width, len(s))
        size = math.sqrt(stack.shape[1])  # patterns of unit mean square
        shown = torch.zeros(width, stack.shape[1])
        shown[:rank] = patterns[:rank] * size
        coefficients = torch.zeros(width, len(stack))
        coefficients[:rank] = (
            u[:, :rank] * s[:rank]
        ).T / size  # pattern i has the coefficient coefficients[i] @ [1, w]
        before = shown / GAIN
        block.const.copy_(torch.where(before < 0, before / 0.2, before).reshape(block.const.shape))
        block.conv1.weight.zero_()
        # demodulation divides the size out again; at that of a random kernel, one step of Adam is as small a change
        block.conv1.weight[torch.arange(width), torch.arange(width), 1, 1] = math.sqrt(9 * width)
        block.conv1.affine.weight.zero_()
        rgb = block.torgb
        scale = coefficients.norm(dim=1).clamp(min=1e-3)  # weight and style share the size, so that neither is tiny
        rgb.weight.copy_(scale[:, None].reshape(rgb.weight.shape) * math.sqrt(width))
        rgb.affine.bias.copy_(coefficients[:, 0] / scale)
        rgb.affine.weight.copy_(coefficients[:, 1:] / scale[:, None] * math.sqrt(net.w_dim))
