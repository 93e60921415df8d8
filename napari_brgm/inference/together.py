"""Several observations under one prior: their posteriors side by side, so that one synthesis serves all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.posterior import Posterior

__all__ = ["Together"]


@dataclass(frozen=True, slots=True)
class Together:
    """Rows of v belong to the members in turn, ``rows`` to each: an objective for optimisers that move rows alone.

    Attributes
    ----------
    members : tuple of Posterior
        With the same prior and the same settings, and so with coordinates of one shape.
    rows : int
    """

    members: tuple[Posterior, ...]
    rows: int = 1

    def terms(self, v: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Weighted terms (B,) by name, each row's of its own observation, and the images (B, C, R, R)."""
        parts = torch.split(v, self.rows)
        ws = [member.latents(part) for member, part in zip(self.members, parts, strict=True)]
        images = self.members[0].drawn(torch.cat(ws))
        each = [
            member.terms_of(part, w, seen)
            for member, part, w, seen in zip(self.members, parts, ws, torch.split(images, self.rows), strict=True)
        ]
        return {name: torch.cat([terms[name] for terms in each]) for name in each[0]}, images
