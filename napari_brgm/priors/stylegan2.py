"""StyleGAN2 generator: z -> mapping -> w -> synthesis -> image, in plain torch.

    w     = mapping(z)                                  z, w : (B, 512)
    x_0   = const                                       (C, 4, 4)
    x_l   = lrelu(demod(conv(x_{l-1} * s_l(w))) + noise + bias) * sqrt(2)
    image = sum over resolutions of upsampled torgb(x)  ('skip'), or the last torgb ('resnet')

Sources: Karras et al., "A Style-Based Generator Architecture" (arXiv 1812.04948), "Analyzing and Improving the Image
Quality of StyleGAN" (arXiv 1912.04958, Sec. 2 for (de)modulation, Fig. 7 for the architectures). The parameter names are
those of the published weight files, so that a state dict loads as it is.

A style-modulated convolution is evaluated by scaling activations, not weights (1912.04958, Sec. 2.2, Eq. 1-3):
conv(x; w * s) / norm == conv(x * s; w) / norm, so that a batch of samples shares one ordinary convolution.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingType

NoiseMode = Literal["const", "none", "random"]
Architecture = Literal["skip", "resnet"]

_FIR = (1.0, 3.0, 3.0, 1.0)  # the only resampling filter used by published nets
_GAIN = math.sqrt(2.0)  # of the leaky ReLU


class Dense(nn.Module):
    """Fully connected layer with equalised learning rate: ``x W' * (lr / sqrt(in)) + b * lr``."""

    def __init__(self, in_features: int, out_features: int, lr: float = 1.0, bias_init: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.lr = lr

    def forward(self, x: Tensor) -> Tensor:  # (B, in) -> (B, out)
        weight = self.weight * (self.lr / math.sqrt(self.weight.shape[1]))
        return F.linear(x, weight, self.bias * self.lr)


class Mapping(nn.Module):
    """z -> w, a multilayer perceptron with learning-rate multiplier 0.01 (1812.04948, Sec. 2)."""

    w_avg: Tensor

    def __init__(self, z_dim: int, w_dim: int, num_ws: int, num_layers: int) -> None:
        super().__init__()
        self.z_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, w_dim, num_ws, num_layers
        for i in range(num_layers):
            self.add_module(f"fc{i}", Dense(z_dim if i == 0 else w_dim, w_dim, lr=0.01))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
        """Map z (B, z_dim), any scale, to ws (B, num_ws, w_dim); ``psi`` pulls the first ``cutoff`` ws to w_avg."""
        x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()  # (B, z)
        for i in range(self.num_layers):
            x = F.leaky_relu(getattr(self, f"fc{i}")(x), 0.2) * _GAIN  # (B, w)
        ws = x[:, None].repeat(1, self.num_ws, 1)  # (B, L, w)
        if truncation_psi != 1.0:
            cut = self.num_ws if truncation_cutoff is None else truncation_cutoff
            ws[:, :cut] = self.w_avg + truncation_psi * (ws[:, :cut] - self.w_avg)
        return ws


def upsample(x: Tensor) -> Tensor:
    """Double the size of x (B, C, H, W): zero insertion, then the FIR [1, 3, 3, 1] / 8 per axis with gain 4."""
    channels = x.shape[1]
    fir = torch.tensor(_FIR, dtype=x.dtype, device=x.device) / 4
    kernel = torch.outer(fir, fir).expand(channels, 1, 4, 4)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)


def _smooth(x: Tensor) -> Tensor:
    """FIR [1, 3, 3, 1] / 4 per axis of x (B, C, 2r + 1, 2r + 1) -> (B, C, 2r, 2r), zeros outside."""
    x = F.pad(x, (1, 1, 1, 1))
    x = (x[:, :, :-3] + x[:, :, 3:]).add_(x[:, :, 1:-2] + x[:, :, 2:-1], alpha=3.0)
    return (x[..., :-3] + x[..., 3:]).add_(x[..., 1:-2] + x[..., 2:-1], alpha=3.0).mul_(1 / 16)


