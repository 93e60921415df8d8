"""Coordinates of priors with a mapping network (as coordinates.py).

    Gaussianised  w = lrelu(mu_x + T_x v)                     L_w = |v|^2, x = lrelu^-1(w) ~ N(mu_x, T_x T_x')
    Mapped        w = mapping(v), v = z ~ N(0, I)             L_w = |z|^2: exact, W needs no density

W is not Gaussian: the last layer of the mapping network bends it. Its inverse, leaky ReLU with slope 5, unbends it
(Zhu et al., "Improved StyleGAN Embedding: Where are the Good Latents?", arXiv 2012.09036, Sec. 3.1). z is exactly
normal; the mapping's first act, to scale z to unit mean square, is left out here: it would make the length of z, which
the density pulls to zero, invisible to the data, and the length of a draw is 1 within 1 / sqrt(2 D) anyway.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.priors.stylegan2_layers import bent, unbent

if TYPE_CHECKING:
    from napari_brgm.priors.latents import LatentStatistics
    from napari_brgm.priors.stylegan2 import Mapping

__all__ = ["Gaussianised", "Mapped"]


class _Standard(ABC):
    """v ~ N(0, I)."""

    given = None

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]: ...

    @property
    @abstractmethod
    def _like(self) -> Tensor:
        """A tensor of the type and on the device of v."""

    def start(self, batch: int) -> Tensor:
        return self._like.new_zeros(batch, *self.shape)

    def drawn(self, batch: int, generator: torch.Generator | None) -> Tensor:
        return torch.randn(batch, *self.shape, generator=generator).to(self._like)

    def std(self) -> Tensor:
        return self._like.new_ones(self.shape)

    def white(self, v: Tensor) -> Tensor:
        return v

    def pull(self, d: Tensor) -> Tensor:
        return d


@dataclass(frozen=True)
class Gaussianised(_Standard):
    """v is white under a Gaussian of x = lrelu^-1(w).

    Attributes
    ----------
    unbent : LatentStatistics
        Mean and full covariance of x.
    """

    unbent: LatentStatistics
    layers: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.layers, self.unbent.rank

    @property
    def _like(self) -> Tensor:
        return self.unbent.mean

    def at(self, w: Tensor) -> Tensor:
        return self.unbent.whiten(unbent(w))[:, None].repeat(1, self.layers, 1)

    def ws(self, v: Tensor) -> Tensor:
        return bent(self.unbent.colour(v))


@dataclass(frozen=True)
class Mapped(_Standard):
    """v is z ~ N(0, I); w is what the mapping network makes of it."""

    mapping: Mapping

    @property
    def shape(self) -> tuple[int, int]:
        return 1, self.mapping.z_dim

    @property
    def _like(self) -> Tensor:
        return self.mapping.w_avg

    def at(self, w: Tensor) -> Tensor:
        return self.start(len(w))  # the mapping has no inverse

    def ws(self, v: Tensor) -> Tensor:
        return self.mapping.layers(v[:, 0])[:, None]
