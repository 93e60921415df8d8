"""Layers of StyleGAN2: dense, modulated convolution, image output, residual skip.

A style-modulated convolution is evaluated by scaling activations, not weights (arXiv 1912.04958, Sec. 2.2, Eq. 1-3):
conv(x; w * s) / norm == conv(x * s; w) / norm, so that a batch of samples shares one ordinary convolution.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FIR", "GAIN", "Activation", "Dense", "Inject", "NoiseMode", "Skip", "StyledConv", "ToRGB", "activate", "bent",
    "normal", "unbent", "upsample",
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


def normal(*shape: int, std: float = 1.0) -> Tensor:
    """Draw N(0, std^2); on the meta device nothing is drawn, which would load torch's compiler (half a second)."""
    values = torch.empty(shape)
    return values if values.is_meta else torch.randn(shape) * std


class Dense(nn.Module):
    """Fully connected layer with equalised learning rate: ``x W' * (lr / sqrt(in)) + b * lr``."""

    def __init__(self, in_features: int, out_features: int, lr: float = 1.0, bias_init: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(out_features, in_features, std=1 / lr))
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.lr = lr

    def forward(self, x: Tensor) -> Tensor:  # (B, in) -> (B, out)
        scale = self.lr / math.sqrt(self.weight.shape[1])
        return F.linear(x * scale, self.weight, self.bias if self.lr == 1.0 else self.bias * self.lr)


def upsample(x: Tensor) -> Tensor:
    """Double the size of x (B, C, H, W): zero insertion, then the FIR [1, 3, 3, 1] / 8 per axis with gain 4."""
    channels = x.shape[1]
    kernel = _doubling if torch.compiler.is_compiling() else _kept_doubling
    return F.conv_transpose2d(x, kernel(channels, x.dtype, x.device), stride=2, padding=1, groups=channels)