class StyledConv(nn.Module):
    """Modulated, demodulated 3x3 convolution with noise, bias and leaky ReLU; ``up`` doubles the size."""

    noise_const: Tensor

    def __init__(self, in_ch: int, out_ch: int, w_dim: int, resolution: int, up: bool, clamp: float | None) -> None:
        super().__init__()
        self.resolution, self.up, self.clamp = resolution, up, clamp
        self.weight = nn.Parameter(torch.randn(out_ch, in_ch, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_ch))
        self.affine = Dense(w_dim, in_ch, bias_init=1.0)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise: NoiseMode, gain: float = 1.0) -> Tensor:
        s = self.affine(w)  # (B, I)
        power = self.weight.square().sum(dim=(2, 3))  # (O, I)
        demod = (s.square() @ power.T + 1e-8).rsqrt()  # (B, O)
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
        x = F.leaky_relu(x + self.bias[:, None, None].to(x.dtype), 0.2) * (_GAIN * gain)
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
    """Ours: a spatial latent. Patches of a base image (B, C, R, R) become features at resolution r by a 1x1 convolution."""

    def __init__(self, channels: int, out_ch: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.weight = nn.Parameter(torch.randn(out_ch, channels * patch**2, 1, 1) / patch)

    def forward(self, base: Tensor) -> Tensor:  # (B, C, R, R) -> (B, O, r, r)
        return F.conv2d(F.pixel_unshuffle(base, self.patch), self.weight)


class Block(nn.Module):
    """One resolution: (const | conv0) [+ inject] -> conv1 -> torgb."""

    def __init__(
        self, in_ch: int, out_ch: int, w_dim: int, resolution: int, channels: int, architecture: Architecture,
        is_last: bool, clamp: float | None, inject: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.is_first = in_ch == 0
        self.num_conv = 1 if self.is_first else 2
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_ch, resolution, resolution))
        else:
            self.conv0 = StyledConv(in_ch, out_ch, w_dim, resolution, True, clamp)
            if architecture == "resnet":
                self.skip = Skip(in_ch, out_ch)
        self.conv1 = StyledConv(out_ch, out_ch, w_dim, resolution, False, clamp)
        self.torgb = ToRGB(out_ch, channels, w_dim, clamp) if architecture == "skip" or is_last else None
        self.inject = Inject(channels, out_ch, inject) if inject else None

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: NoiseMode, base: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Ws (B, num_conv + 1, w): one for each convolution, one for torgb."""
        short = None
        if x is None:
            x = self.const.expand(len(ws), -1, -1, -1)
        else:
            short = self.skip(x) if hasattr(self, "skip") else None
            x = self.conv0(x, ws[:, 0], noise)
        if self.inject is not None and base is not None:
            x = x + self.inject(base)
        gain = 1.0 if short is None else math.sqrt(0.5)
        x = self.conv1(x, ws[:, self.num_conv - 1], noise, gain=gain)
        x = x if short is None else short + x
        image = None if image is None else upsample(image)  # (B, C, r, r)
        if self.torgb is not None:
            rgb = self.torgb(x, ws[:, self.num_conv])
            image = rgb if image is None else image + rgb
        return x, image


class Synthesis(nn.Module):
    """ws (B, num_ws, w_dim) -> image (B, channels, resolution, resolution), nominally in [-1, 1].

    With ``inject``, the network refines a base image (B, channels, resolution, resolution): it reads its patches at every
    resolution, and the caller adds the result to it.
    """

    def __init__(
        self, widths: dict[int, int], w_dim: int, channels: int = 1, architecture: Architecture = "skip",
        conv_clamp: float | None = None, inject: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.resolutions = sorted(widths)
        self.num_ws = 2 * len(self.resolutions)
        self.w_dim, self.channels, self.architecture, self.conv_clamp = w_dim, channels, architecture, conv_clamp
        previous = 0
        for r in self.resolutions:
            last = self.resolutions[-1]
            patch = last // r if inject else 0
            block = Block(previous, widths[r], w_dim, r, channels, architecture, r == last, conv_clamp, patch)
            self.add_module(f"b{r}", block)
            previous = widths[r]

    @classmethod
    def from_state_dict(cls, weights: MappingType[str, Tensor], conv_clamp: float | None = None) -> Synthesis:
        """Build the network that fits ``weights`` (names without 'synthesis.'), read off the names and shapes.

        Raises
        ------
        WeightsError
            A name is missing or unknown, or a shape does not fit.
        """
        try:
            widths = {
                int(k.split(".")[0][1:]): int(v.shape[0]) for k, v in weights.items() if k.endswith(".conv1.weight")
            }
            first, last = min(widths), max(widths)
            w_dim = int(weights[f"b{first}.conv1.affine.weight"].shape[1])
            channels = int(weights[f"b{last}.torgb.weight"].shape[0])
        except (KeyError, ValueError, IndexError) as error:
            raise WeightsError(
                f"these weights are not a StyleGAN2 generator: {error} is missing or malformed"
            ) from error
        if sorted(widths) != [first * 2**i for i in range(len(widths))]:
            raise WeightsError(f"resolutions {sorted(widths)} in the weights do not double from block to block")
        fir = torch.outer(torch.tensor(_FIR), torch.tensor(_FIR)) / 64
        for name, value in weights.items():
            if name.endswith("resample_filter") and not (
                value.shape == fir.shape and torch.allclose(value.float().cpu(), fir, atol=1e-3)
            ):
                raise WeightsError(f"{name} is not the [1, 3, 3, 1] filter; such networks are not supported")
        architecture: Architecture = "skip" if f"b{first}.torgb.weight" in weights else "resnet"
        inject = f"b{first}.inject.weight" in weights
        net = cls(widths, w_dim, channels, architecture, conv_clamp, inject)
        load_exactly(net, {k: v for k, v in weights.items() if not k.endswith("resample_filter")})
        return net

    def forward(
        self, ws: Tensor, noise: NoiseMode = "const", base: Tensor | None = None, until: int | None = None
    ) -> Tensor:
        """Image of ws; ``until`` stops at a lower resolution and returns the image there."""
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws must be (B, {self.num_ws}, {self.w_dim}), got {tuple(ws.shape)}")
        x: Tensor | None = None
        image: Tensor | None = None
        start = 0
        for r in self.resolutions:
            block = getattr(self, f"b{r}")
            x, image = block(x, image, ws[:, start : start + block.num_conv + 1], noise, base)
            start += block.num_conv
            if r == until:
                break
        assert image is not None
        return image


def load_exactly(net: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load a state dict; WeightsError in one sentence where a name or shape does not fit."""
    own = net.state_dict()
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or unknown:
        raise WeightsError(
            f"these weights do not fit a StyleGAN2 generator: missing {missing[:3]}, unknown {unknown[:3]}"
        )
    wrong = [k for k in own if own[k].shape != weights[k].shape]
    if wrong:
        k = wrong[0]
        raise WeightsError(f"{k} has the shape {tuple(weights[k].shape)} where {tuple(own[k].shape)} is expected")
    net.load_state_dict({k: v.to(own[k].dtype) for k, v in weights.items()})


