"""Layers of StyleGAN2: dense, modulated convolution, image output, residual skip.

A style-modulated convolution is evaluated by scaling activations, not weights (arXiv 1912.04958, Sec. 2.2, Eq. 1-3):
conv(x; w * s) / norm == conv(x * s; w) / norm, so that a batch of samples shares one ordinary convolution.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "FIR", "GAIN", "Activation", "Dense", "Inject", "NoiseMode", "Skip", "StyledConv", "ToRGB", "activate", "bent",
    "unbent", "upsample",
]  # fmt: skip

NoiseMode = Literal["const", "none", "random"]
Activation = Literal["lrelu", "lsoftplus"]

FIR = (1.0, 3.0, 3.0, 1.0)  # the only resampling filter used by published nets
GAIN = math.sqrt(2.0)  # of the leaky ReLU


def activate(x: Tensor, activation: Activation, gain: float = 1.0) -> Tensor:
    """Leaky ReLU 0.2 times sqrt(2), or the smooth ``0.2 x + 0.8 softplus(50 x) / 50``, which has no gain of its own."""
    if activation == "lrelu":
        return F.leaky_relu(x, 0.2) * (GAIN * gain)
    return (0.2 * x + 0.8 * F.softplus(x, beta=50)) * gain


def bent(x: Tensor) -> Tensor:
    """Leaky ReLU 0.2 without gain, elementwise: the last act of a mapping network."""
    return F.leaky_relu(x, 0.2)


def unbent(w: Tensor) -> Tensor:
    """Inverse of ``bent``, elementwise."""
    return F.leaky_relu(w, 5.0)


def _normal(*shape: int, std: float) -> Tensor:
    """Draw N(0, std^2); on the meta device nothing is computed, which would load torch's compiler (seconds)."""
    values = torch.randn(shape)
    return values if values.is_meta else values * std


class Dense(nn.Module):
    """Fully connected layer with equalised learning rate: ``x W' * (lr / sqrt(in)) + b * lr``."""

    def __init__(self, in_features: int, out_features: int, lr: float = 1.0, bias_init: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(_normal(out_features, in_features, std=1 / lr))
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.lr = lr

    def forward(self, x: Tensor) -> Tensor:  # (B, in) -> (B, out)
        weight = self.weight * (self.lr / math.sqrt(self.weight.shape[1]))
        return F.linear(x, weight, self.bias * self.lr)


def upsample(x: Tensor) -> Tensor:
    """Double the size of x (B, C, H, W): zero insertion, then the FIR [1, 3, 3, 1] / 8 per axis with gain 4."""
    channels = x.shape[1]
    fir = torch.tensor(FIR, dtype=x.dtype, device=x.device) / 4
    kernel = torch.outer(fir, fir).expand(channels, 1, 4, 4)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)


def _smooth(x: Tensor) -> Tensor:
    """FIR [1, 3, 3, 1] / 4 per axis of x (B, C, 2r + 1, 2r + 1) -> (B, C, 2r, 2r), zeros outside."""
    x = F.pad(x, (1, 1, 1, 1))
    x = (x[:, :, :-3] + x[:, :, 3:]).add_(x[:, :, 1:-2] + x[:, :, 2:-1], alpha=3.0)
    return (x[..., :-3] + x[..., 3:]).add_(x[..., 1:-2] + x[..., 2:-1], alpha=3.0).mul_(1 / 16)


class StyledConv(nn.Module):
    """Modulated, demodulated 3x3 convolution with noise, bias and activation; ``up`` doubles the size."""

    noise_const: Tensor

    def __init__(
        self, in_ch: int, out_ch: int, w_dim: int, resolution: int, up: bool, clamp: float | None,
        activation: Activation = "lrelu",
    ) -> None:  # fmt: skip
        super().__init__()
        self.resolution, self.up, self.clamp, self.activation = resolution, up, clamp, activation
        self.weight = nn.Parameter(torch.randn(out_ch, in_ch, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_ch))
        self.affine = Dense(w_dim, in_ch, bias_init=1.0)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self._kept: tuple[object, Tensor] | None = None

    def _power(self) -> Tensor:
        """Sum of the squared kernel (O, I); kept while the weight is frozen: it costs as much as a small layer."""
        weight = self.weight
        if torch.compiler.is_compiling() or weight.requires_grad or torch.is_inference(weight):
            return weight.square().sum(dim=(2, 3))
        state = (weight.data_ptr(), weight._version, weight.device, weight.dtype)
        if self._kept is None or self._kept[0] != state:
            with torch.no_grad():
                self._kept = (state, weight.square().sum(dim=(2, 3)))
        return self._kept[1]

    def forward(self, x: Tensor, w: Tensor, noise: NoiseMode, gain: float = 1.0) -> Tensor:
        s = self.affine(w)  # (B, I)
        demod = (s.square() @ self._power().T + 1e-8).rsqrt()  # (B, O)
        x = x * s[:, :, None, None].to(x.dtype)  # (B, I, h, w)
        weight = self.weight.to(x.dtype)
        if self.up:
            x = _smooth(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        else:
            x = F.conv2d(x, weight, padding=1)
        x = x * demod[:, :, None, None].to(x.dtype)  # (B, O, r, r)
        if noise == "const":
            x = x + (self.noise_const * self.noise_strength).to(x.dtype)
        elif noise == "random":
            field = torch.randn(len(x), 1, self.resolution, self.resolution, device=x.device)
            x = x + (field * self.noise_strength).to(x.dtype)
        x = activate(x + self.bias[:, None, None].to(x.dtype), self.activation, gain)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class ToRGB(nn.Module):
    """1x1 modulated convolution to image channels, no demodulation; styles carry the gain 1 / sqrt(fan-in)."""

    def __init__(self, in_ch: int, channels: int, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.weight = nn.Parameter(torch.randn(channels, in_ch, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = Dense(w_dim, in_ch, bias_init=1.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:  # (B, I, r, r) -> (B, C, r, r) float32
        s = self.affine(w) / math.sqrt(self.weight.shape[1])  # (B, I)
        x = F.conv2d(x * s[:, :, None, None].to(x.dtype), self.weight.to(x.dtype))
        x = x.float() + self.bias[:, None, None]
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class Skip(nn.Module):
    """Residual path of the 'resnet' architecture: 1x1 convolution and up-sampling, gain 1 / sqrt(2)."""

    def __init__(self, in_ch: int, out_ch: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_ch, in_ch, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype) * (math.sqrt(0.5) / math.sqrt(self.weight.shape[1]))
        return upsample(F.conv2d(x, weight))


class Inject(nn.Module):
    """Ours: a spatial latent. Patches of a base image (B, C, R, R) become features at resolution r."""

    def __init__(self, channels: int, out_ch: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(_normal(out_ch, channels * patch**2, 1, 1, std=1 / patch))

    def forward(self, base: Tensor) -> Tensor:  # (B, C, R, R) -> (B, O, r, r)
        return F.conv2d(F.pixel_unshuffle(base, self.patch), self.weight)
