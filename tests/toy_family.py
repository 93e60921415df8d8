"""A third family of priors in one file: bumps on a lattice, bent by a hyperbolic tangent.

    G(w) = tanh(base + sum_k w_k bump_k),   w ~ N(0, I)

What a family has to bring, and no more; in zoo/families the last line would not be needed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch

from napari_brgm.priors.coordinates import usual_coordinates
from napari_brgm.priors.info import PriorInfo
from napari_brgm.priors.latents import LatentStatistics
from napari_brgm.priors.parts import Parts
from napari_brgm.zoo.families import register
from napari_brgm.zoo.family import Family

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.zoo.family import WeightsFile


class Bumps:
    """The prior; ``bumps`` (K, R, R) are added to ``base`` (R, R)."""

    num_ws = channels = 1

    def __init__(self, base: Tensor, bumps: Tensor, name: str, digest: str = "") -> None:
        self.base, self.bumps = base, bumps
        self.info = PriorInfo(
            name, "MR", "axial", 2.0, representation_sigma=3.0, weights_sha256=digest, preset="unaided", family="bumps"
        )
        self.latents = LatentStatistics.standard(len(bumps)).to(base.device)
        self.parts = Parts()

    @property
    def resolution(self) -> int:
        return self.base.shape[-1]

    def synthesize(self, ws: Tensor, noise: str = "none") -> Tensor:
        return torch.tanh(self.base + torch.einsum("blk,kij->blij", ws, self.bumps))

    def sample(self, n: int, seed: int = 0) -> Tensor:
        w = torch.randn(n, 1, len(self.bumps), generator=torch.Generator().manual_seed(seed))
        return self.synthesize(w.to(self.base))

    def coordinates(self, settings, given):
        return usual_coordinates(self.latents, self.num_ws, settings, given)

    def for_slice(self, shape, channels):
        return self

    def to(self, device):
        found = Bumps(self.base.to(device), self.bumps.to(device), "")
        found.info = self.info
        return found


def bumps(side: int = 32, each: int = 3, name: str = "bumps") -> Bumps:
    """A prior of ``each`` x ``each`` bumps."""
    axis = torch.linspace(-1, 1, side)
    centres = torch.linspace(-0.5, 0.5, each)
    radius = (axis[:, None] - centres[:, None, None, None]) ** 2 + (axis - centres[:, None, None]) ** 2
    disc = torch.where(axis[:, None] ** 2 + axis**2 < 0.6, 0.0, -3.0)
    return Bumps(disc, 0.4 * torch.exp(-radius / 0.05).reshape(-1, side, side), name)


def read(file: WeightsFile) -> Bumps:
    return Bumps(file.tensors["base"], file.tensors["bumps"], file.fields["name"], file.digest)


def contents(prior: Bumps, dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors = {"base": prior.base.to(dtype), "bumps": prior.bumps.to(dtype)}
    return tensors, {"format": "bumps 1", "info": json.dumps({"name": prior.info.name})}


FAMILY = Family("bumps", ("bumps 1",), read, contents, preset=lambda names: "unaided", rank=2)
register(FAMILY)
