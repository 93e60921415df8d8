"""StyleGAN2 as a prior: the network, the density of its latents, and (ours) a linear-Gaussian image that it refines.

    published nets:  G(w) = synthesis(w)
    ours:            G(w) = b + synthesis(w; b),  b = mean + sum_k w_k basis_k

The second form starts as probabilistic PCA, whose posterior is exact, and learns what is not linear: edges, the three
tissue classes, the outline. Its latents are the whitened principal coordinates, so that p(w) is close to N(0, I).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from napari_brgm.errors import InputError, WeightsError
from napari_brgm.priors.coordinates import usual_coordinates
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.priors.mapped_coordinates import Gaussianised, Mapped
from napari_brgm.priors.parts import Line, Parts
from napari_brgm.priors.stylegan2_layers import unbent

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.coordinates import Coordinates
    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.priors.info import PriorInfo
    from napari_brgm.priors.linear_model import LinearModel
    from napari_brgm.priors.stylegan2 import Mapping, StyleGAN2, Synthesis
    from napari_brgm.priors.stylegan2_layers import NoiseMode
    from napari_brgm.settings import InferenceSettings

__all__ = ["LATENT_SAMPLES", "StyleGAN2Prior", "mapped_statistics"]

LATENT_SAMPLES = 10_000  # BRGM Sec. 2.2
_Z_SEED = 123  # of numpy's old generator, as in the released code


def mapped_statistics(mapping: Mapping, samples: int = LATENT_SAMPLES) -> LatentStatistics:
    """Mean and covariance of ``samples`` latents w = mapping(z), z ~ N(0, I) (BRGM Sec. 2.2)."""
    return LatentStatistics.of(mapped_latents(mapping, samples))


def mapped_latents(mapping: Mapping, samples: int = LATENT_SAMPLES) -> Tensor:
    """Latents w (samples, D) = mapping(z), z ~ N(0, I), the same z as the authors' code draws."""
    z = torch.from_numpy(np.random.RandomState(_Z_SEED).randn(samples, mapping.z_dim)).float()
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
    base : LinearModel or None
        The linear image that the network refines, in the same D latents; it becomes the exact line of the parts.
    parts : Parts
    """

    def __init__(
        self, synthesis: Synthesis, latents: LatentStatistics, info: PriorInfo, *, mapping: Mapping | None = None,
        base: LinearModel | None = None, parts: Parts = Parts(),  # noqa: B008  # frozen
    ) -> None:  # fmt: skip
        size = len(latents.mean)
        if parts.mixture is not None and len(parts.mixture.shrinkage) > size:
            raise WeightsError(f"the mixture is one of more latents than the {size} of the statistics")
        if base is not None and base.rank != size:
            raise WeightsError(f"the linear part has {base.rank} latents where the statistics have {size}")
        if synthesis.w_dim > size or (base is None and synthesis.w_dim != size):
            raise WeightsError(f"the network reads {synthesis.w_dim} latents where the statistics have {size}")
        if base is not None:
            parts = replace(parts, line=Line(base, exact=True, latents=latents))
        elif parts.line is not None and not parts.line.fits(size, synthesis.channels, synthesis.resolutions[-1]):
            raise WeightsError("the linearisation of these weights does not have their latents and images")
        self.synthesis = synthesis.eval().requires_grad_(False)
        self.mapping = None if mapping is None else mapping.eval().requires_grad_(False)
        self.latents, self.base, self.parts = latents, base, parts
        # far fewer steps where a linear part gives the start
        self.info = replace(info, preset="unaided" if base is None else "default", family="stylegan2")

    @classmethod
    def of_network(cls, net: StyleGAN2, info: PriorInfo) -> StyleGAN2Prior:
        """Wrap a published network with the statistics of 10,000 mapped z."""
        return cls(net.synthesis, mapped_statistics(net.mapping), info, mapping=net.mapping)

    @property
    def resolution(self) -> int:
        return self.synthesis.resolutions[-1]

    @property
    def channels(self) -> int:
        return self.synthesis.channels

    @property
    def num_ws(self) -> int:
        return self.synthesis.num_ws

    @cached_property
    def unbent_latents(self) -> LatentStatistics | None:
        """Statistics of the inverse leaky ReLU of W, where there is a mapping network."""
        if self.mapping is None or self.mapping.activation != "lrelu":
            return None
        return LatentStatistics.of(unbent(mapped_latents(self.mapping)))

    @property
    def network(self) -> Synthesis:
        return self.synthesis

    def with_network(self, network: nn.Module) -> StyleGAN2Prior:
        """The same prior with another synthesis network of the same shape."""
        return StyleGAN2Prior(
            cast("Synthesis", network), self.latents, self.info, mapping=self.mapping, base=self.base, parts=self.parts
        )

    def coordinates(
        self, settings: InferenceSettings, given: Callable[[], GaussianPosterior | None]
    ) -> Coordinates:  # fmt: skip
        """What inference works in: also z, and W made Gaussian, where there is a mapping network.

        Raises
        ------
        InputError
            W cannot be made Gaussian.
        """
        if settings.prior_density == "gaussianised":
            if self.unbent_latents is None:
                raise InputError(
                    f"{self.info.name} has no mapping network whose W could be made Gaussian; "
                    "choose prior_density 'gaussian'"
                )
            return Gaussianised(self.unbent_latents, self.num_ws if settings.latent_space == "w+" else 1)
        if settings.latent_space == "z" and self.mapping is not None:
            return Mapped(self.mapping)
        return usual_coordinates(self.latents, self.num_ws, settings, given, self.parts.mixture)

    def for_slice(self, shape: tuple[int, int], channels: int) -> StyleGAN2Prior:
        """The same for all slices."""
        return self

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
                u = torch.randn(n, self.latents.rank, generator=generator).to(device)
                ws = self.latents.colour(u)[:, None].expand(-1, self.num_ws, -1)
            return torch.cat([self.synthesize(part) for part in torch.split(ws, 8)])

    def to(self, device: torch.device | str) -> StyleGAN2Prior:
        """Copy to ``device`` (the same object if it is there already)."""
        if self.latents.mean.device == torch.device(device):
            return self
        own = self.parts if self.base is None else replace(self.parts, line=None)  # the line moves with the base
        return StyleGAN2Prior(
            copy.deepcopy(self.synthesis).to(device),
            self.latents.to(device),
            self.info,
            mapping=None if self.mapping is None else copy.deepcopy(self.mapping).to(device),
            base=None if self.base is None else self.base.to(device),
            parts=own.to(device),
        )
