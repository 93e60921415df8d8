"""Prior: latent -> image, with the density of its latents. What inference needs of a generator, and nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from napari_brgm.priors.info import PriorInfo
from napari_brgm.priors.latents import Latents, LatentStatistics, LowRankStatistics
from napari_brgm.priors.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from napari_brgm.priors.coordinates import Coordinates
    from napari_brgm.priors.gaussian_posterior import GaussianPosterior
    from napari_brgm.priors.stylegan2_layers import NoiseMode
    from napari_brgm.settings import InferenceSettings

__all__ = ["LatentStatistics", "Latents", "LowRankStatistics", "Parts", "Prior", "PriorInfo"]


@runtime_checkable
class Prior(Protocol):
    """p(w) and G: all that MAP and variational inference ask of a generative model.

    Attributes
    ----------
    info : PriorInfo
    parts : Parts
        What it may have beside the network: a straight line, a residual field, an encoder.
    latents : Latents
        Density of one w (D,).
    num_ws : int
        How many w ``synthesize`` takes.
    """

    info: PriorInfo
    parts: Parts

    @property
    def latents(self) -> Latents: ...
    @property
    def resolution(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def num_ws(self) -> int: ...
    def synthesize(self, ws: Tensor, noise: NoiseMode = "none") -> Tensor:
        """Images (B, channels, resolution, resolution), nominally in [-1, 1], of ws (B, num_ws, D)."""

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw n images (n, channels, resolution, resolution)."""

    def coordinates(
        self, settings: InferenceSettings, given: Callable[[], GaussianPosterior | None]
    ) -> Coordinates:  # fmt: skip
        """What inference works in.

        ``given`` computes the posterior of the whitened latents under the prior's line, or None where there is no line
        or no linear f; it is called only where the coordinates are preconditioned by it.
        """

    def for_slice(self, shape: tuple[int, int], channels: int) -> Prior:
        """The prior of a slice (H, W): itself, but for one that has no frame of its own."""

    def to(self, device: torch.device | str) -> Self:
        """Copy on ``device`` (the same object if it is there already)."""
