"""The model of a slice's native detail, as the measured pixels round its holes tell it: level, correlations, spectrum.

    S_d = (1 - |H|^2) S_y = S_r (1 + H) / (1 - H),   r = y - H y,   H the mean over a frame pixel, then interpolation

Beside images that were sharpened (finishing.py) H is H_s = H + g H (1 - H), so that r is what sharpening does not tell:

    1 - H_s = (1 - H) (1 - g H),   g = sum r H r / sum (H r)^2  over measured pixels

r's level is a product, of one told by brightness and one told by how steep the image is: edges are all that a smooth
scan holds beyond the frame, and they are no grain of what is flat beside them. Its correlations are those of r over its
level, by lag, from pairs that were measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import fft, ndimage

from napari_brgm.engine.placed import grey_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.corruptions import Frame
    from napari_brgm.engine.observed import Problem

    Floats = npt.NDArray[np.float64]

__all__ = ["DetailModel", "covered", "steepness"]

_SURROUNDINGS = ((8, 1.0), (32, 1.0), (128, 1.0), (8, 0.5))
# tried in turn: frame pixels from a hole, and the least share of what H looks at that was measured; the rest is F x
_ENOUGH = 400  # measured pixels that tell a spectrum
_SIDE = 16  # frame pixels, and at least 64 of the scan: windows that the surroundings are read in
_READ = 1 << 21  # pixels in all windows, which then are evenly spaced
_EDGES = np.array([2.0, 8.0, *np.arange(24, 256, 16)])  # grey levels, between classes of brightness
_STEEP = np.array([2.0, 4.0, 8.0, 16.0, 32.0])  # grey levels a frame pixel, between classes of steepness
_SHRUNK = 30  # pixels that a class's level is drawn to that of all with
_LEAST = 0.3  # grey levels: rounding; where there is less no detail is told from it
_REACH = 2.5  # frame pixels that correlations are looked at
_LONG = 0.3  # 1 - H below which waves are longer than detail's: anatomy, and e's


@dataclass(frozen=True, slots=True, eq=False)
class DetailModel:
    """A stationary field times a level that follows brightness and steepness.

    Attributes
    ----------
    ratio : (float, float)
        Size of a native pixel in frame pixels, rows and columns.
    brightness, level : (B,) float64 ndarray
        Grey levels; standard deviation of r where the image is so bright.
    steep, factor : (C,) float64 ndarray
        Grey levels a frame pixel; what the level is multiplied by where the image is so steep.
    sharpening : float
        g of the images that the detail is beside.
    covariance : (2 h + 1, 2 k + 1) float64 ndarray
        Of r / level, by lag, (0, 0) in the middle.
    """

    ratio: tuple[float, float]
    brightness: Floats
    level: Floats
    steep: Floats
    factor: Floats
    sharpening: float
    covariance: Floats

    @classmethod
    def measured(
        cls, problem: Problem, image: Tensor, check: Callable[[], None] | None = None, *, sharp: bool = False
    ) -> DetailModel | None:  # fmt: skip
        """Estimate it; None where the surroundings do not tell it, or there is less than rounding.

        Parameters
        ----------
        problem : Problem
        image : (1, 1, R, R) Tensor
            Grey levels of the generator's frame.
        check : callable, optional
            Called now and then; what it raises ends the work.
        sharp : bool
            Whether the images that the detail is for were sharpened.
        """
        slopes = steepness(image)
        for reach, share in _SURROUNDINGS:
            parts = list(_surroundings(problem, image, slopes, reach, share, check))
            if sum(int(part.known.sum()) for part in parts) >= _ENOUGH:
                break
        else:
            return None
        sharpening = _sharpening(parts) if sharp else 0.0
        parts = [replace(part, rest=part.rest - sharpening * part.told) for part in parts]
        brightness, square = _classes([part.grey for part in parts], [part.rest for part in parts], parts, _EDGES)
        level = np.sqrt(square)
        if level.max() < _LEAST:
            return None
        over = [part.rest / np.maximum(np.interp(part.grey, brightness, level), _LEAST) for part in parts]
        steep, square = _classes([part.steep for part in parts], over, parts, _STEEP)
        ratio = problem.placed.frame.ratio
        lags = tuple(math.ceil(_REACH / min(side, 1.0)) for side in ratio)
        found = cls(ratio, brightness, level, steep, np.sqrt(square), sharpening, np.ones((1, 1)))
        return replace(found, covariance=_covariance(parts, found, (lags[0], lags[1])))

    def level_at(self, grey: npt.NDArray[Any], steep: npt.NDArray[Any]) -> Floats:
        """Level of r where the image has these grey levels and steepness."""
        found = np.interp(grey, self.brightness, self.level) * np.interp(steep, self.steep, self.factor)
        return np.asarray(found)

    def in_levels(self, rest: Floats, grey: Floats, steep: Floats) -> Floats:
        """What was measured beyond an image of these grey levels and steepness, over the level."""
        return rest / np.maximum(self.level_at(grey, steep), _LEAST)

    def spectrum(self, shape: tuple[int, int]) -> Floats:
        """(P, Q // 2 + 1) eigenvalues of the field's covariance on a torus of ``shape`` (P, Q)."""
        rows, columns = (n // 2 for n in self.covariance.shape)
        torus = np.zeros(shape)
        torus[: 2 * rows + 1, : 2 * columns + 1] = self.covariance
        torus = np.roll(torus, (-rows, -columns), axis=(0, 1))
        down, across = (
            _transfer(side, axis)
            for side, axis in zip(self.ratio, (np.fft.fftfreq(shape[0]), np.fft.rfftfreq(shape[1])), strict=True)
        )
        passed = down[:, None] * across[None]
        passed = np.minimum(passed * (1 + self.sharpening * (1 - passed)), 1)
        gain: Floats = (1 + passed) * (1 - passed) / np.maximum(1 - passed, _LONG) ** 2
        return np.clip(np.fft.rfft2(torus).real, 0, None) * gain


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


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """Pixels near the holes: of each F x, how steep it is there, r and H r, in grey levels, and whether r is known."""

    grey: Floats
    steep: Floats
    rest: Floats
    told: Floats
    known: npt.NDArray[np.bool_]


def steepness(images: Tensor) -> Tensor:
    """Magnitude of the gradient (B, 1, R, R) of images, in their units a pixel."""
    down, across = (F.pad(images, pad, mode="replicate") for pad in ((0, 0, 1, 1), (1, 1, 0, 0)))
    rise = (down[..., 2:, :] - down[..., :-2, :]) / 2
    run = (across[..., 2:] - across[..., :-2]) / 2
    return torch.hypot(rise, run)


def _surroundings(
    problem: Problem, image: Tensor, slopes: Tensor, reach: int, least: float, check: Callable[[], None] | None
) -> Iterator[_Window]:  # fmt: skip
    """Windows near the holes; r is known within reach only."""
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
        shown, steep = (cut.at(one, every)[0, 0].double().numpy().reshape(known.shape) for one in (image, slopes))
        inside = covered(cut, every).reshape(known.shape)
        scan = problem.placed.given.image[window]
        grey = np.where(known, grey_tensor(scan, known, problem.window)[0, 0].double().numpy(), shown)
        low_pass, share = grey, (known & inside).astype(np.float64)
        for axis, kernel in enumerate(kernels):
            low_pass = ndimage.convolve1d(low_pass, kernel, axis=axis, mode="nearest")
            share = ndimage.convolve1d(share, kernel, axis=axis, mode="constant")
        again = low_pass
        for axis, kernel in enumerate(kernels):
            again = ndimage.convolve1d(again, kernel, axis=axis, mode="nearest")
        blocks = near[place[0] : place[0] + many[0], place[1] : place[1] + many[1]]
        rows, columns = shown[inner].shape
        valid = blocks.repeat(block[0], axis=0).repeat(block[1], axis=1)[:rows, :columns] & known[inner]
        where = valid & (share[inner] >= least - 1e-6)
        yield _Window(shown[inner], steep[inner], (grey - low_pass)[inner], (low_pass - again)[inner], where)


def covered(frame: Frame, chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(N,) whether native pixels lie wholly inside the frame: at its border images fade."""
    whole = torch.ones(1, 1, frame.resolution, frame.resolution)
    found: npt.NDArray[np.bool_] = frame.at(whole, chosen)[0, 0].numpy() > 0.999
    return found


def _sharpening(parts: list[_Window]) -> float:
    """Give g of the module's equation."""
    shared = sum(float((part.rest * part.told)[part.known].sum()) for part in parts)
    power = sum(float(np.square(part.told[part.known]).sum()) for part in parts)
    return max(shared / power, 0.0) if power else 0.0


def _classes(
    told: list[Floats], values: list[Floats], parts: list[_Window], edges: Floats
) -> tuple[Floats, Floats]:  # fmt: skip
    """Of classes of what is told of each pixel: its mean, and the mean square of the values, drawn to that of all."""
    count, total, square = (np.zeros(len(edges) + 1) for _ in range(3))
    for one, value, part in zip(told, values, parts, strict=True):
        kind = np.digitize(one[part.known], edges)
        count += np.bincount(kind, minlength=len(count))
        total += np.bincount(kind, one[part.known], minlength=len(count))
        square += np.bincount(kind, value[part.known] ** 2, minlength=len(count))
    there = count > 0
    mean = square.sum() / count.sum()
    return total[there] / count[there], ((square + _SHRUNK * mean) / (count + _SHRUNK))[there]


def _covariance(parts: list[_Window], model: DetailModel, lags: tuple[int, int]) -> Floats:
    """Of r / level by lag, from pairs of pixels that are both known; tapered."""
    products, pairs = (np.zeros((2 * lags[0] + 1, 2 * lags[1] + 1)) for _ in range(2))
    for part in parts:
        size = [fft.next_fast_len(n + lag, real=True) for n, lag in zip(part.rest.shape, lags, strict=True)]
        own = model.level_at(part.grey, part.steep)
        known = part.known & (own > _LEAST)
        scaled = np.where(known, part.rest / np.maximum(own, _LEAST), 0)
        for total, values in ((products, scaled), (pairs, known.astype(np.float64))):
            by_lag = np.fft.irfft2(np.abs(np.fft.rfft2(values, s=size)) ** 2, s=size)
            total += by_lag[np.ix_(*(np.arange(-lag, lag + 1) for lag in lags))]
    rows, columns = (np.arange(-lag, lag + 1)[(...,)] for lag in lags)
    taper = np.exp(-2 * ((rows[:, None] / lags[0]) ** 2 + (columns[None] / lags[1]) ** 2))
    found: Floats = products / np.maximum(pairs, 50) * taper
    return found
