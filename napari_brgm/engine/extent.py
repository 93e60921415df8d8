"""Extent of the anatomy where a mask hides a part of it.

    min over c, a, b, t:  sum over measured cells of w (s(d) - f)^2  +  what sections of heads and chests look like

d is how far a cell lies within the ellipse with centre c, half axes a and b, turned by t; s is a sigmoid a cell wide; f
is the share of the cell that lies within the outline that is seen, and w how much of the cell was measured. Hidden
anatomy is what the mask covers of the ellipse. A part of the outline tells the rest of it, so that half a head does not
pass for a whole one, and air beside a head is no anatomy.

Of 57 masks each in 20 held-out heads and 10 films (cuts in eight directions, discs, frames, corners, boxes, bands) the
share that is hidden was told to 0.04 (heads) and 0.07 (films), rms; by the box of what is seen to 0.22 and 0.17.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.optimize import least_squares

from napari_brgm.engine.window import foreground

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["hidden_share"]

_LOOKED_AT = 256  # pixels along the longer side
_CELLS = 32  # along the longer side
_LEFT = 0.1  # of the image; of less nothing is told
_SEEN = 0.2  # of a cell, that counts
_NOISE = 0.3  # of the variance, that is left by a mean over 3 x 3 pixels; of white noise it is 0.11
_BORDER = 0.05  # of the image's border, that shows what lies outside
# Sections, in units of the longer side: mean half axis and aspect (logarithms), centre, angle; and how far they vary.
_AXIS, _ASPECT = np.log(0.4), 0.15
_VARIES = np.array([0.3, 0.3, 0.5, 0.25, 0.4])
_CALLS = 40  # of the fit, from each start


class _Cells(NamedTuple):
    """A slice in coarse cells (h, w): how much of each is hidden and lies within the outline that is seen; 0 to 1."""

    hidden: npt.NDArray[np.float64]
    within: npt.NDArray[np.float64]


def hidden_share(image: npt.NDArray[np.floating], missing: npt.NDArray[np.bool_]) -> float:
    """Share of the anatomy that a mask hides, 0 to 1; 20 ms, whatever the size of the slice.

    Parameters
    ----------
    image : (H, W) array
        Bright anatomy on dark air, in any units; finite where measured, of no consequence elsewhere.
    missing : (H, W) bool array
        True where hidden; not everywhere.
    """
    share = float(missing.mean())
    if share > 1 - _LEFT:
        return share
    apart = -(-max(image.shape) // _LOOKED_AT)
    hidden = missing[::apart, ::apart]
    values = np.where(hidden, 0.0, image[::apart, ::apart])
    if hidden.all() or _only_noise(values, ~hidden):
        return 1.0
    cells = _cells(values, hidden)
    if cells.within.sum() < 2:
        return 1.0
    under = float((_ellipse(cells) * cells.hidden).sum())
    return under / (under + float(cells.within.sum()))


def _only_noise(values: npt.NDArray[np.floating], measured: npt.NDArray[np.bool_]) -> bool:
    """Whether neighbouring pixels have nothing to do with each other."""
    around = [ndimage.uniform_filter(one, 3) for one in (values * measured, measured.astype(float))]
    told = measured & (around[1] > 0.99)
    if int(told.sum()) < _CELLS:
        return False
    whole = float(values[told].var())
    return whole > 0 and float(around[0][told].var()) < _NOISE * whole


def _cells(values: npt.NDArray[np.floating], hidden: npt.NDArray[np.bool_]) -> _Cells:
    tissue = ndimage.binary_opening(foreground(values, ~hidden))
    dark = ~hidden & ~tissue
    border = np.ones(dark.shape, bool)
    border[1:-1, 1:-1] = False
    if float((~hidden)[border].mean()) < _BORDER:  # all round the mask goes on: what is dark there is air
        border |= ndimage.binary_dilation(hidden)
    parts, _ = ndimage.label(dark)
    air = np.isin(parts, np.unique(parts[border & dark]))
    return _Cells(_means(hidden), _means(~hidden & ~air))


def _means(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Means over squares; beyond the image there is nothing."""
    side = -(-max(mask.shape) // _CELLS)
    h, w = (-(-n // side) for n in mask.shape)
    whole = np.zeros((h * side, w * side))
    whole[: mask.shape[0], : mask.shape[1]] = mask
    found: npt.NDArray[np.float64] = whole.reshape(h, side, w, side).mean(axis=(1, 3))
    return found


def _ellipse(cells: _Cells) -> npt.NDArray[np.float64]:
    """How far each cell (h, w) lies within the likeliest ellipse, 0 to 1."""
    shape = np.array(cells.hidden.shape, float)
    longer, middle = float(shape.max()), (shape - 1) / 2
    rows, columns = np.indices(cells.hidden.shape, float)
    seen = 1 - cells.hidden
    told = seen > _SEEN
    weight = np.sqrt(seen[told])
    within = cells.within[told] / seen[told]
    at = rows[told], columns[told]

    def apart(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        usual = [*(p[:2] - middle) / longer, (p[2] + p[3]) / 2 - np.log(longer) - _AXIS, p[2] - p[3] - _ASPECT, p[4]]
        return np.concatenate([weight * (_inside(p, *at) - within), np.array(usual) / _VARIES])

    weighed = np.array([float((within * one).sum()) for one in at]) / within.sum()
    axes = np.log(longer) + _AXIS + np.array([_ASPECT, -_ASPECT]) / 2
    fits = [least_squares(apart, [*start, *axes, 0.0], max_nfev=_CALLS) for start in (weighed, middle)]
    best = min(fits, key=lambda fit: float(fit.cost))
    return _inside(best.x, rows, columns)


def _inside(
    p: npt.NDArray[np.float64], rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Of an ellipse: centre (row, column), logarithms of the half axes, angle."""
    first, second, cos, sin = np.exp(p[2]), np.exp(p[3]), np.cos(p[4]), np.sin(p[4])
    down, along = rows - p[0], columns - p[1]
    radius = np.hypot((cos * down + sin * along) / first, (cos * along - sin * down) / second)
    deep = (1 - radius) * np.sqrt(first * second)
    found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(2 * deep, -30, 30)))
    return found
