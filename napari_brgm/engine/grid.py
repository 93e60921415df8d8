"""Grid: the pixels of one problem, as given and as restored, against those of the generator's frame.

Where the prior has no pixel size (X-rays, whose field is the detector's), the longer side fills its frame. So it does
where nobody has said the scan's, and the prior's own would make it far larger than what the prior knows.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from napari_brgm.corruptions import Frame
    from napari_brgm.priors.prior import Prior

__all__ = ["Grid", "grid_of"]

_MOST = 1 << 25  # pixels of a finer grid: 4 GB of work, and as much for 32 samples
_LARGER = 2.5  # frames across: pixels of such a picture are smaller than the prior's (as in likeness.py)
_FIELDS = 10.0  # of the prior, across a slice; more is a wrong pixel size, and what is sampled grows with its square


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

    @property
    def filled(self) -> bool:
        """Whether nobody has said how large its pixels are, and they are not taken for the prior's."""
        return not self.spacing_given and not np.allclose(self.ratio, self.factor, rtol=1e-3)

    def refined(self, frame: Frame) -> Frame:
        """The frame of ``fine``, of one of ``plane``."""
        return frame if self.fine == self.plane else frame.refined(self.fine, self.factor)


def grid_of(
    plane: tuple[int, int], fine: tuple[int, int], factor: tuple[float, float], prior: Prior,
    spacing: tuple[float, float] | None,
) -> Grid:  # fmt: skip
    """Grids of a slice with pixels of ``spacing`` mm; None: the prior's own pixel size, times the factor, or that at
    which the longer side of a larger picture fills the frame.

    Raises
    ------
    InputError
        The spacing is not two sizes above 0, or makes a slice that the prior cannot know; or ``fine`` is too large.
    """
    size = prior.resolution
    if fine != plane and fine[0] * fine[1] > _MOST:
        raise InputError(
            f"the restored image would have {fine[0]} x {fine[1]} pixels, and {_MOST >> 20} million are the most; "
            "choose a smaller factor or a part of the image"
        )
    if not prior.info.anatomy:
        scale = min(1.0, size / max(fine))
        return Grid(plane, fine, factor, size, (scale * factor[0], scale * factor[1]))
    own, given = prior.info.spacing_mm, spacing is not None
    if spacing is None:
        pixel = (own or 1.0) * (size / max(fine) if max(fine) > _LARGER * size else 1.0)
        spacing = (pixel * factor[0], pixel * factor[1])
    mm = np.empty(0)
    with suppress(TypeError, ValueError):
        mm = np.asarray(spacing, dtype=np.float64)
    if mm.shape != (2,) or not (np.isfinite(mm).all() and (mm > 0).all()):
        raise InputError(f"spacing must be two pixel sizes in mm (row, column), got {spacing!r}")
    across = max(n * s / f for n, s, f in zip(fine, mm.tolist(), factor, strict=True))
    own = own or across / size
    if given and not own <= across <= _FIELDS * size * own:
        raise InputError(
            f"with pixels of {mm[0]:g} x {mm[1]:g} mm the slice is {across:g} mm across, and the prior knows "
            f"{size * own:g} mm; give the pixel size in mm"
        )
    ratio = (float(mm[0] / own), float(mm[1] / own))
    if fine == (size, size) and np.allclose(ratio, factor, rtol=1e-3):
        ratio = factor
    return Grid(plane, fine, factor, size, ratio, given)
