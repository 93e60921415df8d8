"""Coordinates v in which inference works, and the prior density of the latents that comes with each.

    White         w = mu + T (v0 + P v)                       L_w = |v0 + P v|^2, T T' = C: Mahalanobis distance in W
    Layered       w_i = mu + T (v0 + P v_0 + tau v_i)         L_w = |v0 + P v_0|^2 + sum_i |v_i|^2
    Plain         w = v                                       L_w = sum_i ((w_i - mu) / sigma_i)^2 (BRGM Eq. 6)

P = 1 and v0 = 0 but for a generator with a line (parts.py) under a linear f: there P is the square root of the line's
posterior covariance and v0 its mean, so that for a purely linear generator the posterior of v is N(0, I). This is
preconditioning, no other density. Those of priors with a mapping network: mapped_coordinates.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.priors.latent_mixture import LatentMixture
    from napari_brgm.priors.latents import Latents
    from napari_brgm.settings import InferenceSettings

__all__ = ["Coordinates", "Layered", "Plain", "White", "usual_coordinates"]


class Coordinates(Protocol):
    """Between v (B, L, D) and the latents of a generator.

    ``given`` is the posterior under the prior's line that preconditions them, or None.
    """

    @property
    def given(self) -> GaussianPosterior | None: ...
    @property
    def shape(self) -> tuple[int, int]: ...  # (L, D)
    def start(self, batch: int) -> Tensor:
        """V (batch, L, D) of the mean latent, or of the mean that is ``given``."""

    def drawn(self, batch: int, generator: torch.Generator | None) -> Tensor:
        """V (batch, L, D) drawn from the prior, on the CPU's random numbers."""

    def at(self, w: Tensor) -> Tensor:
        """V (B, L, D) of one w (B, D) for all layers, as near as the coordinates come."""

    def std(self) -> Tensor:
        """(L, D) spread of v before the data are seen; 1 where preconditioned, which is the linear answer."""

    def white(self, v: Tensor) -> Tensor:
        """Latents in units of the prior's standard deviations, (B, L, D): L_w is the sum of their squares."""

    def pull(self, d: Tensor) -> Tensor:
        """Half the second derivative of L_w times directions d (B, L, D): the prior's precision in v."""

    def ws(self, v: Tensor) -> Tensor:
        """One w (B, 1, D) for all layers, or one for each (B, num_ws, D)."""


def usual_coordinates(
    latents: Latents, num_ws: int, settings: InferenceSettings, given: Callable[[], GaussianPosterior | None],
    mixture: LatentMixture | None = None,
) -> Coordinates:  # fmt: skip
    """Coordinates of a prior without a mapping network.

    Parameters
    ----------
    latents : Latents
        Density of one w.
    num_ws : int
        How many w an image takes.
    settings : InferenceSettings
    given : callable
        As of ``Prior.coordinates``.
    mixture : LatentMixture or None
        Of the prior.

    Raises
    ------
    InputError
        They ask for a mapping network or for a mixture that the prior lacks.
    """
    layers = num_ws if settings.latent_space == "w+" else 1
    if settings.prior_density in ("diagonal", "flat"):
        return Plain(latents, layers)
    if settings.prior_density == "gaussianised":
        raise InputError(
            "this prior has no mapping network whose W could be made Gaussian; choose prior_density 'gaussian'"
        )
    known = given() if settings.start == "linear" else None
    if settings.prior_density == "mixture":
        if mixture is None:
            raise InputError(
                "this prior has no mixture over training slices; choose another preset, or prior_density 'gaussian'"
            )
        if known is None:  # f is not linear: nothing weighs the mixture's parts
            return White(latents, 1)
        recentred, known = mixture.under(latents, known)
        return White(recentred, 1, known)
    if settings.layer_spread is not None:
        return Layered(White(latents, 1, known), layers, settings.layer_spread)
    return White(latents, layers, known)