def _doubling(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Kernel (C, 1, 4, 4) of ``upsample`` and of what smooths a transposed convolution."""
    fir = torch.tensor(FIR, dtype=dtype, device=device) / 4
    return torch.outer(fir, fir).expand(channels, 1, 4, 4)


@functools.lru_cache
def _kept_doubling(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Keep it: a copy to a GPU waits for it."""
    with torch.inference_mode(False):
        return _doubling(channels, dtype, device)


def _smooth(x: Tensor) -> Tensor:
    """FIR [1, 3, 3, 1] / 4 per axis of x (B, C, 2r + 1, 2r + 1) -> (B, C, 2r, 2r), zeros outside."""
    channels = x.shape[1]
    kernel = _doubling if torch.compiler.is_compiling() else _kept_doubling
    return F.conv2d(x, kernel(channels, x.dtype, x.device), padding=1, groups=channels)


def smoothing(dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Maker of (I, O, 6, 6) of weights (O, I, 3, 3): of a smoothed transposed convolution, stride 2, padding 2."""

    def made(weight: Tensor) -> Tensor:
        fir = torch.tensor(FIR, dtype=torch.float32, device=weight.device)
        kernel = torch.outer(fir, fir)[None, None] / 16
        whole = F.conv2d(weight.float().flatten(0, 1)[:, None], kernel, padding=3)  # (O I, 1, 6, 6)
        return whole.reshape(*weight.shape[:2], 6, 6).transpose(0, 1).to(dtype).contiguous()

    return made


class _Kept:
    """What is made of a weight, made once while the weight is frozen."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[object, Tensor]] = {}

    def of(self, name: str, weight: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        if not frozen(weight):
            return make(weight)
        state = (weight.data_ptr(), weight._version, weight.device, weight.dtype)
        if name not in self._made or self._made[name][0] != state:
            with torch.no_grad():
                self._made[name] = (state, make(weight))
        return self._made[name][1]


def frozen(weight: Tensor) -> bool:
    """Whether what is made of a weight may be kept beside it."""
    return not (torch.compiler.is_compiling() or weight.requires_grad or torch.is_inference(weight))


class StyledConv(nn.Module):
    """Modulated, demodulated 3x3 convolution with noise, bias and activation; ``up`` doubles the size."""

    noise_const: Tensor

    def __init__(
        self, in_ch: int, out_ch: int, w_dim: int, resolution: int, up: bool, clamp: float | None,
        activation: Activation = "lrelu",
    ) -> None:  # fmt: skip
        super().__init__()
        self.resolution, self.up, self.clamp, self.activation = resolution, up, clamp, activation
        self.weight = nn.Parameter(normal(out_ch, in_ch, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_ch))
        self.affine = Dense(w_dim, in_ch, bias_init=1.0)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", normal(resolution, resolution))
        self._kept = _Kept()

    def _enlarged(self, x: Tensor) -> Tensor:
        """Transposed convolution of x (B, I, r/2, r/2) with stride 2 and its smoothing: (B, O, r, r).

        On a GPU with one kernel for both, 6 x 6: four times the arithmetic, of which it has plenty, and a tenth of the
        passes over the map.
        """
        if x.device.type == "cuda" and frozen(self.weight):
            return F.conv_transpose2d(
                x, self._kept.of(f"smooth {x.dtype}", self.weight, smoothing(x.dtype)), None, 2, 2
            )
        return _smooth(F.conv_transpose2d(x, self.weight.to(x.dtype).transpose(0, 1), stride=2))

    def forward(self, x: Tensor, w: Tensor, noise: NoiseMode, gain: float = 1.0) -> Tensor:
        s = self.affine(w)  # (B, I)
        power = self._kept.of("power", self.weight, lambda weight: weight.square().sum(dim=(2, 3)))  # (O, I)
        demod = (s.square() @ power.T + 1e-8).rsqrt()  # (B, O)
        x = x * s[:, :, None, None].to(x.dtype)  # (B, I, h, w)
        if self.up:
            x = self._enlarged(x)
        else:
            x = F.conv2d(x, self._kept.of(f"{x.dtype}", self.weight, lambda weight: weight.to(x.dtype)), padding=1)
        # Elementwise work on large maps takes longer than their convolutions: the gain goes into what is multiplied and
        # added anyway, which the leaky ReLU allows.
        scale = GAIN * gain if self.activation == "lrelu" else 1.0
        offset = (self.bias * scale)[:, None, None].to(x.dtype)  # (O, 1, 1)
        if noise == "const":
            offset = offset + (self.noise_const * (self.noise_strength * scale)).to(x.dtype)  # (O, r, r)
        elif noise == "random":
            field = torch.randn(len(x), 1, self.resolution, self.resolution, device=x.device)
            offset = offset + (field * (self.noise_strength * scale)).to(x.dtype)  # (B, O, r, r)
        x = torch.addcmul(offset, x, (demod * scale)[:, :, None, None].to(x.dtype))  # (B, O, r, r)
        x = F.leaky_relu_(x, 0.2) if self.activation == "lrelu" else activate(x, self.activation, gain)
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class ToRGB(nn.Module):
    """1x1 modulated convolution to image channels, no demodulation; styles carry the gain 1 / sqrt(fan-in)."""

    def __init__(self, in_ch: int, channels: int, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.weight = nn.Parameter(normal(channels, in_ch, 1, 1))
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
        self.weight = nn.Parameter(normal(out_ch, in_ch, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.to(x.dtype) * (math.sqrt(0.5) / math.sqrt(self.weight.shape[1]))
        return upsample(F.conv2d(x, weight))


class Inject(nn.Module):
    """Ours: a spatial latent. Patches of a base image (B, C, R, R) become features at resolution r."""

    def __init__(self, channels: int, out_ch: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(normal(out_ch, channels * patch**2, 1, 1, std=1 / patch))

    def forward(self, base: Tensor) -> Tensor:  # (B, C, R, R) -> (B, O, r, r)
        weight = self.weight.reshape(len(self.weight), -1, self.patch, self.patch)
        return F.conv2d(base, weight, stride=self.patch)
