"""Finishing: draws of a slice with the texture of scans, beside those that statistics are made of.

    holes        F(x feathered to what was measured round it), what was measured put back
    coarse       e(F(e(x))), e adds the mean of the residual field given what was observed: A^+ alone leaves a grid

x = G(w_k), without the residual field, which has texture of its own; its kriged draws stand for what was measured. The
mean, the variance and the intervals of a restoration are those of the unfinished draws. Holes as fine as a few pixels,
blurs, noise and slices restored together are nothing that the network (priors/finish.py) has learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import ndimage

from napari_brgm.engine.coordinate import task_of
from napari_brgm.priors.finish import feathered

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.engine.observed import Problem
    from napari_brgm.priors.finish import Finish
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

    Check = Callable[[], None]

__all__ = ["FINISHED", "Finishing", "finishing_of"]

FINISHED = (
    "samples have the texture of scans added by a network; mean, standard deviation and intervals are those of the "
    "draws before it"
)
_THIN, _LEAST = 2, 0.3  # frame pixels that are taken off a hole all round, and the share of it that must be left
_COARSEST = 12.0  # frame pixels in an observed one
_ROUNDING = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class Finishing:
    """How the draws of one slice are finished.

    Attributes
    ----------
    problem : Problem
    network : Finish
    hole : (1, 1, R, R) Tensor
        1 where the frame is drawn.
    generator : torch.Generator
        Its own, so that the unfinished draws are the same with and without.
    """

    problem: Problem
    network: Finish
    hole: Tensor
    generator: torch.Generator

    @torch.no_grad()
    def __call__(self, images: Tensor, whole: Tensor, agreeing: Callable[[Tensor], Tensor], check: Check) -> Tensor:
        """Finished images (S, 1, R, R) of generator images and of the same completed, in [-1, 1].

        ``agreeing`` adds the mean of the residual field given what was observed.
        """
        hole = self.hole.to(images)
        if not bool(hole.all()):
            return self.network.finished(feathered(images, whole, 1 - hole), hole, self.generator, check)
        return agreeing(self.network.finished(agreeing(images), hole, self.generator, check))


def finishing_of(problem: Problem, prior: Prior, settings: InferenceSettings, seed: int) -> Finishing | None:
    """How the draws of a slice are finished; None: they are not."""
    network = prior.parts.finish
    if network is None or not settings.finish or not settings.residual_field or prior.channels != 1:
        return None
    f, frame = problem.corruption, problem.placed.frame
    side = frame.resolution
    if task_of(problem) == "downsample":
        if not (f.linear and f.exact and f.averages and settings.data_consistency) or f.adds_noise:
            return None
        if max(problem.pixel) > _COARSEST:
            return None
        hole = np.ones((side, side), dtype=bool)
    else:
        if not problem.measured.any():
            return None
        kept = torch.from_numpy(problem.measured)[None, None].float()
        hole = frame.to_frame(kept)[0, 0].numpy() < _ROUNDING
        inner = ndimage.binary_erosion(hole, iterations=_THIN)
        if inner.sum() < _LEAST * hole.sum():
            return None
    generator = torch.Generator().manual_seed(seed)
    return Finishing(problem, network, torch.from_numpy(hole)[None, None].float(), generator)
