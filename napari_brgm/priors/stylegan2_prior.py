"""StyleGAN2 as a prior: the network, the density of its latents, and (ours) a linear-Gaussian image that it refines.

    published nets:  G(w) = synthesis(w)
    ours:            G(w) = b + synthesis(w; b),  b = mean + sum_k w_k basis_k

The second form starts as probabilistic PCA, whose posterior is exact, and learns what is not linear: edges, the three
tissue classes, the outline. Its latents are the whitened principal coordinates, so that p(w) is close to N(0, I).
"""

from __future__ import annotations

import copy
from functools import cached_property
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from napari_brgm.errors import WeightsError
from napari_brgm.priors.linearisation import matching
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.stylegan2_layers import unbent

if TYPE_CHECKING:
    from napari_brgm.priors.encoder import Encoder
    from napari_brgm.priors.linear_gaussian import LinearGaussian
    from napari_brgm.priors.residual_field import ResidualField
    from napari_brgm.priors.stylegan2 import Mapping, StyleGAN2, Synthesis
    from napari_brgm.priors.stylegan2_layers import NoiseMode

__all__ = ["LATENT_SAMPLES", "StyleGAN2Prior", "mapped_statistics"]

LATENT_SAMPLES = 10_000  # BRGM Sec. 2.2


def mapped_statistics(mapping: Mapping, samples: int = LATENT_SAMPLES, seed: int = 0) -> LatentStatistics:
    """Mean and covariance of ``samples`` latents w = mapping(z), z ~ N(0, I) (BRGM Sec. 2.2)."""
    return LatentStatistics.of(mapped_latents(mapping, samples, seed))


def mapped_latents(mapping: Mapping, samples: int = LATENT_SAMPLES, seed: int = 0) -> Tensor:
    """Latents w (samples, D) = mapping(z), z ~ N(0, I)."""
    z = torch.randn(samples, mapping.z_dim, generator=torch.Generator().manual_seed(seed))
    device = mapping.w_avg.device
    with torch.no_grad():
        return torch.cat([mapping(part.to(device))[:, 0] for part in torch.split(z, 1000)])


class StyleGAN2Prior:
    """A StyleGAN2 generator with the density of its latents.

    Parameters
    ----------
    synthesis : Synthesis
        The network. It reads the first ``synthesis.w_dim`` entries of each w.
    latents : LatentStatistics
        Of one w (D,).
    info : PriorInfo
    mapping : Mapping or None
        Where z is drawn; without it, w is drawn from ``latents``.
    base : LinearGaussian or None
        The linear image that the network refines, in the same D latents.
    encoder : Encoder or None
        Features for the perceptual term that ship with the weights.
    residual : ResidualField or None
        What the generator cannot draw.
    linearisation : LinearGaussian or None
        Of the whitened latents (priors/linearisation.py), where there is no linear part.
    """

    def __init__(
        self,
        synthesis: Synthesis,
        latents: LatentStatistics,
        info: PriorInfo,
        *,
        mapping: Mapping | None = None,
        base: LinearGaussian | None = None,
        encoder: Encoder | None = None,
        residual: ResidualField | None = None,
        linearisation: LinearGaussian | None = None,
    ) -> None:
        size = len(latents.mean)
        if base is not None and base.w_dim != size:
            raise WeightsError(f"the linear part has {base.w_dim} latents where the statistics have {size}")
        if synthesis.w_dim > size or (base is None and synthesis.w_dim != size):
            raise WeightsError(f"the network reads {synthesis.w_dim} latents where the statistics have {size}")
        self.synthesis = synthesis.eval().requires_grad_(False)
        self.mapping = None if mapping is None else mapping.eval().requires_grad_(False)
        self.latents, self.info = latents, info
        if linearisation is not None and not matching(
            linearisation, size, synthesis.channels, synthesis.resolutions[-1]
        ):
            raise WeightsError("the linearisation of these weights does not have their latents and images")
        self.base, self.encoder, self.residual, self.linearisation = base, encoder, residual, linearisation

    @classmethod
    def of_network(cls, net: StyleGAN2, info: PriorInfo) -> StyleGAN2Prior:
        """Wrap a published network with the statistics of 10,000 mapped z."""
        return cls(net.synthesis, mapped_statistics(net.mapping), info, mapping=net.mapping)

    @property
    def preset(self) -> str:
        """Settings that suit: far fewer steps where a linear part gives the start."""
        return "unaided" if self.base is None else "default"

    @property
    def resolution(self) -> int:
        return self.synthesis.resolutions[-1]

    @property
    def channels(self) -> int:
        return self.synthesis.channels

    @property
    def num_ws(self) -> int:
        return self.synthesis.num_ws

    @property
    def w_dim(self) -> int:
        return len(self.latents.mean)

    @cached_property
    def unbent_latents(self) -> LatentStatistics | None:
        """Statistics of the inverse leaky ReLU of W, where there is a mapping network."""
        if self.mapping is None or self.mapping.activation != "lrelu":
            return None
        return LatentStatistics.of(unbent(mapped_latents(self.mapping)))

    @property
    def linear_part(self) -> LinearGaussian | None:
        return self.base

    @property
    def alignment(self) -> LinearGaussian | None:
        return self.base

    @property
    def network(self) -> Synthesis:
        return self.synthesis

    def with_network(self, network: nn.Module) -> StyleGAN2Prior:
        """The same prior with another synthesis network of the same shape."""
        return StyleGAN2Prior(
            cast("Synthesis", network), self.latents, self.info, mapping=self.mapping, base=self.base,
            encoder=self.encoder, residual=self.residual, linearisation=self.linearisation,
        )  # fmt: skip

    def synthesize(self, ws: Tensor, noise: NoiseMode = "none") -> Tensor:
        """Images (B, C, R, R) of ws (B, num_ws, D), nominally in [-1, 1]. The linear part reads the first w."""
        styles = ws[..., : self.synthesis.w_dim]
        if self.base is None:
            return self.synthesis(styles, noise)  # type: ignore[no-any-return]
        image = self.base.synthesize(ws[:, :1])  # (B, C, R, R)
        return image + self.synthesis(styles, noise, image)  # type: ignore[no-any-return]

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw n images (n, C, R, R) from the prior."""
        generator = torch.Generator().manual_seed(seed)
        device = self.latents.mean.device
        with torch.no_grad():
            if self.mapping is not None:
                ws = self.mapping(torch.randn(n, self.mapping.z_dim, generator=generator).to(device))
            else:
                u = torch.randn(n, self.w_dim, generator=generator).to(device)
                w = self.latents.mean + u @ self.latents.factor.T
                ws = w[:, None].expand(-1, self.num_ws, -1)
            return torch.cat([self.synthesize(part) for part in torch.split(ws, 8)])

    def to(self, device: torch.device | str) -> StyleGAN2Prior:
        """Copy to ``device`` (the same object if it is there already)."""
        if self.latents.mean.device == torch.device(device):
            return self
        return StyleGAN2Prior(
            copy.deepcopy(self.synthesis).to(device),
            self.latents.to(device),
            self.info,
            mapping=None if self.mapping is None else copy.deepcopy(self.mapping).to(device),
            base=None if self.base is None else self.base.to(device),
            encoder=None if self.encoder is None else copy.deepcopy(self.encoder).to(device),
            residual=None if self.residual is None else self.residual.to(device),
            linearisation=None if self.linearisation is None else self.linearisation.to(device),
        )
