"""Downsample: fewer, larger pixels or thicker slices; f of super-resolution (BRGM Sec. 2.2, psi = {kernel, factor})."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F

from napari_brgm.corruptions.compose import Identity
from napari_brgm.corruptions.corruption import check_batch, check_ratio
from napari_brgm.corruptions.kernels import bicubic, bicubic_points, smoothed_box
from napari_brgm.corruptions.separable import Separable
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from napari_brgm.corruptions.corruption import Shape
    from napari_brgm.corruptions.kernels import Matrix

__all__ = ["Downsample", "Kernel"]

Kernel = Literal["area", "bicubic", "bicubic_points", "gaussian", "slice_profile"]
Number = float | int | Fraction

# kernel: the lengths it takes, with their defaults, in low-resolution pixels
_LENGTHS: dict[str, dict[str, float]] = {
    "area": {},
    "bicubic": {},
    "bicubic_points": {},
    "gaussian": {"fwhm": 1.0},
    "slice_profile": {"width": 1.0, "fwhm": 0.2},
}


class Downsample(Separable):
    """Average with a kernel and keep one pixel of every ``factor``: Y = Ky X Kx'.

    The outer edges of the two grids coincide: the centre of fine pixel i is (i + 0.5) / f - 0.5 in low-resolution
    pixels. N fine pixels give max(1, round(N / f)) low ones, n low pixels are refined to round(n f), halves to even.
    An axis with factor 1 is left as it is, whatever the kernel.

    Parameters
    ----------
    factor : number, (row, column) or (through, row, column)
        How many fine pixels make a low-resolution one; any rational number from 1 up, above 1 on at least one axis.
        A float is taken to the nearest fraction with a denominator up to 10,000. Of three, the first is that of the
        slices of a stack, which are the channels of an image (``restore_volume``): so many thin ones make a thick one.
    kernel : {'area', 'bicubic', 'bicubic_points', 'gaussian', 'slice_profile'}
        'area': exact overlap of the pixels' boxes. 'bicubic': Keys' cubic, a = -1/2, stretched by the factor
        (antialiased). 'bicubic_points': Keys' cubic, a = -3/4, at the coarse centres, not stretched: four fine pixels
        an axis make a coarse one, the rest is skipped, as in the BRGM authors' code. 'gaussian': a Gaussian of
        ``fwhm``. 'slice_profile': a box of ``width`` whose edges are smoothed by a Gaussian of ``fwhm``. At the
        image's edges the weights that remain are scaled to sum to 1. All axes above factor 1 have the same kernel.
    fwhm : float, optional
        Full width at half maximum in low-resolution pixels: of the Gaussian (default 1), or of the smoothing of the
        slice profile's edges (default 0.2, may be 0).
    width : float, optional
        For 'slice_profile': slice thickness / slice spacing (default 1; below 1 there are gaps, above 1 overlap).

    Raises
    ------
    InputError
        A factor, kernel or length that cannot be used.

    Examples
    --------
    >>> import torch
    >>> f = Downsample(4)
    >>> y = f(torch.rand(1, 1, 32, 32))
    >>> y.shape, f.A_dagger(y).shape
    (torch.Size([1, 1, 8, 8]), torch.Size([1, 1, 32, 32]))
    >>> Downsample((5, 1), kernel="slice_profile", width=3 / 5)  # 3 mm slices every 5 mm, to 1 mm
    Downsample(factor=(5, 1), kernel='slice_profile', width=0.6, fwhm=0.2)
    """

    __slots__ = ("factor", "fwhm", "kernel", "through", "width")

    def __init__(
        self,
        factor: Number | Sequence[Number],
        kernel: Kernel = "area",
        *,
        fwhm: float | None = None,
        width: float | None = None,
    ) -> None:
        if kernel not in get_args(Kernel):
            raise InputError(f"there is no kernel {kernel!r}; choose one of {', '.join(get_args(Kernel))}")
        self.through, *plane = _fractions(factor)
        self.factor = (plane[0], plane[1])  # (row, column)
        self.kernel: Kernel = kernel
        self.fwhm = _length(kernel, "fwhm", fwhm)  # low-resolution pixels, as the next
        self.width = _length(kernel, "width", width)

    def __repr__(self) -> str:
        row, column = map(str, self.factor)
        given = "".join(f", {name}={getattr(self, name):g}" for name in _LENGTHS[self.kernel])
        shown = row if row == column else f"({row}, {column})"
        shown = shown if self.through == 1 else f"({self.through}, {row}, {column})"
        return f"Downsample(factor={shown}, kernel={self.kernel!r}{given})"

    @property
    def key(self) -> tuple[Any, ...]:
        return Downsample, self.through, self.factor, self.kernel, self.fwhm, self.width

    def well_posed(self, observed_hw: Shape) -> bool:
        return True

    @property
    def averages(self) -> bool:
        return self.kernel == "area"

    def coarsens(self, observed_hw: Shape) -> tuple[float, float]:
        return float(self.factor[0]), float(self.factor[1])

    def describe(self) -> dict[str, Any]:
        lengths = {name: getattr(self, name) for name in _LENGTHS[self.kernel]}
        factor = [float(f) for f in (self.through, *self.factor)][self.through == 1 :]
        return {"name": "Downsample", "factor": factor, "kernel": self.kernel, **lengths}

    @property
    def in_plane(self) -> Downsample | Identity:
        """What of it happens to each slice by itself."""
        if max(self.factor) == 1:
            return Identity()
        return Downsample(self.factor, self.kernel, fwhm=self.fwhm, width=self.width)

    def observed_channels(self, channels: int) -> int:
        if self.through == 1:
            return channels
        if channels < 2:
            raise InputError(
                "thick slices are sums of thin ones, so that a stack of them is needed: use restore_volume"
            )
        return max(1, round(channels / self.through))

    def image_channels(self, observed: int) -> int:
        """How many thin slices so many thick ones are made of."""
        return round(observed * self.through)

    def slice_profile(self, thin: int) -> Matrix:
        """(n, thin) share of each thin slice in each thick one; rows sum to 1."""
        return self._kernel(self.through, thin)

    def A(self, x: Tensor) -> Tensor:
        blocks = self._blocks(check_batch(x))
        if self.through > 1:
            profile = torch.from_numpy(self.slice_profile(x.shape[1])).to(x)
            x = torch.einsum("nk,bkhw->bnhw", profile, x)
        return super().A(x) if blocks is None else F.avg_pool2d(x, blocks)

    def A_adjoint(self, y: Tensor, shape: Shape | None = None) -> Tensor:
        if self.through > 1:
            profile = torch.from_numpy(self.slice_profile(self.image_channels(y.shape[1]))).to(y)
            y = torch.einsum("nk,bnhw->bkhw", profile, y)
        shape = self._checked_shape(y, shape)
        blocks = self._blocks(shape)
        return super().A_adjoint(y, shape) if blocks is None else _spread(y / math.prod(blocks), blocks)

    def A_dagger(self, y: Tensor, shape: Shape | None = None, noise_to_signal: float = 0.0) -> Tensor:
        check_ratio(noise_to_signal)
        if self.through > 1:
            return self._stack_dagger(y, shape, noise_to_signal)
        shape = self._checked_shape(y, shape)
        blocks = self._blocks(shape)
        if blocks is None:
            return super().A_dagger(y, shape, noise_to_signal)
        return _spread(y / (1 + math.prod(blocks) * noise_to_signal), blocks)  # A A' = I / (rows columns)

    def _stack_dagger(self, y: Tensor, shape: Shape | None, ratio: float) -> Tensor:
        """Of a stack: the slices' principal sums by themselves, each with its own share of the noise."""
        profile = torch.from_numpy(self.slice_profile(self.image_channels(y.shape[1]))).to(y)
        u, s, vt = torch.linalg.svd(profile, full_matrices=False)
        plane, sums = self.in_plane, torch.einsum("nr,bnhw->brhw", u, y)
        parts = [
            plane.A_dagger(sums[:, r : r + 1], shape, ratio / float(s[r]) ** 2) / s[r] for r in range(len(s))
        ]  # the singular values of a Kronecker product multiply
        return torch.einsum("rk,brhw->bkhw", vt, torch.cat(parts, dim=1))

    def _blocks(self, image_hw: Shape) -> tuple[int, int] | None:
        """Fine pixels (rows, columns) of which each low one is the plain mean; None: it is no such mean.

        Without matrices: those of an image of 2,048 pixels took half a second each way.
        """
        whole = all(f.denominator == 1 and n % f == 0 for f, n in zip(self.factor, image_hw, strict=True))
        return (int(self.factor[0]), int(self.factor[1])) if whole and self.kernel == "area" else None

    def observed_shape(self, shape_hw: Shape) -> Shape:
        row, column = (max(1, round(size / f)) for size, f in zip(shape_hw, self.factor, strict=True))
        return row, column

    def image_shape(self, observed_hw: Shape) -> Shape:
        row, column = (round(n * f) for n, f in zip(observed_hw, self.factor, strict=True))
        return row, column

    def axis_matrix(self, axis: int, size: int) -> Matrix:
        """K (n, N), float64, of axis 0 (rows) or 1 (columns) for N = ``size`` fine pixels; its rows sum to 1."""
        return self._kernel(self.factor[axis], size)

    def _kernel(self, exact: Fraction, size: int) -> Matrix:
        factor = float(exact)
        if factor == 1:
            return np.eye(size)
        n = max(1, round(size / exact))
        match self.kernel:
            case "area":
                return smoothed_box(n, size, factor, width=1.0, fwhm=0.0)
            case "bicubic":
                return bicubic(n, size, factor)
            case "bicubic_points":
                return bicubic_points(n, size, factor)
            case "gaussian" | "slice_profile":
                return smoothed_box(n, size, factor, width=self.width or 0.0, fwhm=self.fwhm or 0.0)


