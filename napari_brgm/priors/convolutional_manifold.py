"""Latent Convolutional Model as a prior: G(phi) = g_theta(f_phi(s)).

    image = g_theta(z),   z = f_phi(s)                                                  (LCM Sec. 3, arXiv 1806.06284)

g_theta is shared by all images; phi, the weights of a small ConvNet of the one image, is the latent w of this package
(num_ws = 1). phi lies in a box, to which ``synthesize`` projects. Its density is Gaussian in the principal
components of the phi of the training images (LCM Sec. 4, "unconditional generation"), so that inference has K white
coordinates; without the density (settings: prior_density "flat") all of phi is free in its box, as in the paper.

The same class holds the rivals of the paper's tables, which differ in the latent map alone (latent_maps.py).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from napari_brgm.errors import WeightsError
from napari_brgm.priors.coordinates import usual_coordinates
from napari_brgm.priors.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.coordinates import Coordinates
    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.priors.hourglass import Hourglass
    from napari_brgm.priors.info import PriorInfo
    from napari_brgm.priors.latent_maps import LatentMap
    from napari_brgm.priors.latents import LowRankStatistics
    from napari_brgm.priors.residual_field import ResidualField
    from napari_brgm.priors.stylegan2_layers import NoiseMode
    from napari_brgm.settings import InferenceSettings

__all__ = ["ConvolutionalManifold"]

_BATCH = 16  # images drawn at once
_LARGEST = 1024  # pixels, as of the slices that can be trained on


class ConvolutionalManifold:
    """g_theta(f_phi(s)) with the density of phi.

    Parameters
    ----------
    latent_map : LatentMap
        f, or what a rival has in its place.
    generator : Hourglass
        g_theta.
    latents : LowRankStatistics
        Of phi (P,), P = ``latent_map.size``.
    info : PriorInfo
    parts : Parts

    Raises
    ------
    WeightsError
        The parts do not fit together.
    """

    num_ws = 1

    def __init__(
        self, latent_map: LatentMap, generator: Hourglass, latents: LowRankStatistics, info: PriorInfo,
        parts: Parts = Parts(),  # noqa: B008  # frozen
    ) -> None:  # fmt: skip
        if len(latents.mean) != latent_map.size:
            raise WeightsError(
                f"the latent map takes {latent_map.size} numbers where the statistics have {len(latents.mean)}"
            )
        if latents.rank < 1:
            raise WeightsError("the latents of these weights have no components")
        if generator.channels not in (1, 3) or generator.squeeze.conv.in_channels != latent_map.channels:
            raise WeightsError(f"the hourglass does not draw grey or colour from {latent_map.channels} channels")
        side = latent_map.side << len(generator.fine)
        if side > _LARGEST or latent_map.side >> (len(generator.trunk) - 1) < 1:
            raise WeightsError(f"the hourglass has too many sizes for a latent map of {latent_map.side} pixels")
        if parts.residual is not None and not _fits(parts.residual, side):
            raise WeightsError(f"the residual field of these weights is not of {side} x {side} pixels")
        if parts.line is not None and not parts.line.fits(latents.rank, generator.channels, side):
            raise WeightsError("the linearisation of these weights does not have their latents and images")
        self.latent_map = latent_map.eval().requires_grad_(False)
        self.generator = generator.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.latents, self.parts = latents, parts
        self.info = replace(info, preset="manifold", family="manifold")

    @property
    def resolution(self) -> int:
        return self.latent_map.side << len(self.generator.fine)

    @property
    def channels(self) -> int:
        return self.generator.channels

    @property
    def network(self) -> Hourglass:
        return self.generator

    def with_network(self, network: nn.Module) -> ConvolutionalManifold:
        """The same prior with another shared network of the same shape."""
        return ConvolutionalManifold(
            self.latent_map, cast("Hourglass", network), self.latents, self.info, self.parts
        )  # fmt: skip

    def coordinates(
        self, settings: InferenceSettings, given: Callable[[], GaussianPosterior | None]
    ) -> Coordinates:  # fmt: skip
        """What inference works in."""
        return usual_coordinates(self.latents, self.num_ws, settings, given, self.parts.mixture)

    def for_slice(self, shape: tuple[int, int], channels: int) -> ConvolutionalManifold:
        """The same for all slices."""
        return self

    def synthesize(self, ws: Tensor, noise: NoiseMode = "none") -> Tensor:
        """Images (B, C, R, R) in [-1, 1] of ws (B, 1, P); there is no noise to choose."""
        z = self.latent_map(self.latent_map.project(ws[:, 0]))
        return self.generator(z.contiguous(memory_format=torch.channels_last)).contiguous()  # type: ignore[no-any-return]

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw n images (n, C, R, R) from the Gaussian of phi (LCM Sec. 4)."""
        u = torch.randn(n, self.latents.rank, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            ws = self.latents.colour(u.to(self.latents.mean))[:, None]
            return torch.cat([self.synthesize(part) for part in torch.split(ws, _BATCH)])

    def to(self, device: torch.device | str) -> ConvolutionalManifold:
        """Copy to ``device`` (the same object if it is there already)."""
        if self.latents.mean.device == torch.device(device):
            return self
        return ConvolutionalManifold(
            copy.deepcopy(self.latent_map).to(device),
            copy.deepcopy(self.generator).to(device),
            self.latents.to(device),
            self.info,
            self.parts.to(device),
        )


def _fits(field: ResidualField, side: int) -> bool:
    """Whether a field covers a frame of ``side`` pixels, on a torus that is no smaller."""
    torus = field.correlation.shape
    return field.std.shape == (side, side) and len(torus) == 2 and torus[0] == torus[1] >= side
