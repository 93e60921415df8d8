"""Deep Image Prior: an untrained hourglass, fitted to the one image; no weights, no anatomy.

    image = g_w(n),   n fixed noise (1, 8, R, R),   w ~ N(0, S^2) as networks are started

The latent is the network itself (w = all its weights, num_ws = 1). There is no density to hold w: the structure of the
network resists what is not image-like, for some time, so that the run has to stop early (inference/ensemble.py). It
knows no anatomy: it continues edges and textures from what is round a hole.

Source: Ulyanov, Vedaldi and Lempitsky, "Deep Image Prior" (CVPR 2018, arXiv 1711.10925), Sec. 2 and 4; here narrow, so
that a step costs tens of milliseconds on a CPU, and batched: each image of a batch has weights of its own (grouped
convolutions).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.errors import InputError
from napari_brgm.priors.coordinates import usual_coordinates
from napari_brgm.priors.info import PriorInfo
from napari_brgm.priors.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.coordinates import Coordinates
    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.priors.stylegan2_layers import NoiseMode
    from napari_brgm.settings import InferenceSettings

__all__ = ["DeepImagePrior", "IndependentStatistics"]

_INPUT = 8  # channels of the noise
_DOWN = (16, 32, 48, 64)  # channels at R / 2, R / 4, R / 8, R / 16
_UP = (16, 16, 32, 48)  # and on the way back at R, R / 2, R / 4, R / 8
_SKIP = 4
_MULTIPLE = 1 << len(_DOWN)  # sides that can be halved so often
_SMALLEST, _LARGEST = 32, 512
_BATCH = 8  # images drawn at once


@dataclass(frozen=True)
class IndependentStatistics:
    """N(mean, diag std^2) of latents that are too many for a covariance.

    Attributes
    ----------
    mean, std : (D,) Tensor
        ``std`` above 0.
    """

    mean: Tensor
    std: Tensor

    @property
    def rank(self) -> int:
        return len(self.mean)

    def colour(self, u: Tensor) -> Tensor:  # (..., D) -> (..., D)
        """Latents w of whitened u."""
        return self.mean + u * self.std

    def whiten(self, w: Tensor) -> Tensor:  # (..., D) -> (..., D)
        """Whitened u of latents w."""
        return (w - self.mean) / self.std

    def to(self, device: torch.device | str) -> IndependentStatistics:
        return IndependentStatistics(self.mean.to(device), self.std.to(device))


class DeepImagePrior:
    """An untrained network as a prior.

    Parameters
    ----------
    resolution : int
        R, a multiple of 16 from 32 to 512.
    channels : int
        1, or 3 for colour.
    seed : int
        Of the input noise.

    Raises
    ------
    InputError
        The resolution or the channels cannot be used.
    """

    num_ws = 1

    def __init__(self, resolution: int = 128, channels: int = 1, seed: int = 0) -> None:
        if resolution % _MULTIPLE or not _SMALLEST <= resolution <= _LARGEST:
            raise InputError(
                f"the deep image prior draws sides of {_SMALLEST} to {_LARGEST} pixels in steps of {_MULTIPLE}, "
                f"got {resolution}"
            )
        if channels not in (1, 3):
            raise InputError(f"the deep image prior draws 1 or 3 channels, got {channels}")
        self.resolution, self.channels, self.seed = resolution, channels, seed
        self.info = PriorInfo(
            "deep-image", modality="any", representation_sigma=0.0, preset="untrained", family="deep-image",
            anatomy=False,
        )  # fmt: skip
        self.parts = Parts()
        self.shapes = _shapes(channels)
        self.sizes = [math.prod(shape) for shape in self.shapes]
        noise = torch.rand(1, _INPUT, resolution, resolution, generator=torch.Generator().manual_seed(seed))
        self.noise = 0.1 * noise  # as in the paper, Sec. 7.4
        self.latents = _start_statistics(self.shapes)

    def for_slice(self, shape: tuple[int, int], channels: int) -> DeepImagePrior:
        """Prior of the smallest frame that holds a slice (H, W) pixel by pixel; the largest one for larger slices."""
        side = min(max(math.ceil(max(shape) / _MULTIPLE) * _MULTIPLE, _SMALLEST), _LARGEST)
        if (side, channels) == (self.resolution, self.channels):
            return self
        found = DeepImagePrior(side, channels, self.seed)
        found.info = self.info
        return found.to(self.noise.device)

    def coordinates(
        self, settings: InferenceSettings, given: Callable[[], GaussianPosterior | None]
    ) -> Coordinates:  # fmt: skip
        """What inference works in."""
        return usual_coordinates(self.latents, self.num_ws, settings, given)

    def synthesize(self, ws: Tensor, noise: NoiseMode = "none") -> Tensor:
        """Images (B, C, R, R) in [-1, 1] of ws (B, 1, P); there is no noise to choose."""
        n = len(ws)
        parts = [
            part.reshape(n * shape[0], *shape[1:])
            for part, shape in zip(torch.split(ws[:, 0], self.sizes, dim=1), self.shapes, strict=True)
        ]
        layers = iter(parts)

        def block(x: Tensor, stride: int = 1) -> Tensor:  # one group of channels an image
            weight, gain, offset = next(layers), next(layers), next(layers)
            x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=n)
            x = F.instance_norm(x) * gain[:, None, None] + offset[:, None, None]
            return F.leaky_relu(x, 0.2)

        x = self.noise.expand(n, -1, -1, -1).reshape(1, -1, self.resolution, self.resolution)
        kept = []
        for _ in _DOWN:
            kept.append(block(x))
            x = block(block(x, stride=2))
        for aside in reversed(kept):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = block(_beside(x, aside, n))
        weight, bias = next(layers), next(layers)
        x = F.conv2d(x, weight, bias, groups=n)
        return torch.tanh(x).reshape(n, self.channels, self.resolution, self.resolution)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw n images (n, C, R, R) of untrained networks: smooth blobs without meaning."""
        u = torch.randn(n, self.latents.rank, generator=torch.Generator().manual_seed(seed)).to(self.noise)
        with torch.no_grad():
            ws = self.latents.colour(u)[:, None]
            return torch.cat([self.synthesize(part) for part in torch.split(ws, _BATCH)])

    def to(self, device: torch.device | str) -> DeepImagePrior:
        """Copy to ``device`` (the same object if it is there already)."""
        if self.noise.device == torch.device(device):
            return self
        moved = DeepImagePrior(self.resolution, self.channels, self.seed)
        moved.info, moved.parts = self.info, self.parts.to(device)
        moved.noise, moved.latents = self.noise.to(device), self.latents.to(device)
        return moved