@dataclass(frozen=True)
class Plain:
    """v is w itself; density by the standard deviations of its entries, or none."""

    latents: Latents
    layers: int

    given = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.layers, len(self.latents.mean)

    def start(self, batch: int) -> Tensor:
        return self.latents.mean.expand(batch, *self.shape).clone()

    def drawn(self, batch: int, generator: torch.Generator | None) -> Tensor:
        u = torch.randn(batch, self.layers, self.latents.rank, generator=generator)
        return self.latents.colour(u.to(self.latents.mean))

    def at(self, w: Tensor) -> Tensor:
        return w[:, None].repeat(1, self.layers, 1)

    def std(self) -> Tensor:
        return self.latents.std.expand(self.shape).clone()

    def white(self, v: Tensor) -> Tensor:
        return (v - self.latents.mean) / self.latents.std

    def pull(self, d: Tensor) -> Tensor:
        return d / self.latents.std.square()

    def ws(self, v: Tensor) -> Tensor:
        return v


@dataclass(frozen=True)
class White:
    """v is white under N(mu, C), or under the posterior that is given."""

    latents: Latents
    layers: int
    given: GaussianPosterior | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.layers, self.latents.rank

    @cached_property
    def factor(self) -> Tensor:
        """(D, D) lower triangular F of the given precision F F', double precision."""
        assert self.given is not None
        found: Tensor = torch.linalg.cholesky(self.given.precision.double())
        return found

    @cached_property
    def root(self) -> Tensor:
        """P (D, D), square root of the given covariance: F^-T."""
        eye = torch.eye(len(self.factor), dtype=self.factor.dtype, device=self.factor.device)
        found: Tensor = torch.linalg.solve_triangular(self.factor.T, eye, upper=True)
        return found.to(self.latents.mean.dtype)

    def start(self, batch: int) -> Tensor:
        return torch.zeros(batch, *self.shape, device=self.latents.mean.device)

    def drawn(self, batch: int, generator: torch.Generator | None) -> Tensor:
        u = torch.randn(batch, self.layers, self.latents.rank, generator=generator)
        return self._conditioned(u.to(self.latents.mean))

    def at(self, w: Tensor) -> Tensor:
        return self._conditioned(self.latents.whiten(w))[:, None].repeat(1, self.layers, 1)

    def std(self) -> Tensor:
        return torch.ones(self.shape, device=self.latents.mean.device)

    def white(self, v: Tensor) -> Tensor:
        return v if self.given is None else self.given.mean + v @ self.root.T

    def pull(self, d: Tensor) -> Tensor:
        return d if self.given is None else d @ self.root.T @ self.root

    def ws(self, v: Tensor) -> Tensor:
        return self.latents.colour(self.white(v))

    def _conditioned(self, u: Tensor) -> Tensor:
        """V of whitened latents u, (..., D)."""
        return u if self.given is None else (u - self.given.mean) @ self.factor.to(u.dtype)


@dataclass(frozen=True)
class Layered:
    """One w for all layers and a deviation of each: row 0 of v is the w, row i + 1 that of layer i in units of tau."""

    common: White
    count: int
    tau: float

    @property
    def given(self) -> GaussianPosterior | None:
        return self.common.given

    @property
    def shape(self) -> tuple[int, int]:
        return 1 + self.count, self.common.shape[1]

    def start(self, batch: int) -> Tensor:
        return torch.zeros(batch, *self.shape, device=self.common.latents.mean.device)

    def drawn(self, batch: int, generator: torch.Generator | None) -> Tensor:
        deviations = torch.randn(batch, self.count, self.shape[1], generator=generator)
        first = self.common.drawn(batch, generator)
        return torch.cat([first, deviations.to(first)], dim=1)

    def at(self, w: Tensor) -> Tensor:
        return torch.cat([self.common.at(w), self.start(len(w))[:, 1:]], dim=1)

    def std(self) -> Tensor:
        return torch.ones(self.shape, device=self.common.latents.mean.device)

    def white(self, v: Tensor) -> Tensor:
        return torch.cat([self.common.white(v[:, :1]), v[:, 1:]], dim=1)

    def pull(self, d: Tensor) -> Tensor:
        return torch.cat([self.common.pull(d[:, :1]), d[:, 1:]], dim=1)

    def ws(self, v: Tensor) -> Tensor:
        return self.common.latents.colour(self.common.white(v[:, :1]) + self.tau * v[:, 1:])
