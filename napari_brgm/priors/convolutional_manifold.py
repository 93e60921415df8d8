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
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.errors import WeightsError

if TYPE_CHECKING:
    from napari_brgm.priors.hourglass import Hourglass
    from napari_brgm.priors.latent_maps import LatentMap
    from napari_brgm.priors.prior import LowRankStatistics, PriorInfo
    from napari_brgm.priors.residual_field import ResidualField
    from napari_brgm.priors.stylegan2_layers import NoiseMode

__all__ = ["ConvolutionalManifold"]

_BATCH = 16  # images drawn at once


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
    """

    num_ws = 1
    linear_part = None
    encoder = None
    preset = "manifold"

    def __init__(
        self, latent_map: LatentMap, generator: Hourglass, latents: LowRankStatistics, info: PriorInfo,
        residual: ResidualField | None = None,
    ) -> None:  # fmt: skip
        if len(latents.mean) != latent_map.size:
            raise WeightsError(
                f"the latent map takes {latent_map.size} numbers where the statistics have {len(latents.mean)}"
            )
        self.latent_map = latent_map.eval().requires_grad_(False)
        self.generator = generator.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.latents, self.info, self.residual = latents, info, residual

    @property
    def resolution(self) -> int:
        return self.latent_map.side << len(self.generator.fine)

    @property
    def channels(self) -> int:
        return self.generator.channels

    @property
    def w_dim(self) -> int:
        return self.latent_map.size

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
        )