def _beside(x: Tensor, aside: Tensor, n: int) -> Tensor:
    """Channels of both (1, n C, h, w) image by image."""
    size = x.shape[-2:]
    return torch.cat([x.reshape(n, -1, *size), aside.reshape(n, -1, *size)], dim=1).reshape(1, -1, *size)


def _shapes(channels: int) -> list[tuple[int, ...]]:
    """Weights in the order in which ``synthesize`` takes them."""
    found: list[tuple[int, ...]] = []

    def block(ins: int, outs: int, kernel: int = 3) -> None:
        found.extend([(outs, ins, kernel, kernel), (outs,), (outs,)])

    width = _INPUT
    for down in _DOWN:
        block(width, _SKIP, 1)
        block(width, down)
        block(down, down)
        width = down
    for up in reversed(_UP):
        block(width + _SKIP, up)
        width = up
    return [*found, (channels, width, 1, 1), (channels,)]


def _start_statistics(shapes: list[tuple[int, ...]]) -> IndependentStatistics:
    """Weights N(0, 2 / fan-in), gains near 1, offsets near 0."""
    means, stds = [], []
    for i, shape in enumerate(shapes):
        gain = len(shape) == 1 and len(shapes[i - 1]) == 4 and i < len(shapes) - 1
        size = math.prod(shape)
        means.append(torch.full((size,), float(gain)))
        stds.append(torch.full((size,), (2 / math.prod(shape[1:])) ** 0.5 if len(shape) == 4 else 0.02))
    return IndependentStatistics(torch.cat(means), torch.cat(stds))
