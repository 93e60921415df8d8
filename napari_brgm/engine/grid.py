"""Grid: the pixels of one problem, as given and as restored, against those of the generator's frame.

Where the prior has no pixel size (X-rays, whose field is the detector's), the longer side fills its frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.corruptions import Frame
    from napari_brgm.priors.prior import Prior

__all__ = ["Grid", "grid_of"]


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
    spacing_given : bool
        Whether somebody has said how large its pixels are.
    """

    plane: tuple[int, int]
    fine: tuple[int, int]
    factor: tuple[float, float]
    resolution: int
    ratio: tuple[float, float]
    spacing_given: bool = False

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
    if not prior.info.anatomy:
        scale = min(1.0, size / max(fine))
        return Grid(plane, fine, factor, size, (scale * factor[0], scale * factor[1]))
    own, given = prior.info.spacing_mm, spacing is not None
    if spacing is None:
        spacing = ((own or 1.0) * factor[0], (own or 1.0) * factor[1])
    if len(spacing) != 2 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise InputError(f"spacing must be two pixel sizes in mm (row, column), got {spacing}")
    own = own or max(n * s / f for n, s, f in zip(fine, spacing, factor, strict=True)) / size
    ratio = (float(spacing[0]) / own, float(spacing[1]) / own)
    if fine == (size, size) and np.allclose(ratio, factor, rtol=1e-3):
        ratio = factor
    return Grid(plane, fine, factor, size, ratio, given)
