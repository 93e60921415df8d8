"""Stack found: images of a window's slices, with the latents and fields that they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["StackFound"]


@dataclass(frozen=True, slots=True, eq=False)
class StackFound:
    """Images of a window's n slices: B draws, or one that is the most probable.

    Attributes
    ----------
    latents : (B, n, K) Tensor
        Whitened.
    images : (B, n, R, R) Tensor
        With their residual fields, in [-1, 1].
    fields : (B, n, R, R) Tensor
        These alone, grey levels.
    """

    latents: Tensor
    images: Tensor
    fields: Tensor

    def none(self) -> StackFound:
        """No draw of such slices."""
        return StackFound(self.latents[:0], self.images[:0], self.fields[:0])
