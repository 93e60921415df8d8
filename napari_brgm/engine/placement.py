"""Placement: where a scan lies in the generator frame, before anything is fitted.

A grid of the prior's own size and pixel is taken as it is, unless a fit says otherwise (placed.py). Any other is
placed by its pixel size, with the box of the head on the box of the mean training image's head. An untrained prior has
no anatomy: its frame is the slice's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.corruptions import Frame
from napari_brgm.engine.window import foreground_box
from napari_brgm.likelihood import to_grey

if TYPE_CHECKING:
    from napari_brgm.engine.checked import CheckedSlice
    from napari_brgm.engine.grid import Grid
    from napari_brgm.priors.prior import Prior

__all__ = ["first_guess", "fixed_frame", "own_frame"]


def fixed_frame(grid: Grid, prior: Prior) -> Frame | None:
    """Frame of ``grid.fine`` where there is nothing to look for: the restored pixels are the frame's; else None."""
    size = grid.resolution
    if not prior.info.anatomy:  # in the middle of the frame
        scale = min(1.0, size / max(grid.fine))
        row, column = ((size - n * scale + scale - 1) / 2 if scale < 1 else (size - n) // 2 for n in grid.fine)
        return Frame(grid.fine, size, (scale, scale), (0.0, 0.0), (row, column))
    if grid.fine == (size, size) and grid.ratio == grid.factor:
        return Frame.identity(size)
    return None


def own_frame(grid: Grid) -> Frame:
    """The frame of ``grid.plane`` whose refinement is the generator's own: middle on middle, as it is."""
    middle = (grid.resolution - 1) / 2
    row, column = ((n - 1) / 2 for n in grid.plane)
    return Frame(grid.plane, grid.resolution, grid.ratio, (row, column), (middle, middle))


def first_guess(given: CheckedSlice, prior: Prior) -> tuple[Frame, list[str]]:
    """Frame of the slice as given, which is taken to lie as radiologists look at it, and notes."""
    grid = given.grid
    with torch.no_grad():
        mean = to_grey(prior.synthesize(prior.latents.mean.expand(1, prior.num_ws, -1)))[0].mean(dim=0).cpu().numpy()
    here = foreground_box(given.plane, given.seen)
    there = foreground_box(mean, np.ones_like(mean, dtype=bool))
    frame = Frame(
        grid.plane, grid.resolution, grid.ratio,
        ((here[0] + here[1]) / 2, (here[2] + here[3]) / 2), ((there[0] + there[1]) / 2, (there[2] + there[3]) / 2),
        prior.info.rotation,
    )  # fmt: skip
    notes = []
    if grid.filled and prior.info.spacing_mm:
        field = grid.resolution * prior.info.spacing_mm
        notes.append(f"the pixel size is not known; the longer side is taken for the {field:g} mm that the prior knows")
    height, width = (here[1] - here[0] + 1) * grid.ratio[0], (here[3] - here[2] + 1) * grid.ratio[1]
    if max(height, width) > grid.resolution:
        notes.append("the anatomy is larger than the generator's field of view; what lies outside is not restored")
    return frame, notes
