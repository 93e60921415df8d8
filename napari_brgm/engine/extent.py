"""Extent of the anatomy where a mask hides a part of it.

    min over c, a, b, t, p:  sum over cells of w (s(d) - f)^2  +  what sections of heads and chests look like

d is how far a cell lies within a superellipse: centre c, half axes a and b, turned by t, exponent p (2: an ellipse). s
is a sigmoid a cell wide; f is the share of the cell's measured part that lies within the outline that is seen, and w
how much of it was measured. Hidden anatomy is what the mask covers of that shape. A part of the outline tells the rest
of it, so that half a head does not pass for a whole one, and air beside a head is no anatomy.

Of some hundred masks each (cuts in nine directions, discs, frames, corners, crosses, stripes, specks) the share that is
hidden was told to 0.04 (rms) in nine held-out heads and 0.06 in eight films; in fields of view of twice the side to
0.07 and 0.09. By the box of what is seen it was 0.22 and 0.17. Least certain is anatomy cut by the image's border.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.optimize import least_squares

from napari_brgm.engine.window import foreground

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["hidden_share"]

_LOOKED_AT = 256  # blocks of pixels along the longer side,
_IN_BLOCK = 4  # and pixels along a block that are looked at, at most
_CELLS = 32  # along the longer side
_SEEN = 0.02  # of a cell, that counts
_LEAST = 0.5  # cells: so little within the outline is none of the anatomy
_THIN = 4.0  # blocks: what lies as near to one that is seen is as that is, as under lines and specks
_NOISE = 0.3  # of the variance, that is left by a mean over 3 x 3 blocks; of white noise it is 0.11
_BORDER = 0.05  # of the image's border, that shows what lies outside
# Sections, in units of the longer side: mean half axis and aspect (logarithms), centre, angle; and how far they vary.
_AXIS, _ASPECT, _ROUND = np.log(0.4), 0.15, np.log(2.2)
_VARIES = np.array([0.3, 0.3, 0.7, 0.25, 0.4, 0.3])
_CALLS = 40  # of the fit, from each start


class _Cells(NamedTuple):
    """A slice in coarse cells (h, w): how much of each is hidden, and is seen within the outline; 0 to 1."""

    hidden: npt.NDArray[np.float64]
    within: npt.NDArray[np.float64]


def hidden_share(image: npt.NDArray[np.floating], missing: npt.NDArray[np.bool_]) -> float:
    """Share of the anatomy that a mask hides, 0 to 1; in some hundredths of a second.

    Parameters
    ----------
    image : (H, W) array
        Bright anatomy on dark air, in any units; finite where measured, of no consequence elsewhere.
    missing : (H, W) bool array
        True where hidden; not everywhere.
    """
    seen, measured, values = _blocks(image, missing)
    if not measured.any() or _only_noise(values, measured):
        return 1.0
    cells = _cells(values, measured, seen)
    if float(cells.within[cells.hidden < 1 - _SEEN].sum()) < _LEAST:
        return 1.0
    under = float((_rounded(cells) * cells.hidden).sum())
    return under / (under + float(cells.within.sum()))


def _blocks(
    image: npt.NDArray[np.floating], missing: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """How much of each block is measured, 0 to 1; whether its value is known; that, a mean over some of its pixels."""
    side = -(-max(image.shape) // _LOOKED_AT)
    rows, columns = (_looked_at(n, side) for n in image.shape)
    some = np.ix_(rows, columns)
    known = _means(~missing[some], min(side, _IN_BLOCK))
    values = _means(np.where(missing[some], 0.0, image[some]), min(side, _IN_BLOCK))
    return _means(~missing, side), known > 0, np.divide(values, known, out=np.zeros_like(values), where=known > 0)


def _looked_at(length: int, side: int) -> npt.NDArray[np.int64]:
    """Pixels along an axis: some of each block, by chance, since a mask may have a period."""
    if side <= _IN_BLOCK:
        return np.arange(length)
    starts = np.arange(0, length, side)[:, None]
    offsets = np.random.default_rng(0).permuted(np.tile(np.arange(side), (len(starts), 1)), axis=1)[:, :_IN_BLOCK]
    found: npt.NDArray[np.int64] = np.minimum(starts + offsets, length - 1).ravel()
    return found


def _only_noise(values: npt.NDArray[np.floating], measured: npt.NDArray[np.bool_]) -> bool:
    """Whether neighbouring blocks have nothing to do with each other."""
    around = [ndimage.uniform_filter(one, 3, mode="constant") for one in (values * measured, measured.astype(float))]
    told = measured & (around[1] > 0.99)
    if int(told.sum()) < _CELLS:
        return False
    whole = float(values[told].var())
    return whole > 0 and float(around[0][told].var()) < _NOISE * whole


def _cells(values: npt.NDArray[np.float64], measured: npt.NDArray[np.bool_], seen: npt.NDArray[np.float64]) -> _Cells:
    away, nearest = ndimage.distance_transform_edt(~measured, return_indices=True)
    known = away <= _THIN
    tissue = ndimage.binary_opening(foreground(values, measured)[tuple(nearest)] | ~known)
    dark = known & ~tissue
    border = np.ones(dark.shape, bool)
    border[1:-1, 1:-1] = False
    if float(known[border].mean()) < _BORDER:  # all round the mask goes on: what is dark there is air
        border |= ndimage.binary_dilation(~known)
    parts, _ = ndimage.label(dark)
    air = np.isin(parts, np.unique(parts[border & dark]))
    side = -(-max(seen.shape) // _CELLS)
    return _Cells(_means(1 - seen, side), _means(seen * ~air, side))


def _means(values: npt.NDArray[Any], side: int) -> npt.NDArray[np.float64]:
    """Means over squares; beyond the image there is nothing."""
    h, w = (-(-n // side) for n in values.shape)
    whole = np.zeros((h * side, w * side))
    whole[: values.shape[0], : values.shape[1]] = values
    found: npt.NDArray[np.float64] = whole.reshape(h, side, w, side).mean(axis=(1, 3))
    return found


def _rounded(cells: _Cells) -> npt.NDArray[np.float64]:
    """How far each cell (h, w) lies within the likeliest rounded shape, 0 to 1."""
    shape = np.array(cells.hidden.shape, float)
    longer, middle = float(shape.max()), (shape - 1) / 2
    rows, columns = np.indices(cells.hidden.shape, float)
    seen = 1 - cells.hidden
    told = seen > _SEEN
    weight = np.sqrt(seen[told])
    within = cells.within[told] / seen[told]
    at = rows[told], columns[told]

    def apart(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        size = (p[2] + p[3]) / 2 - np.log(longer) - _AXIS
        usual = [*(p[:2] - middle) / longer, size, p[2] - p[3] - _ASPECT, p[4], p[5] - _ROUND]
        return np.concatenate([weight * (_inside(p, *at) - within), np.array(usual) / _VARIES])

    centre = [float(np.average(one, weights=within)) for one in at]
    own = [np.average((one - m) ** 2, weights=within) for one, m in zip(at, centre, strict=True)]
    axes = np.log(2 * np.sqrt(np.maximum(own, 1))), np.log(longer) + _AXIS + np.array([_ASPECT, -_ASPECT]) / 2
    starts = (*centre, *axes[0]), (*centre, *axes[1]), (*middle, *axes[1])
    fits = [least_squares(apart, [*start, 0.0, _ROUND], max_nfev=_CALLS) for start in starts]
    best = min(fits, key=lambda fit: float(fit.cost))
    return _inside(best.x, rows, columns)


def _inside(
    p: npt.NDArray[np.float64], rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Of a superellipse: centre (row, column), logarithms of the half axes, angle, logarithm of the exponent."""
    first, second, cos, sin = np.exp(p[2]), np.exp(p[3]), np.cos(p[4]), np.sin(p[4])
    down, along, power = rows - p[0], columns - p[1], np.exp(p[5])
    one, other = (np.abs(x) + 1e-6 for x in ((cos * down + sin * along) / first, (cos * along - sin * down) / second))
    radius = (one**power + other**power) ** (1 / power)
    deep = (1 - radius) * np.sqrt(first * second)
    found: npt.NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(2 * deep, -30, 30)))
    return found
