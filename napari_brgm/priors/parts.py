"""Parts: what a prior may have beside its network."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from napari_brgm.priors.bridge import Bridge
    from napari_brgm.priors.encoder import Encoder
    from napari_brgm.priors.finish import Finish
    from napari_brgm.priors.latent_mixture import LatentMixture
    from napari_brgm.priors.latents import LatentStatistics
    from napari_brgm.priors.linear_model import LinearModel
    from napari_brgm.priors.residual_field import ResidualField
    from napari_brgm.priors.through_detail import ThroughDetail
    from napari_brgm.priors.through_plane import ThroughPlane

__all__ = ["Line", "Parts"]


@dataclass(frozen=True, eq=False)
class Line:
    """A straight line near the generator, G(w) ~ mean + sum_k u_k basis_k.

    Attributes
    ----------
    model : LinearModel
    exact : bool
        True: the generator's own linear part, which its network refines; its posterior is an answer. False: regressed
        on draws (line.py), for starts and scale only; ``model.noise_variance`` is that of what it misses.
    latents : LatentStatistics or None
        Density of the latents w that ``model`` takes; None: it takes whitened latents.
    complete : bool
        False: it follows the leading latents only, which is enough to find a scan's pose and for nothing else.
    """

    model: LinearModel
    exact: bool
    latents: LatentStatistics | None = None
    complete: bool = True

    @cached_property
    def whitened(self) -> LinearModel:
        """The model in whitened latents u ~ N(0, I)."""
        return self.model if self.latents is None else self.model.whitened(self.latents)

    @property
    def error_variance(self) -> float:
        """Grey levels squared that it adds to the noise of a pixel."""
        return 0.0 if self.exact else 127.5**2 * self.model.noise_variance

    def fits(self, rank: int, channels: int, side: int) -> bool:
        """Whether it has ``rank`` latents (no more, where it is incomplete) and draws images (channels, side, side)."""
        known = self.model.rank == rank if self.complete else self.model.rank <= rank
        return known and tuple(self.model.mean.shape) == (channels, side, side)

    def to(self, device: torch.device | str) -> Line:
        """Copy on ``device``."""
        latents = None if self.latents is None else self.latents.to(device)
        return Line(self.model.to(device), self.exact, latents, self.complete)


@dataclass(frozen=True, eq=False)
class Parts:
    """What a prior may have beside its network.

    Attributes
    ----------
    line : Line or None
    residual : ResidualField or None
        What the generator cannot draw.
    encoder : Encoder or None
        Image -> leading latents, and features for the perceptual term.
    through : ThroughPlane or None
        How the slices of a stack belong together, in whitened latents and residual field; None: not known.
    detail : ThroughDetail or None
        What is finer than thick slices.
    bridge : Bridge or None
        Reads what a slice hides from the measured ones on both sides.
    finish : Finish or None
        Gives draws the texture of scans.
    mixture : LatentMixture or None
        A density of the latents over training slices.
    """

    line: Line | None = None
    residual: ResidualField | None = None
    encoder: Encoder | None = None
    through: ThroughPlane | None = None
    detail: ThroughDetail | None = None
    bridge: Bridge | None = None
    finish: Finish | None = None
    mixture: LatentMixture | None = None

    def to(self, device: torch.device | str) -> Parts:
        """Copy on ``device``."""
        return Parts(
            None if self.line is None else self.line.to(device),
            None if self.residual is None else self.residual.to(device),
            None if self.encoder is None else copy.deepcopy(self.encoder).to(device),
            None if self.through is None else self.through.to(device),
            None if self.detail is None else copy.deepcopy(self.detail).to(device),
            None if self.bridge is None else copy.deepcopy(self.bridge).to(device),
            None if self.finish is None else copy.deepcopy(self.finish).to(device),
            None if self.mixture is None else self.mixture.to(device),
        )
