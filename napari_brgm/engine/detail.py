"""Native detail: what a scan holds that is finer than the generator's frame; a part of the residual field e.

    y = F x + d,   d(p) = l(b, s) g(p),   g a stationary Gaussian field on the scan's own grid

b and s are the image's brightness and steepness at p. Spectrum and level come from measured pixels round the holes
(detail_model.py): the spectrum is what the frame passes nothing of, so that power which e has already is not added
again. What is drawn of it is multiplied by as much as draws lack of the grain beside the hole (detail_balance.py).
Given the rim, by Matheron's rule,

    d = d0 + C_fm (C_mm + v I)^-1 (q_m - d0_m),   q what was measured there beyond the frame's image

whose mean over d0 is the kriged mean. A torus holds g, and holes larger than it see it repeated: what is finer than the
frame knows nothing of what is so far away. All else goes by stripes, and the rim by tiles of them, so that memory does
not grow with the scan.
Source: Journel and Huijbregts, "Mining Geostatistics" (1978), Ch. VII; spectral simulation as in residual_field.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import fft, ndimage

from napari_brgm.engine.detail_balance import balance
from napari_brgm.engine.detail_model import DetailModel, covered, steepness
from napari_brgm.likelihood import to_grey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.corruptions import Frame
    from napari_brgm.engine.observed import Problem

    Floats = npt.NDArray[np.float64]

__all__ = ["NativeDetail"]

_AT_ONCE = 8  # images whose gradients are taken together
_TORUS = 1 << 24  # numbers in all fields together
_RIM = 3  # pixels round a hole that are kriged from: those behind them say no more
_MARGIN = 12  # pixels round a tile whose rim it sees
_TILE, _LEAST_TILE = 32, 16
_MOST = 400  # pixels of the rim that a tile is kriged from
_NUGGET = 0.01  # of the variance


@dataclass(frozen=True, slots=True, eq=False)
class NativeDetail:
    """What is finer than the frame in one slice.

    Attributes
    ----------
    problem : Problem
    image : (1, 1, R, R) Tensor
        Grey levels of the generator's frame that the detail is beside: the mean of what is drawn.
    slopes : (B, 1, R, R) Tensor
        How steep each image is, grey levels a pixel.
    model : DetailModel
    """

    problem: Problem
    image: Tensor
    slopes: Tensor
    model: DetailModel

    @classmethod
    def of(
        cls, problem: Problem, images: Tensor, check: Callable[[], None] | None = None, *, sharp: bool = False
    ) -> NativeDetail | None:  # fmt: skip
        """Estimate it from what is measured; None where there is none to add.

        Parameters
        ----------
        problem : Problem
        images : (B, 1, R, R) Tensor
            In [-1, 1], completed.
        check : callable, optional
            Called now and then; what it raises ends the work.
        sharp : bool
            Whether they were sharpened (finishing.py): then edges need none.
        """
        some = problem.measured.any() and not problem.measured.all()
        if not some or not problem.placed.finer_than_frame or images.shape[1] != 1:
            return None
        image = to_grey(images.mean(dim=0, keepdim=True)).cpu()
        model = DetailModel.measured(problem, image, check, sharp=sharp)
        if model is None:
            return None
        slopes = torch.cat([steepness(to_grey(part)).cpu() for part in torch.split(images, _AT_ONCE)])
        return cls(problem, image, slopes, model)

    def _levels(self, values: npt.NDArray[Any], stripe: _Stripe) -> npt.NDArray[np.float32]:
        """Level (B, n), in the scan's units, of images of these values (B, n); 0 where the frame does not reach."""
        window = self.problem.window
        steep = stripe.frame.at(self.slopes, stripe.free)[:, 0].numpy()
        found: npt.NDArray[np.float32] = self.model.level_at(window.to_grey(values), steep).astype(np.float32)
        return found * stripe.known / np.float32(window.gain)

    def add(
        self, draws: npt.NDArray[np.float32], generator: torch.Generator, check: Callable[[], None] | None = None
    ) -> npt.NDArray[np.float64]:  # fmt: skip
        """Add detail given the rim to draws, in place: to each its own, and to all the kriged mean, which is returned.

        Parameters
        ----------
        draws : (S, N) float32 ndarray
            Of the pixels that were not measured, in the scan's units.
        generator : torch.Generator
        check : callable, optional

        Returns
        -------
        (N,) float64 ndarray
            In the scan's units.
        """
        count = len(draws)
        shape = self._torus(count)
        spectrum = self.model.spectrum(shape)
        fields = _fields(spectrum, shape, count, generator).reshape(count, -1)
        covariance = _covariance_near(spectrum, shape)
        gained = np.zeros(draws.shape[1])
        much = balance(self.problem, draws, self.slopes, self.model, check)
        for stripe in self._stripes(check):
            part = slice(stripe.first, stripe.last)
            values = draws[:, part]
            level = self._levels(values, stripe)
            down, right = np.nonzero(stripe.free)
            new = fields.take((down + stripe.top) % shape[0] * shape[1] + right % shape[1], axis=1)
            for inside, kriged, points, rest in _tiles(stripe, covariance):
                new[:, inside] -= kriged(fields.take(points[0] % shape[0] * shape[1] + points[1] % shape[1], axis=1))
                gained[part][inside] = kriged(rest[None])[0]
            new *= level * stripe.frame.at(much, stripe.free)[0, 0].numpy()
            gained[part] *= level.mean(axis=0)
            values += new - new.mean(axis=0) + gained[part].astype(np.float32)
        return gained

    def mean(self, values: npt.NDArray[np.floating[Any]], check: Callable[[], None] | None = None) -> Floats:
        """Kriged mean (N,) beside an image of the pixels that were not measured (N,), both in the scan's units."""
        shape = self._torus(1)
        covariance = _covariance_near(self.model.spectrum(shape), shape)
        found = np.zeros(values.shape)
        for stripe in self._stripes(check):
            part = slice(stripe.first, stripe.last)
            for inside, kriged, _, rest in _tiles(stripe, covariance):
                found[part][inside] = kriged(rest[None])[0]
            found[part] *= self._levels(values[None, part], stripe)[0]
        return found

    def _torus(self, count: int) -> tuple[int, int]:
        """Sides that hold all holes and what correlates, as far as ``count`` fields may."""
        most = math.isqrt(_TORUS // count)
        free, sides = self.problem.free, []
        for axis, lags in zip((1, 0), self.model.covariance.shape, strict=True):
            found = np.flatnonzero(free.any(axis=axis))
            side = min(int(found[-1] - found[0]) + 2 * _MARGIN + lags, most)
            sides.append(fft.next_fast_len(max(side, 2 * lags, _TILE + 2 * _MARGIN + lags), real=True))
        return sides[0], sides[1]

    def _stripes(self, check: Callable[[], None] | None) -> Iterator[_Stripe]:
        """Stripes with pixels that were not measured, from the top."""
        problem, last = self.problem, 0
        slopes = steepness(self.image)
        free, frame = problem.free, problem.placed.frame
        for top in range(0, len(free), _TILE):
            own = free[top : top + _TILE]
            first, last = last, last + int(np.count_nonzero(own))
            if first == last:
                continue
            if check is not None:
                check()
            low, high = max(top - _MARGIN, 0), min(top + len(own) + _MARGIN, len(free))
            outer = max(low - _RIM, 0)
            beside = free[outer : high + _RIM]
            rim = ndimage.maximum_filter(beside, 2 * _RIM + 1, mode="constant") & ~beside
            rim = rim[low - outer : high - outer]
            cut = frame.cut((low, 0), rim.shape)
            rim[rim] = covered(cut, rim)
            shown, steep = (cut.at(one, rim)[0, 0].double().numpy() for one in (self.image, slopes))
            rest = np.asarray(problem.window.to_grey(problem.placed.given.image[low:high][rim].astype(np.float64)))
            places = np.stack(np.nonzero(rim)) + np.array([[low], [0]])
            yield _Stripe(
                top,
                first,
                last,
                own,
                frame.cut((top, 0), own.shape),
                ~problem.unseen[top : top + _TILE][own],
                places,
                self.model.in_levels(rest - shown, shown, steep),
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Stripe:
    """Some rows of a slice.

    Attributes
    ----------
    top : int
        The first row.
    first, last : int
        Numbers of its free pixels, row by row over the slice.
    free : (h, W) bool ndarray
    frame : Frame
        Of these rows.
    known : (last - first,) bool ndarray
        Free pixels that the frame reaches.
    places : (2, m) int ndarray
        Rows and columns of the measured pixels near free ones, those of the margins above and below with them.
    rest : (m,) float64 ndarray
        What was measured there beyond the frame's image, over the level.
    """

    top: int
    first: int
    last: int
    free: npt.NDArray[np.bool_]
    frame: Frame
    known: npt.NDArray[np.bool_]
    places: npt.NDArray[np.int64]
    rest: Floats


def _covariance_near(spectrum: Floats, shape: tuple[int, int]) -> Floats:
    """(P, Q) covariance by lag that the rim is kriged with; tapered to 0 at the margin, so that no tile has an edge.

    Source: Furrer, Genton and Nychka, "Covariance tapering for interpolation of large spatial datasets", J. Comput.
    Graph. Stat. 15(3), 2006, doi:10.1198/106186006X132178, with Wendland's function.
    """
    rows, columns = (np.fft.fftfreq(n) * n for n in shape)
    t = (np.hypot(rows[:, None], columns[None]) / _MARGIN).clip(max=1)
    found: Floats = np.fft.irfft2(spectrum, s=shape) * (1 - t) ** 4 * (4 * t + 1)
    return found


def _fields(
    spectrum: Floats, shape: tuple[int, int], count: int, generator: torch.Generator
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Draws of g (count, P, Q), with mean 0 over them and their variance kept."""
    found = np.empty((count, *shape), np.float32)
    root = torch.from_numpy(np.sqrt(spectrum)).float()
    for one in found:
        white = torch.randn(shape, generator=generator)
        one[:] = torch.fft.irfft2(root * torch.fft.rfft2(white), s=shape).numpy()
    if count > 1:
        found -= found.mean(axis=0)
        found *= np.float32(math.sqrt(count / (count - 1)))
    return found


def _tiles(
    stripe: _Stripe, covariance: Floats
) -> Iterator[tuple[npt.NDArray[np.int64], Callable[..., Floats], npt.NDArray[np.int64], Floats]]:  # fmt: skip
    """Tiles that a rim reaches: numbers of their pixels in the stripe, kriging to them, the rim's places and rest.

    None where there is no detail, as round a hole in what is black throughout.
    """
    if not covariance[0, 0] > 0:
        return
    number = np.cumsum(stripe.free).reshape(stripe.free.shape) - 1
    rows, columns = covariance.shape

    def between(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(covariance[(a[0][:, None] - b[0]) % rows, (a[1][:, None] - b[1]) % columns])

    todo = [(0, left, _TILE) for left in range(stripe.free.shape[1] - 1, -1, -1) if left % _TILE == 0]
    while todo:
        down, left, side = todo.pop()
        here = np.s_[down : down + side, left : left + side]
        inside = np.stack(np.nonzero(stripe.free[here])) + np.array([[stripe.top + down], [left]])
        low, high = (np.array([[stripe.top + down], [left]]) + shift for shift in (-_MARGIN, side + _MARGIN))
        seen = np.flatnonzero(((stripe.places >= low) & (stripe.places < high)).all(axis=0))
        if not inside.size or not seen.size:
            continue
        if len(seen) > _MOST and side > _LEAST_TILE:  # a ragged hole
            half = side // 2
            todo += [(down + i, left + j, half) for i in (half, 0) for j in (half, 0)]
            continue
        if len(seen) > _MOST:
            apart = np.abs(stripe.places[:, seen, None] - inside[:, None]).max(axis=0).min(axis=1)
            seen = seen[np.argsort(apart, kind="stable")[:_MOST]]
        points = stripe.places[:, seen]
        own = between(points, points)
        own.diagonal().add_(_NUGGET * covariance[0, 0])
        kriged = partial(_kriged, torch.linalg.cholesky(own), between(points, inside))
        yield number[here][stripe.free[here]], kriged, points, stripe.rest[seen]


def _kriged(root: Tensor, shared: Tensor, values: npt.NDArray[np.floating[Any]]) -> Floats:
    """C_fm C_mm^-1 of values (B, m): (B, n). By torch, which keeps to the threads that it was given."""
    found: Floats = (torch.cholesky_solve(torch.from_numpy(values).double().T, root).T @ shared).numpy()
    return found
