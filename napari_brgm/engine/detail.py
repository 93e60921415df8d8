"""Native detail: what a scan holds that is finer than the generator's frame; a part of the residual field e.

    y = F x + d,   d(p) = l(b(p)) g(p),   g a stationary Gaussian field on the scan's own grid,   b the brightness
    S_d = (1 - |H|^2) S_y = S_r (1 + H) / (1 - H),   r = y - H y,   H the mean over a frame pixel, then interpolation

Spectrum and level come from measured pixels round the holes: S_d is what the frame passes nothing of, so that power
which e has already is not added again. Given the rim, by Matheron's rule,

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

from napari_brgm.engine.placed import grey_tensor
from napari_brgm.likelihood import to_grey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.corruptions import Frame
    from napari_brgm.engine.observed import Problem

    Floats = npt.NDArray[np.float64]

__all__ = ["NativeDetail"]

_FINER = 0.9  # frame pixels: a native pixel below that holds what the frame does not
_SURROUNDINGS = ((8, 1.0), (32, 1.0), (128, 1.0), (8, 0.5))
# tried in turn: frame pixels from a hole, and the least share of what H looks at that was measured; the rest is F x
_ENOUGH = 400  # measured pixels that tell a spectrum
_SIDE = 16  # frame pixels, and at least 64 of the scan: windows that the surroundings are read in
_READ = 1 << 21  # pixels in all windows, which then are evenly spaced
_EDGES = np.array([2.0, 8.0, *np.arange(24, 256, 16)])  # grey levels, between classes of brightness
_SHRUNK = 30  # pixels that a class's level is drawn to that of all with
_LEAST = 0.3  # grey levels: rounding; where there is less no detail is told from it
_REACH = 2.5  # frame pixels that correlations are looked at
_LONG = 0.3  # 1 - H below which waves are longer than detail's: anatomy, and e's
_TORUS = 1 << 24  # numbers in all fields together
_RIM = 3  # pixels round a hole that are kriged from: those behind them say no more
_MARGIN = 12  # pixels round a tile whose rim it sees
_TILE, _LEAST_TILE = 32, 16
_MOST = 400  # pixels of the rim that a tile is kriged from
_NUGGET = 0.01  # of the variance


@dataclass(frozen=True, slots=True, eq=False)
class NativeDetail:
    """The model of one slice's native detail.

    Attributes
    ----------
    problem : Problem
    image : (1, 1, R, R) Tensor
        Grey levels of the generator's frame that the detail is beside: the mean of what is drawn.
    brightness, level : (B,) float64 ndarray
        Grey levels; standard deviation of r where the image is so bright.
    covariance : (2 h + 1, 2 k + 1) float64 ndarray
        Of r / level, by lag, (0, 0) in the middle.
    """

    problem: Problem
    image: Tensor
    brightness: Floats
    level: Floats
    covariance: Floats

    @classmethod
    def of(
        cls, problem: Problem, images: Tensor, check: Callable[[], None] | None = None
    ) -> NativeDetail | None:  # fmt: skip
        """Estimate it from what is measured; None where there is none to add.

        Parameters
        ----------
        problem : Problem
        images : (B, 1, R, R) Tensor
            In [-1, 1], completed.
        check : callable, optional
            Called now and then; what it raises ends the work.
        """
        ratio = problem.placed.frame.ratio
        if not problem.measured.any() or problem.measured.all() or min(ratio) >= _FINER or images.shape[1] != 1:
            return None
        image = to_grey(images).mean(dim=0, keepdim=True).cpu()
        for reach, share in _SURROUNDINGS:
            parts = list(_surroundings(problem, image, reach, share, check))
            if sum(int(valid.sum()) for _, _, valid in parts) >= _ENOUGH:
                break
        else:
            return None
        brightness, level = _levels(parts)
        if level.max() < _LEAST:
            return None
        lags = tuple(math.ceil(_REACH / min(side, 1.0)) for side in ratio)
        covariance = _covariance(parts, brightness, level, (lags[0], lags[1]))
        return cls(problem, image, brightness, level, covariance)

    def _spectrum(self, shape: tuple[int, int]) -> Floats:
        """(P, Q // 2 + 1) eigenvalues of g's covariance on a torus of ``shape`` (P, Q)."""
        rows, columns = (n // 2 for n in self.covariance.shape)
        torus = np.zeros(shape)
        torus[: 2 * rows + 1, : 2 * columns + 1] = self.covariance
        torus = np.roll(torus, (-rows, -columns), axis=(0, 1))
        ratio = self.problem.placed.frame.ratio
        across, down = _transfer(ratio[1], np.fft.rfftfreq(shape[1])), _transfer(ratio[0], np.fft.fftfreq(shape[0]))
        passed = np.minimum(down[:, None] * across[None], 1)  # by rounding it may be above
        gain: Floats = (1 + passed) * (1 - passed) / np.maximum(1 - passed, _LONG) ** 2
        return np.clip(np.fft.rfft2(torus).real, 0, None) * gain

    def _levels(self, grey: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
        """Level (..., n) of r where the image has these grey levels; 0 where the frame does not reach (n,)."""
        found: npt.NDArray[np.float32] = np.interp(grey, self.brightness, self.level).astype(np.float32)
        return found * known

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
        count, window = len(draws), self.problem.window
        shape = self._torus(count)
        spectrum = self._spectrum(shape)
        fields = _fields(spectrum, shape, count, generator).reshape(count, -1)
        covariance = _covariance_near(spectrum, shape)
        gained = np.zeros(draws.shape[1])
        for stripe in self._stripes(check):
            part = slice(stripe.first, stripe.last)
            values = draws[:, part]
            level = self._levels(np.asarray(window.to_grey(values)), stripe.known) / np.float32(window.gain)
            down, right = np.nonzero(stripe.free)
            new = fields.take((down + stripe.top) % shape[0] * shape[1] + right % shape[1], axis=1)
            for inside, kriged, points, rest in _tiles(stripe, covariance):
                new[:, inside] -= kriged(fields.take(points[0] % shape[0] * shape[1] + points[1] % shape[1], axis=1))
                gained[part][inside] = kriged(rest[None])[0]
            new *= level
            gained[part] *= level.mean(axis=0)
            values += new - new.mean(axis=0) + gained[part].astype(np.float32)
        return gained

    def mean(self, values: npt.NDArray[np.floating[Any]], check: Callable[[], None] | None = None) -> Floats:
        """Kriged mean (N,) beside an image of the pixels that were not measured (N,), both in the scan's units."""
        window = self.problem.window
        shape = self._torus(1)
        covariance = _covariance_near(self._spectrum(shape), shape)
        found = np.zeros(values.shape)
        for stripe in self._stripes(check):
            part = slice(stripe.first, stripe.last)
            for inside, kriged, _, rest in _tiles(stripe, covariance):
                found[part][inside] = kriged(rest[None])[0]
            found[part] *= self._levels(np.asarray(window.to_grey(values[part])), stripe.known) / window.gain
        return found

    def _torus(self, count: int) -> tuple[int, int]:
        """Sides that hold all holes and what correlates, as far as ``count`` fields may."""
        most = math.isqrt(_TORUS // count)
        free, sides = self.problem.free, []
        for axis, lags in zip((1, 0), self.covariance.shape, strict=True):
            found = np.flatnonzero(free.any(axis=axis))
            side = min(int(found[-1] - found[0]) + 2 * _MARGIN + lags, most)
            sides.append(fft.next_fast_len(max(side, 2 * lags, _TILE + 2 * _MARGIN + lags), real=True))
        return sides[0], sides[1]

    def _stripes(self, check: Callable[[], None] | None) -> Iterator[_Stripe]:
        """Stripes with pixels that were not measured, from the top."""
        problem, last = self.problem, 0
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
            rim[rim] = _covered(cut, rim)
            shown = cut.at(self.image, rim)[0, 0].double().numpy()
            rest = np.asarray(problem.window.to_grey(problem.placed.given.image[low:high][rim].astype(np.float64)))
            places = np.stack(np.nonzero(rim)) + np.array([[low], [0]])
            level = np.maximum(np.interp(shown, self.brightness, self.level), _LEAST)
            yield _Stripe(
                top, first, last, own, ~problem.unseen[top : top + _TILE][own], places, (rest - shown) / level
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
    known: npt.NDArray[np.bool_]
    places: npt.NDArray[np.int64]
    rest: Floats


def _transfer(ratio: float, frequency: npt.NDArray[np.floating[Any]]) -> Floats:
    """H of an axis at frequencies in cycles a native pixel."""
    kernel = _kernel(ratio)
    lag = np.arange(len(kernel)) - len(kernel) // 2
    found: Floats = (kernel * np.cos(2 * np.pi * frequency[..., None] * lag)).sum(axis=-1)
    return found


def _kernel(ratio: float) -> Floats:
    """Mean over a frame pixel, then linear interpolation: a quadratic B-spline three frame pixels wide; sum 1."""
    if ratio >= 1:
        return np.ones(1)
    half = math.ceil(1.5 / ratio)
    t = np.abs(np.arange(-half, half + 1) * ratio)
    kernel: Floats = np.where(t < 0.5, 0.75 - t**2, 0.5 * np.clip(1.5 - t, 0, None) ** 2)
    return np.asarray(kernel / kernel.sum())


def _surroundings(
    problem: Problem, image: Tensor, reach: int, least: float, check: Callable[[], None] | None
) -> Iterator[tuple[Floats, Floats, npt.NDArray[np.bool_]]]:  # fmt: skip
    """Windows near the holes: F x and r in grey levels, and where r is known, within reach."""
    ratio, seen = problem.placed.frame.ratio, problem.measured
    block = [max(round(1 / side), 1) for side in ratio]
    starts = [np.arange(0, n, b) for n, b in zip(seen.shape, block, strict=True)]
    hidden = np.logical_or.reduceat(np.logical_or.reduceat(~seen, starts[0], axis=0), starts[1], axis=1)
    near = ndimage.distance_transform_edt(~hidden) <= reach
    many = [max(_SIDE, math.ceil(64 / b)) for b in block]
    found = [
        (row, column)
        for row in range(0, len(starts[0]), many[0])
        for column in range(0, len(starts[1]), many[1])
        if near[row : row + many[0], column : column + many[1]].any()
    ]
    most = min(max(_READ // math.prod(b * n for b, n in zip(block, many, strict=True)), 1), len(found))
    found = [found[i * len(found) // most] for i in range(most)]
    kernels = [_kernel(side) for side in ratio]
    half = [len(kernel) // 2 for kernel in kernels]
    for place in found:
        if check is not None:
            check()
        core, outer = [], []
        for start, b, n, m, h in zip(place, block, many, seen.shape, half, strict=True):
            low, high = start * b, min((start + n) * b, m)
            outer.append(slice(max(low - h, 0), min(high + h, m)))
            core.append(slice(low - outer[-1].start, high - outer[-1].start))
        window, inner = (outer[0], outer[1]), (core[0], core[1])
        known = seen[window]
        cut = problem.placed.frame.cut((outer[0].start, outer[1].start), known.shape)
        every = np.ones(known.shape, dtype=np.bool_)
        shown = cut.at(image, every)[0, 0].double().numpy().reshape(known.shape)
        covered = _covered(cut, every).reshape(known.shape)
        scan = problem.placed.given.image[window]
        grey = np.where(known, grey_tensor(scan, known, problem.window)[0, 0].double().numpy(), shown)
        low_pass, share = grey, (known & covered).astype(np.float64)
        for axis, kernel in enumerate(kernels):
            low_pass = ndimage.convolve1d(low_pass, kernel, axis=axis, mode="nearest")
            share = ndimage.convolve1d(share, kernel, axis=axis, mode="constant")
        blocks = near[place[0] : place[0] + many[0], place[1] : place[1] + many[1]]
        rows, columns = shown[inner].shape
        valid = blocks.repeat(block[0], axis=0).repeat(block[1], axis=1)[:rows, :columns] & known[inner]
        yield shown[inner], (grey - low_pass)[inner], valid & (share[inner] >= least - 1e-6)


def _covered(frame: Frame, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(N,) whether native pixels lie wholly inside the frame: at its border images fade."""
    whole = torch.ones(1, 1, frame.resolution, frame.resolution)
    found: npt.NDArray[np.bool_] = frame.at(whole, chosen)[0, 0].numpy() > 0.999
    return found


def _levels(parts: list[tuple[Floats, Floats, npt.NDArray[np.bool_]]]) -> tuple[Floats, Floats]:
    """Mean brightness of its classes, and the root mean square of r in each."""
    count, total, square = (np.zeros(len(_EDGES) + 1) for _ in range(3))
    for smooth, rest, valid in parts:
        kind = np.digitize(smooth[valid], _EDGES)
        count += np.bincount(kind, minlength=len(count))
        total += np.bincount(kind, smooth[valid], minlength=len(count))
        square += np.bincount(kind, rest[valid] ** 2, minlength=len(count))
    there = count > 0
    mean = square.sum() / count.sum()
    variance = (square + _SHRUNK * mean) / (count + _SHRUNK)
    return total[there] / count[there], np.sqrt(variance[there])


def _covariance(
    parts: list[tuple[Floats, Floats, npt.NDArray[np.bool_]]], brightness: Floats, level: Floats, lags: tuple[int, int]
) -> Floats:  # fmt: skip
    """Of r / level by lag, from pairs of pixels that are both known; tapered."""
    products, pairs = (np.zeros((2 * lags[0] + 1, 2 * lags[1] + 1)) for _ in range(2))
    for smooth, rest, valid in parts:
        size = [fft.next_fast_len(n + lag, real=True) for n, lag in zip(rest.shape, lags, strict=True)]
        own = np.interp(smooth, brightness, level)
        known = valid & (own > _LEAST)
        scaled = np.where(known, rest / np.maximum(own, _LEAST), 0)
        for total, values in ((products, scaled), (pairs, known.astype(np.float64))):
            by_lag = np.fft.irfft2(np.abs(np.fft.rfft2(values, s=size)) ** 2, s=size)
            total += by_lag[np.ix_(*(np.arange(-lag, lag + 1) for lag in lags))]
    rows, columns = (np.arange(-lag, lag + 1)[(...,)] for lag in lags)
    taper = np.exp(-2 * ((rows[:, None] / lags[0]) ** 2 + (columns[None] / lags[1]) ** 2))
    found: Floats = products / np.maximum(pairs, 50) * taper
    return found


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
    """Tiles that a rim reaches: numbers of their pixels in the stripe, kriging to them, the rim's places and rest."""
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
