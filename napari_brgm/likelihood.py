"""Likelihood p(I | w): pixel noise and perceptual noise between the observation and the corrupted generator image.

p(I | w) = N(I | f(G(w)), sigma_pix^2) N(phi(I) | phi(f(G(w))), sigma_perc^2)            (BRGM Sec. 2.2)
L_pix    = || I - f(G(w)) ||^2,   L_perc = || phi(I) - phi(f(G(w))) ||^2                  (BRGM Eq. 6)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Features", "Likelihood"]

ForwardMap = Callable[[Tensor], Tensor]


class Features(Protocol):
    """phi: image features of images (B, 1, h, w) in [-1, 1].

    ``size`` is the side to which they are resized first; None: they stay as they are, if no smaller than ``least``.
    """

    name: str
    size: int | None
    least: int

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Maps (B, C_l, h_l, w_l), one for each layer, scaled so that their squared distances may be summed."""
        ...


@dataclass(frozen=True)
class Likelihood:
    """The observation and how it came about.

    Attributes
    ----------
    observation : (1, C, h, w) Tensor
        I, in grey levels (0..255 of the generator frame).
    forward_map : callable
        f, on images (B, C, R, R) in grey levels.
    observed : (1, 1, h, w) Tensor
        1 where a pixel was measured, 0 where it is missing.
    sigma : float
        sigma_pix: noise of one observed pixel, in grey levels (measurement and representation together).
    linear : bool
        Whether ``forward_map`` is linear.
    features : Features or None
        phi of the perceptual term.
    weight : (1, 1, h, w) Tensor or None
        sigma^2 / variance of each observed pixel, where the noise differs between pixels; None: 1 everywhere.
    """

    observation: Tensor
    forward_map: ForwardMap
    observed: Tensor
    sigma: float
    linear: bool = True
    features: Features | None = None
    weight: Tensor | None = None

    def residual(self, images: Tensor) -> Tensor:
        """I - f(x) on measured pixels, (B, C, h, w) grey levels, of images (B, C, R, R) in [-1, 1]."""
        return (self.observation - self.forward_map(to_grey(images))) * self.observed

    def pixel(self, images: Tensor, reduction: str = "sum") -> Tensor:
        """L_pix (B,), grey levels squared, weighted where the noise differs between pixels."""
        squared = self.residual(images).square()
        if self.weight is not None:
            squared = squared * self.weight
        return squared.sum(dim=(1, 2, 3)) if reduction == "sum" else squared.mean(dim=(1, 2, 3))

    def perceptual(self, images: Tensor, reduction: str = "sum") -> Tensor:
        """L_perc (B,) between features of observation and f(x); missing pixels are zero on both sides."""
        if self.features is None:
            return torch.zeros(len(images), device=images.device)
        found = self.features(self._picture(self.forward_map(to_grey(images))))
        total = torch.zeros(len(images), device=images.device)
        for a, b in zip(found, self._target, strict=True):
            squared = (a - b).square()
            total = total + (squared.sum(dim=(1, 2, 3)) if reduction == "sum" else squared.mean(dim=(1, 2, 3)))
        return total

    @property
    def _target(self) -> list[Tensor]:
        cached: list[Tensor] | None = self.__dict__.get("_features_of_observation")
        if cached is None and self.features is not None:
            with torch.no_grad():
                cached = self.features(self._picture(self.observation))
            self.__dict__["_features_of_observation"] = cached  # computed once: the observation does not change
        return cached or []

    def _picture(self, grey: Tensor) -> Tensor:
        """Observation-like grey levels -> what phi looks at, in [-1, 1]."""
        assert self.features is not None
        grey = grey * self.observed
        fixed, shape = self.features.size, tuple(grey.shape[-2:])
        size = (fixed, fixed) if fixed else tuple(max(side, self.features.least) for side in shape)
        if shape != size:
            grey = F.interpolate(grey, size=size, mode="bilinear", antialias=True, align_corners=False)
        return grey / 127.5 - 1


def to_grey(images: Tensor) -> Tensor:
    """[-1, 1] -> grey levels 0..255."""
    return (images + 1) * 127.5


def from_grey(grey: Tensor) -> Tensor:
    """Grey levels 0..255 -> [-1, 1]."""
    return grey / 127.5 - 1
