"""StyleGAN2 generator: z -> mapping -> w -> synthesis -> image, in plain torch.

    w     = mapping(z)                                  z, w : (B, 512)
    x_0   = const                                       (C, 4, 4)
    x_l   = lrelu(demod(conv(x_{l-1} * s_l(w))) + noise + bias) * sqrt(2)
    image = sum over resolutions of upsampled torgb(x)  ('skip'), or the last torgb ('resnet')

Sources: Karras et al., "A Style-Based Generator Architecture" (arXiv 1812.04948), "Analyzing and Improving the Image
Quality of StyleGAN" (arXiv 1912.04958, Sec. 2 for (de)modulation, Fig. 7 for the architectures). The parameter names
are those of the published weight files, so that a state dict loads as it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from napari_brgm.errors import WeightsError
from napari_brgm.priors.stylegan2_layers import (
    FIR,
    Activation,
    Dense,
    Inject,
    NoiseMode,
    Skip,
    StyledConv,
    ToRGB,
    activate,
    normal,
    upsample,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingType

Architecture = Literal["skip", "resnet"]
LARGEST = 4096  # pixels; published nets draw at most 1024


class Mapping(nn.Module):
    """z -> w, a multilayer perceptron with learning-rate multiplier 0.01 (1812.04948, Sec. 2).

    Its inner layers are ``features`` wide, as wide as w unless that is given.
    """

    w_avg: Tensor

    def __init__(
        self, z_dim: int, w_dim: int, num_ws: int, num_layers: int, activation: Activation = "lrelu",
        features: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.z_dim, self.w_dim, self.num_ws, self.num_layers = z_dim, w_dim, num_ws, num_layers
        self.activation = activation
        self.features = w_dim if features is None else features
        widths = [z_dim] + [self.features] * (num_layers - 1) + [w_dim]
        for i in range(num_layers):
            self.add_module(f"fc{i}", Dense(widths[i], widths[i + 1], lr=0.01))
        self.register_buffer("w_avg", torch.zeros(w_dim))

    @classmethod
    def from_state_dict(
        cls, weights: MappingType[str, Tensor], w_dim: int, num_ws: int, activation: Activation = "lrelu"
    ) -> Mapping:
        """Build the network that fits ``weights`` (names without 'mapping.'), read off the names and shapes.

        Raises
        ------
        WeightsError
            A name is missing or unknown, or a shape does not fit.
        """
        try:
            features, z_dim = (int(n) for n in weights["fc0.weight"].shape)
        except (KeyError, ValueError) as error:
            raise WeightsError(
                "these weights are not a StyleGAN2 generator: mapping.fc0.weight is malformed"
            ) from error
        layers = sum(k.startswith("fc") and k.endswith(".weight") for k in weights)
        with torch.device("meta"):
            net = cls(z_dim, w_dim, num_ws, layers, activation, features if layers > 1 else None)
        load_exactly(net, dict(weights))
        return net

    def forward(self, z: Tensor, truncation_psi: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
        """Map z (B, z_dim), any scale, to ws (B, num_ws, w_dim); ``psi`` pulls the first ``cutoff`` ws to w_avg."""
        x = z * (z.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()  # (B, z)
        ws = self.layers(x)[:, None].repeat(1, self.num_ws, 1)  # (B, L, w)
        if truncation_psi != 1.0:
            cut = self.num_ws if truncation_cutoff is None else truncation_cutoff
            ws[:, :cut] = self.w_avg + truncation_psi * (ws[:, :cut] - self.w_avg)
        return ws

    def layers(self, z: Tensor) -> Tensor:
        """One w (B, w_dim) of z (B, z_dim) as it is, not scaled to unit mean square."""
        x = z
        for i in range(self.num_layers):
            x = activate(getattr(self, f"fc{i}")(x), self.activation)  # (B, w)
        return x


class StyleBlock(nn.Module):
    """One resolution: (const | conv0) [+ inject] -> conv1 -> torgb."""

    def __init__(
        self, in_ch: int, out_ch: int, w_dim: int, resolution: int, channels: int, architecture: Architecture,
        is_last: bool, clamp: float | None, inject: int = 0, activation: Activation = "lrelu",
    ) -> None:  # fmt: skip
        super().__init__()
        self.is_first = in_ch == 0
        self.num_conv = 1 if self.is_first else 2
        if self.is_first:
            self.const = nn.Parameter(normal(out_ch, resolution, resolution))
        else:
            self.conv0 = StyledConv(in_ch, out_ch, w_dim, resolution, True, clamp, activation)
            if architecture == "resnet":
                self.skip = Skip(in_ch, out_ch)
        self.conv1 = StyledConv(out_ch, out_ch, w_dim, resolution, False, clamp, activation)
        self.torgb = ToRGB(out_ch, channels, w_dim, clamp) if architecture == "skip" or is_last else None
        self.inject = Inject(channels, out_ch, inject) if inject else None

    def forward(
        self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: NoiseMode, base: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Ws (B, num_conv + 1, w): one for each convolution, one for torgb."""
        short = None
        if x is None:
            # pixel by pixel on a CPU: few channels on large maps are two to four times as fast
            order = torch.channels_last if self.const.device.type == "cpu" else torch.contiguous_format
            x = self.const.expand(len(ws), -1, -1, -1).contiguous(memory_format=order)
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

    With ``inject``, the network refines a base image (B, channels, resolution, resolution): it reads its patches at
    every resolution, and the caller adds the result to it.
    """

    def __init__(
        self, widths: dict[int, int], w_dim: int, channels: int = 1, architecture: Architecture = "skip",
        conv_clamp: float | None = None, inject: bool = False, activation: Activation = "lrelu",
    ) -> None:  # fmt: skip
        super().__init__()
        self.resolutions = sorted(widths)
        self.num_ws = 2 * len(self.resolutions)
        self.w_dim, self.channels, self.architecture, self.conv_clamp = w_dim, channels, architecture, conv_clamp
        self.activation = activation
        previous = 0
        for r in self.resolutions:
            last = self.resolutions[-1]
            patch = last // r if inject else 0
            block = StyleBlock(
                previous, widths[r], w_dim, r, channels, architecture, r == last, conv_clamp, patch, activation
            )
            self.add_module(f"b{r}", block)
            previous = widths[r]

    @classmethod
    def from_state_dict(
        cls, weights: MappingType[str, Tensor], conv_clamp: float | None = None, activation: Activation = "lrelu"
    ) -> Synthesis:
        """Build the network that fits ``weights`` (names without 'synthesis.'), read off the names and shapes.

        What no shape tells, the clamp and the activation, is given.

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
        if first < 1 or last > LARGEST or sorted(widths) != [first * 2**i for i in range(len(widths))]:
            raise WeightsError(
                f"resolutions {sorted(widths)[:12]} in the weights do not double from block to block up to {LARGEST}"
            )
        fir = torch.outer(torch.tensor(FIR), torch.tensor(FIR)) / 64
        for name, value in weights.items():
            if name.endswith("resample_filter") and not (
                value.shape == fir.shape and torch.allclose(value.float().cpu(), fir, atol=1e-3)
            ):
                raise WeightsError(f"{name} is not the [1, 3, 3, 1] filter; such networks are not supported")
        architecture: Architecture = "skip" if f"b{first}.torgb.weight" in weights else "resnet"
        inject = f"b{first}.inject.weight" in weights
        try:
            with torch.device("meta"):  # what the shapes claim is compared before anything is allocated
                net = cls(widths, w_dim, channels, architecture, conv_clamp, inject, activation)
        except (RuntimeError, ValueError) as error:  # more elements than a tensor can have
            raise WeightsError("these weights do not fit a StyleGAN2 generator: their shapes are absurd") from error
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
        return image.contiguous()


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
    net.load_state_dict(
        {k: v.to(own[k].dtype, memory_format=torch.contiguous_format, copy=True) for k, v in weights.items()},
        assign=True,
    )


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
    activation, mapping_activation : {'lrelu', 'lsoftplus'}
        Of the synthesis and of the mapping network.
    """

    def __init__(
        self, widths: dict[int, int], z_dim: int = 512, w_dim: int = 512, channels: int = 1, mapping_layers: int = 8,
        architecture: Architecture = "skip", conv_clamp: float | None = None, activation: Activation = "lrelu",
        mapping_activation: Activation = "lrelu",
    ) -> None:  # fmt: skip
        super().__init__()
        self.synthesis = Synthesis(widths, w_dim, channels, architecture, conv_clamp, activation=activation)
        self.mapping = Mapping(z_dim, w_dim, self.synthesis.num_ws, mapping_layers, mapping_activation)

    @property
    def resolution(self) -> int:
        return self.synthesis.resolutions[-1]

    @property
    def num_ws(self) -> int:
        return self.synthesis.num_ws

    @classmethod
    def from_state_dict(
        cls, weights: MappingType[str, Tensor], conv_clamp: float | None = None, activation: Activation = "lrelu",
        mapping_activation: Activation = "lrelu",
    ) -> StyleGAN2:  # fmt: skip
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
        if "mapping.fc0.weight" not in weights:
            raise WeightsError("these weights are not a StyleGAN2 generator: 'mapping.fc0.weight' is missing")
        own = {k.removeprefix("synthesis."): v for k, v in weights.items() if k.startswith("synthesis.")}
        synthesis = Synthesis.from_state_dict(own, conv_clamp, activation)
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net.synthesis = synthesis
        mapping = {k.removeprefix("mapping."): v for k, v in weights.items() if k.startswith("mapping.")}
        net.mapping = Mapping.from_state_dict(mapping, synthesis.w_dim, synthesis.num_ws, mapping_activation)
        return net
