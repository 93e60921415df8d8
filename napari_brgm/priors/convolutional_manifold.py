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
from functools import cached_property
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from napari_brgm.errors import WeightsError
from napari_brgm.priors.linear_gaussian import LinearGaussian
from napari_brgm.priors.linearisation import matching

if TYPE_CHECKING:
    from napari_brgm.priors.hourglass import Hourglass
    from napari_brgm.priors.latent_maps import LatentMap
    from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
    from napari_brgm.priors.residual_field import ResidualField
    from napari_brgm.priors.stylegan2_layers import NoiseMode

__all__ = ["ConvolutionalManifold"]

_BATCH = 16  # images drawn at once
_ALIGNED, _STEP = 48, 0.5  # components for the pose of a scan; step of the differences, in standard deviations
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
    residual : ResidualField or None
        What the generator cannot draw.
    linearisation : LinearGaussian or None
        Of the whitened latents (priors/linearisation.py).

    Raises
    ------
    WeightsError
        The parts do not fit together.
    """

    num_ws = 1
    linear_part = None
    encoder = None
    mapping = None
    unbent_latents = None
    preset = "manifold"

    def __init__(
        self, latent_map: LatentMap, generator: Hourglass, latents: LowRankStatistics, info: PriorInfo,
        residual: ResidualField | None = None, linearisation: LinearGaussian | None = None,
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
        if residual is not None and not _fits(residual, side):
            raise WeightsError(f"the residual field of these weights is not of {side} x {side} pixels")
        if linearisation is not None and not matching(linearisation, latents.rank, generator.channels, side):
            raise WeightsError("the linearisation of these weights does not have their latents and images")
        self.latent_map = latent_map.eval().requires_grad_(False)
        self.generator = generator.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.latents, self.info, self.residual, self.linearisation = latents, info, residual, linearisation

    @property
    def resolution(self) -> int:
        return self.latent_map.side << len(self.generator.fine)

    @property
    def channels(self) -> int:
        return self.generator.channels

    @property
    def w_dim(self) -> int:
        return self.latent_map.size

    @property
    def network(self) -> Hourglass:
        return self.generator

    def with_network(self, network: nn.Module) -> ConvolutionalManifold:
        """The same prior with another shared network of the same shape."""
        return ConvolutionalManifold(
            self.latent_map, cast("Hourglass", network), self.latents, self.info, self.residual, self.linearisation
        )

    @cached_property
    def alignment(self) -> LinearGaussian:
        """G to first order round the mean phi, in its leading components: by differences, made at first use."""
        leading = min(_ALIGNED, self.latents.rank)
        steps = _STEP * torch.eye(self.latents.rank, device=self.latents.mean.device)[:leading]
        with torch.no_grad():
            ahead, behind = (
                torch.cat([self.synthesize(self.latents.colour(part)[:, None]) for part in torch.split(side, _BATCH)])
                for side in (steps, -steps)
            )
            mean = self.synthesize(self.latents.mean[None, None])[0]
        return LinearGaussian(mean, (ahead - behind) / (2 * _STEP), 0.0, self.info)

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
            None if self.residual is None else self.residual.to(device),
            None if self.linearisation is None else self.linearisation.to(device),
        )


def _fits(field: ResidualField, side: int) -> bool:
    """Whether a field covers a frame of ``side`` pixels, on a torus that is no smaller."""
    torus = field.correlation.shape
    return field.std.shape == (side, side) and len(torus) == 2 and torus[0] == torus[1] >= side
