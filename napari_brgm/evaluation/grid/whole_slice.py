"""WholeSlice: how near a prior comes to a slice that it sees wholly, in W or with a w for each layer (W+)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch

from napari_brgm.engine.devices import pick_device
from napari_brgm.evaluation.given_prior import as_prior
from napari_brgm.evaluation.method import Restored
from napari_brgm.inference.inversion import invert

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.evaluation.method import Image, MethodFamily
    from napari_brgm.evaluation.tasks import Task
    from napari_brgm.priors.prior import Prior

__all__ = ["WholeSlice"]

_STEPS = 200


class WholeSlice:
    """Least squares over latents (inference/inversion.py).

    Parameters
    ----------
    space : {'w', 'w+'}
    given : str, Path or Prior
    device : str
    """

    family: MethodFamily = "ours"

    def __init__(self, space: Literal["w", "w+"], given: str | Path | Prior, device: str = "auto") -> None:
        self.space, self.given, self.device = space, given, device
        self.name = "invert-w" if space == "w" else "invert-wplus"
        self.title = f"{space.upper()} reconstruction"

    @cached_property
    def prior(self) -> Prior:
        return as_prior(self.given).to(pick_device(self.device))

    def fingerprint(self) -> dict[str, Any]:
        info = self.prior.info
        return {"prior": info.name, "weights_sha256": info.weights_sha256, "steps": _STEPS}

    def solves(self, task: Task) -> bool:
        return task.kind == "whole" and task.size == self.prior.resolution

    def prepare(self) -> None:
        _ = self.prior

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        target = torch.from_numpy(observed)[None, None].expand(1, self.prior.channels, -1, -1) / 127.5 - 1
        found = invert(self.prior, target, space=self.space, steps=_STEPS)
        return Restored((127.5 * (found.images[0].mean(dim=0) + 1)).cpu().numpy())
