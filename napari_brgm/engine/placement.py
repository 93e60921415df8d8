"""Placement: the grids of one problem, and a first guess of where the scan lies in the generator frame.

A grid of the prior's own size and pixel is taken as it is, unless a fit says otherwise (observe.py). Any other is
placed by its pixel size, with the box of the head on the box of the mean training image's head. Where the prior has no
pixel size (X-rays, whose field is the detector's), the longer side fills its frame. An untrained prior has no anatomy:
its frame is the slice's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.engine.frame import Frame, foreground_box
from napari_brgm.errors import InputError
from napari_brgm.likelihood import to_grey

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.priors.prior import Prior

__all__ = ["Grid", "first_guess", "fixed_frame", "grid_of", "own_frame"]


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixels of a problem.

    Attributes
    ----------
    plane, fine : (int, int)
        Rows and columns of the slice as given, and of the restored one (finer for super-resolution).
    factor : (float, float)
        Pixels of ``fine`` in one of ``plane``.
    resolution : int
        Side of the generator frame, R.
    ratio : (float, float)
        Pixel size of ``plane`` in frame pixels, where the scan's anatomy is as large as the prior's.
    """

    plane: tuple[int, int]
    fine: tuple[int, int]
    factor: tuple[float, float]
    resolution: int
    ratio: tuple[float, float]

    def refined(self, frame: Frame) -> Frame:
        """The frame of ``fine``, of one of ``plane``."""
        return frame if self.fine == self.plane else frame.refined(self.fine, self.factor)


def grid_of(
    plane: tuple[int, int], fine: tuple[int, int], factor: tuple[float, float], prior: Prior,
    spacing: tuple[float, float] | None,
) -> Grid:  # fmt: skip
    """Grids of a slice with pixels of ``spacing`` mm; None: the prior's own pixel size, times the factor.

    Raises
    ------
    InputError
        The spacing is not two sizes above 0.
    """
    size = prior.resolution
    if prior.preset == "untrained":
        scale = min(1.0, size / max(fine))
        return Grid(plane, fine, factor, size, (scale * factor[0], scale * factor[1]))
    own = prior.info.spacing_mm
    if spacing is None:
        spacing = ((own or 1.0) * factor[0], (own or 1.0) * factor[1])
    if len(spacing) != 2 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise InputError(f"spacing must be two pixel sizes in mm (row, column), got {spacing}")
    own = own or max(n * s / f for n, s, f in zip(fine, spacing, factor, strict=True)) / size
    ratio = (float(spacing[0]) / own, float(spacing[1]) / own)
    if fine == (size, size) and np.allclose(ratio, factor, rtol=1e-3):
        ratio = factor
    return Grid(plane, fine, factor, size, ratio)


def fixed_frame(grid: Grid, prior: Prior) -> Frame | None:
    """Frame of ``grid.fine`` where there is nothing to look for: the restored pixels are the frame's; else None."""
    size = grid.resolution
    if prior.preset == "untrained":  # in the middle of the frame
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


def first_guess(
    image: npt.NDArray[Any], seen: npt.NDArray[np.bool_], grid: Grid, prior: Prior
) -> tuple[Frame, list[str]]:
    """Frame of ``grid.plane`` for an image (h, w) or (h, w, 3) of which ``seen`` (h, w) is measured, and notes.

    The image is taken to lie as radiologists look at it.
    """
    with torch.no_grad():
        mean = to_grey(prior.synthesize(prior.latents.mean.expand(1, prior.num_ws, -1)))[0].mean(dim=0).cpu().numpy()
    here = foreground_box(image if image.ndim == 2 else image.mean(axis=2), seen)
    there = foreground_box(mean, np.ones_like(mean, dtype=bool))
    frame = Frame(
        grid.plane, grid.resolution, grid.ratio,
        ((here[0] + here[1]) / 2, (here[2] + here[3]) / 2), ((there[0] + there[1]) / 2, (there[2] + there[3]) / 2),
        prior.info.rotation,
    )  # fmt: skip
    height, width = (here[1] - here[0] + 1) * grid.ratio[0], (here[3] - here[2] + 1) * grid.ratio[1]
    if max(height, width) > grid.resolution:
        return frame, ["the anatomy is larger than the generator's field of view; what lies outside is not restored"]
    return frame, []
