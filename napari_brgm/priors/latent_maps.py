"""Latent maps: the parameters of one image -> the map z that the shared network draws from.

    convolutional   z = f_phi(s): phi are the weights of the image's own small ConvNet, s is fixed noise (LCM Sec. 3)
    free            z itself: "OptZ", the latent map optimised directly (LCM Sec. 4); or a smaller one, enlarged, as in
                    GLO with maps of several sizes (LCM Fig. 9)
    vector          z = enlarged D h: one vector h an image, as in GLO (arXiv 1707.05776) and autoencoders

The first is the convolutional manifold: phi has about as many numbers as z, but what a small ConvNet makes of noise is
more regular than any z. All three are batched: one call draws the maps of many images.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ConvolutionalMap", "FreeMap", "LatentMap", "MapKind", "VectorMap", "latent_map", "map_from_state_dict"]

MapKind = Literal["convolutional", "free", "vector"]

_WIDTHS = (2, 8, 16, 32, 64)  # channels of s, of the three hidden layers, and of z (LCM Sec. 3)
_SIDE = 32  # of z; each unpadded convolution takes 2 pixels off the 40 of s
_VECTOR_SIDE = 8  # of the map that a vector becomes, before it is enlarged
_VECTOR = 256  # its length
_EPSILON = 1e-7  # of the normalisation: weights in the box of 0.01 give small variances


class LatentMap(nn.Module):
    """Base: parameters (B, size) -> maps (B, 64, 32, 32).

    Attributes
    ----------
    kind : MapKind
    size : int
        Parameters of one image.
    """

    kind: MapKind
    size: int
    channels = _WIDTHS[-1]
    side = _SIDE

    def start(self, generator: torch.Generator) -> Tensor:
        """Parameters (size,) with which every image starts its training; the same for all, so that they stay alike."""
        raise NotImplementedError

    def project(self, params: Tensor) -> Tensor:
        """Nearest allowed parameters (B, size)."""
        raise NotImplementedError


class ConvolutionalMap(LatentMap):
    """f_phi(s): four 3x3 unpadded convolutions; normalisation over pixels and leaky ReLU 0.2 after the first three.

    The batch norm of the paper, over the one image that a ConvNet has, is normalisation over its pixels.
    Convolution weights lie in [-box, box] (LCM: 0.01); biases and normalisation are free.
    """

    kind: MapKind = "convolutional"
    s: Tensor

    def __init__(self, seed: int = 0, box: float = 0.01) -> None:
        super().__init__()
        side = _SIDE + 2 * (len(_WIDTHS) - 1)
        noise = torch.rand(1, _WIDTHS[0], side, side, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("s", noise)  # (1, 2, 40, 40), uniform in [0, 1)
        self.register_buffer("box", torch.tensor(float(box)))
        pairs = list(pairwise(_WIDTHS))
        self.shapes: list[tuple[int, ...]] = [(b, a, 3, 3) for a, b in pairs]
        self.weights = sum(math.prod(shape) for shape in self.shapes)
        for _, b in pairs[:-1]:
            self.shapes += [(b,), (b,)]  # gain and offset of the normalisation
        self.shapes.append((pairs[-1][1],))  # bias of the last layer; those before it would be normalised away
        self.sizes = [math.prod(shape) for shape in self.shapes]
        self.size = sum(self.sizes)

    def start(self, generator: torch.Generator) -> Tensor:
        params = torch.zeros(self.size)
        box = float(self.get_buffer("box"))
        params[: self.weights] = (2 * torch.rand(self.weights, generator=generator) - 1) * box
        offset = self.weights
        for size in self.sizes[len(_WIDTHS) - 1 : -1 : 2]:
            params[offset : offset + size] = 1.0
            offset += 2 * size
        return params

    def project(self, params: Tensor) -> Tensor:
        box = self.get_buffer("box")
        return torch.cat([params[:, : self.weights].clamp(-box, box), params[:, self.weights :]], dim=1)

    def forward(self, params: Tensor) -> Tensor:  # (B, size) -> (B, 64, 32, 32)
        n, layers = len(params), len(_WIDTHS) - 1
        parts = torch.split(params, self.sizes, dim=1)
        x = self.s.expand(n, -1, -1, -1).reshape(1, -1, *self.s.shape[-2:])
        for i in range(layers):
            shape = self.shapes[i]
            bias = parts[-1].reshape(-1) if i == layers - 1 else None
            x = F.conv2d(x, parts[i].reshape(n * shape[0], *shape[1:]), bias, groups=n)  # one group an image
            if i < layers - 1:
                gain, offset = (parts[layers + 2 * i + k].reshape(1, -1, 1, 1) for k in (0, 1))
                x = F.leaky_relu(F.instance_norm(x, eps=_EPSILON) * gain + offset, 0.2)
        return x.reshape(n, _WIDTHS[-1], _SIDE, _SIDE)


class FreeMap(LatentMap):
    """Z itself, in [-1, 1] ("OptZ"), or a map of a smaller side from which it is enlarged."""

    kind: MapKind = "free"

    def __init__(self, extent: int = _SIDE) -> None:
        super().__init__()
        self.extent = extent
        self.size = self.channels * extent**2
        if extent != _SIDE:
            self.register_buffer("side_of_map", torch.tensor(extent))

    def start(self, generator: torch.Generator) -> Tensor:
        return 0.1 * torch.randn(self.size, generator=generator)

    def project(self, params: Tensor) -> Tensor:
        return params.clamp(-1, 1)

    def forward(self, params: Tensor) -> Tensor:
        z = params.reshape(-1, self.channels, self.extent, self.extent)
        return z if self.extent == _SIDE else _enlarged(z)


class VectorMap(LatentMap):
    """One vector in the unit ball (GLO Sec. 3), through a dense layer to 64 x 8 x 8, enlarged to 32 x 32."""

    kind: MapKind = "vector"

    def __init__(self, size: int = _VECTOR) -> None:
        super().__init__()
        self.size = size
        self.dense = nn.Linear(size, self.channels * _VECTOR_SIDE**2)
        nn.init.normal_(self.dense.weight, std=1.0)  # h has length 1

    def start(self, generator: torch.Generator) -> Tensor:
        return torch.zeros(self.size)

    def project(self, params: Tensor) -> Tensor:
        inside: Tensor = params / params.norm(dim=1, keepdim=True).clamp(min=1.0)
        return inside

    def forward(self, params: Tensor) -> Tensor:
        return _enlarged(self.dense(params).reshape(-1, self.channels, _VECTOR_SIDE, _VECTOR_SIDE))


def _enlarged(z: Tensor) -> Tensor:
    return F.interpolate(z, size=(_SIDE, _SIDE), mode="bilinear", align_corners=False)


def latent_map(kind: MapKind, *, seed: int = 0, size: int | None = None) -> LatentMap:
    """A new map of this kind.

    ``seed`` is that of the noise s. ``size``: length of a vector (256) or side of a free map (32).
    """
    match kind:
        case "convolutional":
            return ConvolutionalMap(seed)
        case "free":
            return FreeMap(size or _SIDE)
        case "vector":
            return VectorMap(size or _VECTOR)


def map_from_state_dict(kind: str, weights: Mapping[str, Tensor]) -> LatentMap:
    """Build the map of this kind that fits ``weights``.

    Raises
    ------
    WeightsError
        There is no such kind, or names or shapes do not fit.
    """
    try:
        found: LatentMap
        match kind:
            case "convolutional":
                found = ConvolutionalMap()
                found.load_state_dict(dict(weights))
            case "free":
                found = FreeMap(_extent(weights))
                found.load_state_dict(dict(weights))
            case "vector":
                with torch.device("meta"):  # nothing is allocated before the shapes are known to fit
                    found = VectorMap(max(int(weights["dense.weight"].shape[1]), 1))
                found.load_state_dict({k: v.to(torch.float32, copy=True) for k, v in weights.items()}, assign=True)
            case _:
                raise KeyError(kind)
    except (KeyError, IndexError, RuntimeError) as error:
        raise WeightsError(f"the latent map {kind[:40]!r} in these weights is unknown or incomplete") from error
    return found.eval().requires_grad_(False)


def _extent(weights: Mapping[str, Tensor]) -> int:
    """Side of a free map; KeyError where it is none."""
    told = weights.get("side_of_map", torch.tensor(_SIDE))
    side = float(told) if told.numel() == 1 else 0.0  # a file may hold any number there, or none
    if not 1 <= side <= _SIDE or side != int(side):
        raise KeyError("side_of_map")
    return int(side)
