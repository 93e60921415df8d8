"""Discriminator of StyleGAN2: residual convolutions from the image down to 4 x 4, minibatch deviation, one number.

    y   = lrelu(conv(lrelu(conv(x)) * FIR, stride 2)),   skip = conv1x1(x * FIR, stride 2)
    x'  = (y + skip) / sqrt(2)

Every weight is N(0, 1) at the start and scaled by 1 / sqrt(fan-in) at run time (equalised learning rate, Karras et
al., arXiv 1710.10196, Sec. 4.1). Source: Karras et al., arXiv 1912.04958, Fig. 7 and App. B.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.priors.stylegan2_layers import GAIN, Dense
from napari_brgm.training.convolution import convolve
from napari_brgm.training.resample import halve, smooth

__all__ = ["Discriminator", "minibatch_deviation"]


class Convolution(nn.Module):
    """Equalised convolution; ``gain`` covers weight and bias, so that no pass over the activations is spent on it."""

    def __init__(self, in_ch: int, out_ch: int, size: int, gain: float, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_ch, in_ch, size, size))
        self.bias = nn.Parameter(torch.zeros(out_ch)) if bias else None
        self.scale, self.gain = gain / math.sqrt(in_ch * size**2), gain

    def forward(self, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        weight = (self.weight * self.scale).to(x.dtype)
        x = convolve(x, weight, stride, padding)
        return x if self.bias is None else x.add_((self.bias * self.gain).to(x.dtype)[:, None, None])


class DownBlock(nn.Module):
    """(B, I, 2r, 2r) -> (B, O, r, r)."""

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.conv0 = Convolution(in_ch, in_ch, 3, GAIN)
        self.conv1 = Convolution(in_ch, out_ch, 3, 1.0)  # sqrt(2) of the leaky ReLU, 1 / sqrt(2) of the sum
        self.skip = Convolution(in_ch, out_ch, 1, math.sqrt(0.5), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        short = self.skip(halve(x))
        x = F.leaky_relu(self.conv0(x, padding=1), 0.2, inplace=True)
        x = F.leaky_relu(self.conv1(smooth(x, pad=2), stride=2), 0.2, inplace=True)
        found: Tensor = x + short
        return found


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Append one channel: the standard deviation within each group of samples, averaged over channels and positions.

    Parameters
    ----------
    x : (B, C, H, W) Tensor
    group : int
        Samples in a row that form a group; divides B.

    Returns
    -------
    (B, C + 1, H, W) Tensor
        Source: arXiv 1710.10196, Sec. 3.
    """
    b, _, rows, columns = x.shape
    if b % group:
        raise ValueError(f"a batch of {b} cannot be split into groups of {group}")
    grouped = x.reshape(b // group, group, -1)
    variance = (grouped - grouped.mean(dim=1, keepdim=True)).square().mean(dim=1)  # (B / group, C H W)
    deviation = (variance + 1e-8).sqrt().mean(dim=1)  # (B / group,)
    channel = deviation[:, None].expand(-1, group).reshape(b, 1, 1, 1).expand(-1, -1, rows, columns)
    return torch.cat([x, channel.to(x.dtype)], dim=1)


class Discriminator(nn.Module):
    """Images (B, C, R, R) -> logits (B,), above zero where they look real.

    Parameters
    ----------
    widths : dict[int, int]
        Channels of each resolution, as of the generator; the smallest is 4.
    channels : int
        C, 1 or 3.
    group : int
        Of the minibatch deviation.
    """

    def __init__(self, widths: dict[int, int], channels: int = 1, group: int = 4) -> None:
        super().__init__()
        self.resolutions = sorted(widths, reverse=True)
        self.group = group
        self.from_rgb = Convolution(channels, widths[self.resolutions[0]], 1, GAIN)
        for r in self.resolutions[:-1]:
            self.add_module(f"b{r}", DownBlock(widths[r], widths[r // 2]))
        last = self.resolutions[-1]
        self.conv = Convolution(widths[last] + 1, widths[last], 3, GAIN)
        self.dense = Dense(widths[last] * last**2, widths[last])
        self.out = Dense(widths[last], 1)

    def forward(self, images: Tensor, half_from: int | None = None) -> Tensor:
        """Logits; blocks of resolution ``half_from`` and above run in bfloat16 (None: all in float32)."""
        x = images
        # one channel looks contiguous in either layout: say which, or the first block falls back to the slow one
        layout = torch.channels_last if images.is_cuda else torch.preserve_format
        for r in self.resolutions[:-1]:
            half = half_from is not None and r >= half_from
            x = x.to(torch.bfloat16 if half else images.dtype, memory_format=layout)
            if r == self.resolutions[0]:
                x = F.leaky_relu(self.from_rgb(x), 0.2, inplace=True)
            x = getattr(self, f"b{r}")(x)
        x = minibatch_deviation(x.to(images.dtype), self.group)
        x = F.leaky_relu(self.conv(x, padding=1), 0.2, inplace=True)
        x = F.leaky_relu(self.dense(x.flatten(1)), 0.2, inplace=True) * GAIN
        logits: Tensor = self.out(x)[:, 0]
        return logits