def _spread(y: Tensor, blocks: tuple[int, int]) -> Tensor:
    """Each pixel of y (B, C, h, w) over a block."""
    (batch, channels, height, width), (rows, columns) = y.shape, blocks
    wide = y[:, :, :, None, :, None].expand(batch, channels, height, rows, width, columns)
    return wide.reshape(batch, channels, height * rows, width * columns)


def _fractions(factor: Number | Sequence[Number]) -> tuple[Fraction, Fraction, Fraction]:
    try:
        given = (factor, factor) if isinstance(factor, int | float | Fraction | np.number) else tuple(factor)
        through, row, column = (Fraction(f).limit_denominator(10_000) for f in (1,) * (len(given) == 2) + given)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"factor must be a number, a (row, column) pair or (through, row, column) numbers, got {factor!r}"
        ) from error
    if min(through, row, column) < 1 or max(through, row, column) == 1:
        raise InputError(f"factor must be above 1 on at least one axis and below 1 on none, got {factor!r}")
    return through, row, column


def _length(kernel: Kernel, name: str, value: float | None) -> float | None:
    if name not in _LENGTHS[kernel]:
        if value is not None:
            raise InputError(f"the kernel {kernel!r} takes no {name}; leave it out")
        return None
    value = _LENGTHS[kernel][name] if value is None else float(value)
    least_ok = value >= 0 if (kernel, name) == ("slice_profile", "fwhm") else value > 0
    if not (math.isfinite(value) and least_ok):
        raise InputError(f"{name} must be a length above 0 in low-resolution pixels, got {value}")
    return value