class StyleGAN2(nn.Module):
    """Mapping and synthesis network together.

    Parameters
    ----------
    widths : dict[int, int]
        Channels of each resolution; the smallest one is that of the learned constant (4 in published nets).
    z_dim, w_dim : int
        Sizes of z and w (512 in published nets).
    channels : int
        Image channels, 1 or 3.
    mapping_layers : int
        Fully connected layers of the mapping network.
    architecture : {'skip', 'resnet'}
    conv_clamp : float or None
        Activations are clamped to +- this value times the gain (256 in every net trained with mixed precision).
    """

    def __init__(
        self, widths: dict[int, int], z_dim: int = 512, w_dim: int = 512, channels: int = 1, mapping_layers: int = 8,
        architecture: Architecture = "skip", conv_clamp: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.synthesis = Synthesis(widths, w_dim, channels, architecture, conv_clamp)
        self.mapping = Mapping(z_dim, w_dim, self.synthesis.num_ws, mapping_layers)

    @property
    def resolution(self) -> int:
        return self.synthesis.resolutions[-1]

    @property
    def num_ws(self) -> int:
        return self.synthesis.num_ws

    @classmethod
    def from_state_dict(cls, weights: MappingType[str, Tensor], conv_clamp: float | None = None) -> StyleGAN2:
        """Build the network that fits ``weights``; the architecture is read off the names and shapes.

        Raises
        ------
        WeightsError
            A name is missing or unknown, a shape does not fit, or the net is class-conditional or a StyleGAN3.
        """
        if any(k.startswith(("synthesis.input.", "synthesis.L0_")) for k in weights):
            raise WeightsError("this is a StyleGAN3 network; only StyleGAN2 generators can be loaded")
        if any(k.startswith("mapping.embed.") for k in weights):
            raise WeightsError("this network is class-conditional; only unconditional generators can be loaded")
        try:
            z_dim = int(weights["mapping.fc0.weight"].shape[1])
        except (KeyError, IndexError) as error:
            raise WeightsError(
                f"these weights are not a StyleGAN2 generator: {error} is missing or malformed"
            ) from error
        layers = sum(k.startswith("mapping.fc") and k.endswith(".weight") for k in weights)
        own = {k.removeprefix("synthesis."): v for k, v in weights.items() if k.startswith("synthesis.")}
        synthesis = Synthesis.from_state_dict(own, conv_clamp)
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net.synthesis = synthesis
        net.mapping = Mapping(z_dim, synthesis.w_dim, synthesis.num_ws, layers)
        mapping = {k.removeprefix("mapping."): v for k, v in weights.items() if k.startswith("mapping.")}
        load_exactly(net.mapping, mapping)
        return net
