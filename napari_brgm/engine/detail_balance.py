"""How much native detail draws are given: so much that their finest waves are as strong as those beside the hole.

    c^2 = (<(h y)^2> - <(h F x)^2>) / <l^2 v>,   h x = x - Gaussian(1 native pixel) x,   v = E (h g)^2

The first mean is over measured tissue near the holes, the others over tissue in them; F x is a draw of the frame on the
scan's grid, l and g are the model's level and its field of variance 1 (detail_model.py). The model tells what the frame
passes nothing of, as if its draws were as rough as the scan there. They are not: the residual field is stationary and
speckles what is smooth, interpolation blurs, and rough draws are steep, which the level takes for edges.

Means are local, by cells of the frame, and c is then scaled so that the equation holds for all holes together. Only
what is drawn is multiplied: the kriged mean stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from napari_brgm.calibration import TISSUE
from napari_brgm.engine.detail_model import covered
from napari_brgm.engine.placed import grey_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.engine.detail_model import DetailModel
    from napari_brgm.engine.observed import Problem

__all__ = ["balance"]

_SIGMA = 1.0  # native pixels: what is finer
_ASIDE, _NEAR = 1, 10  # native pixels from a hole: the measured ones that are looked at; nearer, h reaches into it
_EDGE = 2  # native pixels from where the frame ends, which is a step to black
_SIDE = 128  # native pixels of a window,
_READ = 1 << 20  # and in all of them, which then are evenly spaced
_DRAWS = 4  # of those that are looked at
_ENOUGH = 200  # pixels on either side
_CELL, _REACH = 4, 1.0  # frame pixels; cells that means are taken over
_SHRUNK = 30.0  # pixels that a local mean is drawn to that of all with
_MOST = 4.0  # c^2: scans without grain have edges, and detail makes none
_TORUS = 128


def balance(
    problem: Problem, values: npt.NDArray[np.float32], slopes: Tensor, model: DetailModel,
    check: Callable[[], None] | None = None,
) -> Tensor:  # fmt: skip
    """Give c of the module's equation over the frame (1, 1, R, R), 0 to 2; 1 where too little is measured.

    Parameters
    ----------
    problem : Problem
    values : (B, N) float32 ndarray
        F x of draws where nothing was measured, row by row, in the scan's units.
    slopes : (B or 1, 1, R, R) Tensor
        How steep they are, grey levels a pixel of the frame.
    model : DetailModel
    check : callable, optional
        Called now and then; what it raises ends the work.
    """
    side = problem.placed.frame.resolution
    some = range(0, len(values), -(-len(values) // _DRAWS))
    beside, inside, given = (_LocalMean.over(side) for _ in range(3))
    for window in _windows(problem):
        if check is not None:
            check()
        cut = problem.placed.frame.cut((window.top, window.left), window.free.shape)
        free = window.free
        scan = problem.placed.given.image[window.of_scan]
        filled = grey_tensor(scan, ~free, problem.window)[0, 0].double().numpy()
        within = covered(cut, np.ones_like(free)).reshape(free.shape)
        within = ndimage.minimum_filter(within, 2 * _EDGE + 1, mode="nearest")
        away = ndimage.distance_transform_edt(~free)
        near = (away > _ASIDE) & (away <= _NEAR) & within
        cells = beside.cells(*np.broadcast_arrays(*cut.into_frame(*np.ogrid[: free.shape[0], : free.shape[1]])))
        for k in some:
            shown = np.asarray(problem.window.to_grey(values[k, window.numbers]), dtype=np.float64)
            filled[free] = shown
            energy = np.square(filled - ndimage.gaussian_filter(filled, _SIGMA))
            tissue = ndimage.gaussian_filter(filled, 2 * _SIGMA) > 2 * TISSUE
            here = (within & tissue)[free]
            level = model.level_at(shown, cut.at(slopes[k % len(slopes)][None], free)[0, 0].numpy())
            beside.add(cells[near & tissue], energy[near & tissue])
            inside.add(cells[free][here], energy[free][here])
            given.add(cells[free][here], np.square(level[here]))
    found = np.ones_like(beside.total)
    if min(beside.count.sum(), inside.count.sum()) >= _ENOUGH * len(some):
        v = _share(model)
        lacking, fine = np.maximum(beside.values - inside.values, 0), given.values * v
        square = np.minimum(np.divide(lacking, fine, out=found, where=fine > 0), _MOST)
        added = float((square * given.total).sum()) * v
        if added > 0:
            square *= min(max(beside.mean - inside.mean, 0.0) * given.count.sum() / added, _MOST)
        found = np.sqrt(np.minimum(square, _MOST))
    return F.interpolate(torch.from_numpy(found).float()[None, None], (side, side), mode="bilinear")


@dataclass(frozen=True, slots=True)
class _LocalMean:
    """Local means over the frame, added up by cells of ``_CELL`` pixels: (K, K) totals and counts."""

    total: npt.NDArray[np.float64]
    count: npt.NDArray[np.float64]

    @classmethod
    def over(cls, resolution: int) -> _LocalMean:
        many = -(-resolution // _CELL)
        return cls(np.zeros((many, many)), np.zeros((many, many)))

    def cells(self, row: npt.NDArray[np.float64], column: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Numbers of the cells that points of the frame lie in."""
        last = len(self.total) - 1
        down, right = (((p + 0.5) // _CELL).astype(np.int64).clip(0, last) for p in (row, column))
        return np.asarray(down * (last + 1) + right)

    def add(self, cells: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        for into, weights in ((self.total, values), (self.count, None)):
            into += np.bincount(cells, weights, into.size).reshape(into.shape)

    @property
    def mean(self) -> float:
        """Of all that was added."""
        return float(self.total.sum() / max(self.count.sum(), 1))

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """(K, K) means of what is near; where there is little, drawn to the mean of all."""
        total, count = (ndimage.gaussian_filter(x, _REACH, mode="constant") for x in (self.total, self.count))
        return np.asarray((total + _SHRUNK * self.mean) / (count + _SHRUNK))


@dataclass(frozen=True, slots=True)
class _Window:
    """A part of a slice with holes.

    Attributes
    ----------
    top, left : int
        Its corner.
    free : (h, w) bool ndarray
    numbers : (n,) int64 ndarray
        Of its free pixels, row by row over the slice.
    """

    top: int
    left: int
    free: npt.NDArray[np.bool_]
    numbers: npt.NDArray[np.int64]

    @property
    def of_scan(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + _SIDE), slice(self.left, self.left + _SIDE)


def _windows(problem: Problem) -> Iterator[_Window]:
    """Windows that holes reach into, no more than are to be read."""
    free = problem.free
    found = [
        (top, left)
        for top in range(0, free.shape[0], _SIDE)
        for left in range(0, free.shape[1], _SIDE)
        if free[top : top + _SIDE, left : left + _SIDE].any()
    ]
    most = min(max(_READ // _SIDE**2, 1), len(found))
    for i in range(most):
        top, left = found[i * len(found) // most]
        rows = free[top : top + _SIDE]
        number = (np.cumsum(rows) - 1 + np.count_nonzero(free[:top])).reshape(rows.shape)
        own = rows[:, left : left + _SIDE]
        yield _Window(top, left, own, number[:, left : left + _SIDE][own])


def _share(model: DetailModel) -> float:
    """v: mean of (h g)^2, g the model's field for level 1."""
    spectrum = model.spectrum((_TORUS, _TORUS))
    down, across = (np.exp(-2 * (np.pi * _SIGMA * f) ** 2) for f in (np.fft.fftfreq(_TORUS), np.fft.rfftfreq(_TORUS)))
    passed = np.square(1 - down[:, None] * across[None])
    return float(np.fft.irfft2(spectrum * passed, s=(_TORUS, _TORUS))[0, 0])
