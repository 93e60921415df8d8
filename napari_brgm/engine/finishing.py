"""Finishing: draws of a slice with the texture of scans, beside those that statistics are made of.

    y_k = e(F(x_k, n_k)),   x_k = G(w_k); of coarse pixels e(G(w_k))

F is the network (priors/finish.py), as for a draw of which nothing was measured; e adds the mean of the residual field
given what was observed, so that texture goes on across a rim, and coarse pixels are met without the grid that A^+ alone
leaves. With F told of the hole, and what was measured put back, the step at the rim was 1.6 to 1.9 of the truth's
instead of 1.1 to 1.2. The field's own draws, which have a texture of their own, do not come in. Holes as fine as a few
pixels, blurs, noise and slices restored together are nothing that the network has learnt.

Finished draws are given the mean and the calibrated spread of the unfinished ones, pixel by pixel (draws.py): their
CRPS is the lower one on held-out subjects (docs/texture.md), and what is told of them agrees with them.

On a scan finer than the frame, interpolation takes off what the network has put on. Finished images are sharpened by as
much as what was measured near a hole asks for,

    x <- x + g (x - k x),   g = sum (y - A x) A(x - k x) / sum (A(x - k x))^2,  k = (1, 6, 1) / 8 along rows and columns

and native detail is added to that (detail.py). High-pass energy in strokes, 6 slices of 1 mm under a frame of 1.5 mm:
0.85 of that beside; 0.68 without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from napari_brgm.calibration import TISSUE
from napari_brgm.engine.coordinate import task_of
from napari_brgm.likelihood import to_grey

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.engine.observed import Problem
    from napari_brgm.priors.finish import Finish
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

    Check = Callable[[], None]

__all__ = ["FINISHED", "TOGETHER", "Finishing", "finishing_of", "sharpened"]

FINISHED = (
    "samples have the texture of scans added by a network; at each pixel their mean and spread are the stated ones, "
    "which were calibrated on the draws before it"
)
TOGETHER = "slices restored together with their neighbours have texture from them"
_THIN, _LEAST = 2, 0.3  # frame pixels that are taken off a hole all round, and the share of it that must be left
_COARSEST = 12.0  # frame pixels in an observed one
_ROUNDING, _HALF = 0.99, 0.5
_NEAR = 24  # native pixels from a hole that tell how sharp it should be
_ENOUGH, _MOST = 400, 1 << 18  # of them; more are left out evenly
_SHARPEST = 2.0  # g


@dataclass(frozen=True, slots=True, eq=False)
class Finishing:
    """How the draws of one slice are finished.

    Attributes
    ----------
    network : Finish
    drawn : (R, R) bool Tensor
        Pixels of the frame that were not measured.
    coarse : bool
        Whether pixels of the answer are smaller than those that were observed.
    generator : torch.Generator
        Its own, so that the unfinished draws are the same with and without.
    """

    network: Finish
    drawn: Tensor
    coarse: bool
    generator: torch.Generator

    @torch.no_grad()
    def __call__(self, images: Tensor, agreeing: Callable[[Tensor], Tensor], check: Check) -> Tensor:
        """Finished images (S, 1, R, R) of generator images, in [-1, 1]; ``agreeing`` is e."""
        x = agreeing(images) if self.coarse else images
        return agreeing(self.network.finished(x, self.drawn.to(x.device), self.generator, check))


def finishing_of(problem: Problem, prior: Prior, settings: InferenceSettings, seed: int) -> Finishing | str:
    """How the draws of a slice are finished; a str: they are not, and why."""
    network = prior.parts.finish
    if network is None:
        return f"{prior.info.name} has no network for texture"
    if not settings.finish:
        return "texture was switched off"
    if not settings.residual_field:
        return (
            f"preset '{settings.name}' leaves out the residual field, which texture is joined to what was measured by"
        )
    if prior.channels != 1:
        return "texture was learnt from grey images"
    if problem.sigma is not None:
        return "what a second scan saw has texture of its own"
    f, frame = problem.corruption, problem.placed.frame
    side, coarse = frame.resolution, task_of(problem) == "downsample"
    if coarse:
        if not (f.linear and f.exact and f.averages and settings.data_consistency) or f.adds_noise:
            return "texture was learnt for holes and for coarse pixels that are means of fine ones"
        if max(problem.pixel) > _COARSEST:
            return f"texture was learnt for coarse pixels of at most {_COARSEST:g} pixels of the prior a side"
        drawn = np.ones((side, side), dtype=bool)
    else:
        if not problem.measured.any():
            return "texture was learnt for holes and for coarse pixels that are means of fine ones"
        kept = torch.from_numpy(problem.measured)[None, None].float()
        share, there = (frame.to_frame(one)[0, 0].numpy() for one in (kept, torch.ones_like(kept)))
        drawn = (there > _HALF) & (share < _ROUNDING * there)  # beyond the scan nothing is shown
        inner = ndimage.binary_erosion(drawn, iterations=_THIN)
        if inner.sum() < _LEAST * drawn.sum():
            return "texture was learnt for holes of more than a few pixels of the prior"
    generator = torch.Generator().manual_seed(seed)
    return Finishing(network, torch.from_numpy(drawn), coarse, generator)


def sharpened(problem: Problem, images: Tensor) -> Tensor:
    """Images (S, 1, R, R) in [-1, 1] as sharp on the scan's grid as the scan is near its holes."""
    seen = problem.measured
    near = ndimage.maximum_filter(~seen, 2 * _NEAR + 1, mode="constant") & seen
    found = np.flatnonzero(near)
    if len(found) > _MOST:
        near[:] = False
        near.reshape(-1)[found[:: -(-len(found) // _MOST)]] = True
    frame, image = problem.placed.frame, to_grey(images).mean(dim=0, keepdim=True).cpu()
    shown, fine = (frame.at(one, near)[0, 0].double().numpy() for one in (image, _fine(image)))
    scan = np.asarray(problem.window.to_grey(problem.placed.given.image[near].astype(np.float64)))
    tissue = shown > 2 * TISSUE
    if np.count_nonzero(tissue) < _ENOUGH:
        return images
    asked = float((fine * (scan - shown))[tissue].sum() / max(float(np.square(fine[tissue]).sum()), 1e-9))
    return images + min(max(asked, 0.0), _SHARPEST) * _fine(images)


def _fine(x: Tensor) -> Tensor:
    """(B, 1, R, R) less its averages over a quadratic B-spline."""
    row = torch.tensor([0.125, 0.75, 0.125], device=x.device, dtype=x.dtype)
    return x - F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), (row[:, None] * row)[None, None])
