"""Known: what a window of a stack leaves to the next one, which goes on from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Known"]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What was found of slices that a later window goes on from; k of them, S draws.

    Attributes
    ----------
    latents, field, images : (1, k, ...) Tensor
        Whitened latents, residual field in grey levels and completed images in [-1, 1], of the maximum.
    drawn_latents, drawn_field, drawn_images : (S, k, ...) Tensor
        The same of each draw.
    native : tuple of (1, k, H, W) and (S, k, H, W) Tensor, or None
        On the scan's grid, grey levels, where the measured slices are weighted sums of those restored.
    """

    latents: Tensor
    field: Tensor
    images: Tensor
    drawn_latents: Tensor
    drawn_field: Tensor
    drawn_images: Tensor
    native: tuple[Tensor, Tensor] | None
