"""Likelihood p(I | w): pixel noise and perceptual noise between the observation and the corrupted generator image.

p(I | w) = N(I | f(G(w)), sigma_pix^2) N(phi(I) | phi(f(G(w))), sigma_perc^2)            (BRGM Sec. 2.2, Eq. 4)
L_pix    = || I - f(G(w)) ||^2,   L_perc = || phi(I) - phi(f(G(w))) ||^2                  (BRGM Eq. 6)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
import torch.nn.functional as F

from napari_brgm.observation import CoarseObservation, Observation, StackObservation

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Features", "GreyLevels", "Likelihood", "from_grey", "to_grey"]

_LEAST = 8  # pixels on the shorter side of a measurement in blocks that is still worth comparing


class Features(Protocol):
    """phi: image features of images (B, 1 or 3, h, w) in [-1, 1].

    ``size`` is the side to which they are resized first; None: they stay as they are, if no smaller than ``least``.
    """

    name: str
    size: int | None
    least: int

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Maps (B, ...), one for each layer, scaled so that their squared distances may be summed."""
        ...


@dataclass(frozen=True)
class Likelihood:
    """What was seen, and how.

    Attributes
    ----------
    observation : Observation, StackObservation or CoarseObservation
        f, what of it is measured, and its noise.
    y : (1, C, h, w) Tensor
        I, in grey levels 0..255 of the generator's frame; 0 where nothing was measured.
    features : Features or None
        phi of the perceptual term.
    """

    observation: Observation | StackObservation | CoarseObservation
    y: Tensor
    features: Features | None = None

    @property
    def linear(self) -> bool:
        """Whether f is linear."""
        return self.observation.linear

    def residual(self, images: Tensor) -> Tensor:
        """I - f(x) on measured pixels, (B, C, h, w) grey levels, of images (B, C, R, R) in [-1, 1]."""
        return self.y - self.observation.A(to_grey(images))

    @property
    def entries(self) -> int:
        """How many pixels an observation has, those that are not measured included."""
        return self.y[0].numel()

    @property
    def feature_entries(self) -> int:
        """How many entries the features of an observation have, all layers together."""
        return sum(layer[0].numel() for layer in self._target)

    def pixel(self, images: Tensor) -> Tensor:
        """L_pix (B,), grey levels squared, weighted where the noise differs between pixels."""
        squared = self.residual(images).square()
        if self.observation.weight is not None:
            squared = squared * self.observation.weight
        return squared.sum(dim=(1, 2, 3))

    def perceptual(self, images: Tensor) -> Tensor:
        """L_perc (B,) between features of observation and f(x); missing pixels are zero on both sides."""
        total = torch.zeros(len(images), device=images.device)
        if self.features is None:
            return total
        found = self.features(self._picture(self.features, self.observation.A(to_grey(images))))
        for a, b in zip(found, self._target, strict=True):
            total = total + (a - b).square().flatten(1).sum(dim=1)
        return total

    @property
    def levels(self) -> list[int]:
        """Sizes of blocks from coarse to fine, for instance [4, 2, 1]; small measurements have fewer."""
        side = min(self.y.shape[-2:])
        return [s for s in (4, 2) if side // s >= _LEAST] + [1]

    def coarser(self, block: int) -> Likelihood:
        """The same measurement in blocks of ``block`` pixels, without the perceptual term; itself for 1."""
        if block == 1 or not isinstance(self.observation, Observation):
            return self
        coarse = CoarseObservation(self.observation, block)
        return Likelihood(coarse, coarse.pooled(self.y))

    @cached_property
    def _target(self) -> list[Tensor]:
        """Features of the observation, computed once: it does not change."""
        assert self.features is not None
        with torch.no_grad():
            return self.features(self._picture(self.features, self.y))

    @staticmethod
    def _picture(features: Features, grey: Tensor) -> Tensor:
        """Observation-like grey levels -> what phi looks at, in [-1, 1]."""
        fixed, shape = features.size, tuple(grey.shape[-2:])
        size = (fixed, fixed) if fixed else tuple(max(side, features.least) for side in shape)
        if shape != size:
            grey = F.interpolate(grey, size=size, mode="area")  # also to enlarge, as the authors' code does
        return grey / 127.5 - 1


@dataclass(frozen=True)
class GreyLevels:
    """The linear part of an observation on images in [-1, 1]: x -> A(127.5 x), without the offset of black."""

    observation: Observation | StackObservation | CoarseObservation

    @property
    def precision(self) -> Tensor:
        return self.observation.precision

    def A(self, x: Tensor) -> Tensor:
        return self.observation.A(x * 127.5)

    def A_adjoint(self, y: Tensor) -> Tensor:
        assert not isinstance(self.observation, CoarseObservation), "a coarse one is compared with, not solved for"
        return self.observation.A_adjoint(y) * 127.5


def to_grey(images: Tensor) -> Tensor:
    """[-1, 1] -> grey levels 0..255."""
    return (images + 1) * 127.5


def from_grey(grey: Tensor) -> Tensor:
    """Grey levels 0..255 -> [-1, 1]."""
    return grey / 127.5 - 1
