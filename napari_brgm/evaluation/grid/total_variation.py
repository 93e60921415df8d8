"""Total variation: of all images that agree with the observation, the one with the least sum of edges.

    min TV(x) = sum_p |grad x|_p   over x in C
        in-painting        C = {x = y where measured}
        super-resolution   C = {A x = y}, A the block means: projection x + A^+ (y - A x), A^+ repeats
        JPEG               C = {|DCT(x) - DCT(y)| <= share q_i}, blocks of 8 x 8, q_i the steps of its table

by the primal-dual method, with the gradient of forward differences (|grad|^2 <= 8):
    p <- project(p + sigma grad(2 x - x_old)) onto |p| <= 1,   x <- project(x + tau div p) onto C

A share of 1/2 is all that quantisation allows; less is nearer to the truth as a rule: most coefficients are small.

Sources: L. Rudin, S. Osher and E. Fatemi, Physica D 60, 1992, doi:10.1016/0167-2789(92)90242-F; A. Chambolle and
T. Pock, "A first-order primal-dual algorithm", J. Math. Imaging Vision 40, 2011, doi:10.1007/s10851-010-0251-1 (Alg. 1);
K. Bredies and M. Holler, "A TV-based model for JPEG decompression", SIAM J. Imaging Sci. 5, 2012,
doi:10.1137/110833531; S. H. Park and D. S. Kim, "Theory of projection onto the narrow quantization constraint set",
IEEE Trans. Image Process. 8, 1999, doi:10.1109/83.791963.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_brgm.corruptions import Jpeg
from napari_brgm.evaluation.grid.interpolation import Interpolation, block_means
from napari_brgm.evaluation.grid.method import Restored
from napari_brgm.evaluation.grid.painting import Scattered

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.evaluation.grid.method import Family, Image
    from napari_brgm.evaluation.tasks import Task

    Projection = Callable[[Image], Image]

__all__ = ["TotalVariation", "least_variation", "total_variation"]

_GREY = 100.0  # grey levels a unit of x, so that x and p move alike
_BLOCK = 8  # side of a JPEG's blocks


@dataclass(frozen=True, slots=True)
class TotalVariation:
    """Least total variation with exact data.

    Parameters
    ----------
    steps : int
        Of the primal-dual method.
    share : float
        Of a step of quantisation by which a coefficient of a JPEG may differ.
    """

    steps: int = 1000
    share: float = 0.3

    family: ClassVar[Family] = "training-free"
    name = "tv"
    title = "total variation"

    def fingerprint(self) -> dict[str, Any]:
        return {"steps": self.steps, "share": self.share}

    def solves(self, task: Task) -> bool:
        return True

    def prepare(self) -> None:
        """Nothing is learned."""

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        """Minimise from the nearest measured pixels; nothing is random."""
        y = observed.astype(np.float64)
        if task.kind == "hole":
            measured = ~task.region
            start = Scattered("nearest").restore(observed, task, seed).estimate
            return Restored(least_variation(start, lambda x: np.where(measured, y, x), self.steps))
        if task.kind == "jpeg":
            return Restored(least_variation(y, _within_steps(y, task, self.share), self.steps))
        factor = task.factor

        def agreeing(x: Image) -> Image:
            return x + np.kron(y - block_means(x, factor), np.ones((factor, factor)))

        return Restored(least_variation(Interpolation("bicubic").enlarged(y, factor), agreeing, self.steps))


def least_variation(start: Image, project: Projection, steps: int) -> Image:
    """Minimise the total variation over a convex set, from ``start``; (H, W) grey levels, in the set."""
    x = project(start)
    p = np.zeros((2, *x.shape))
    ahead, tau, sigma = x, _GREY / 8**0.5, 1 / (_GREY * 8**0.5)
    for _ in range(steps):
        p += sigma * _gradient(ahead)
        p /= np.maximum(np.hypot(p[0], p[1]), 1.0)
        moved = project(x + tau * _divergence(p))
        ahead, x = 2 * moved - x, moved
    return x


def total_variation(x: Image) -> float:
    """TV of (H, W) by forward differences, grey levels."""
    rows, columns = _gradient(x)
    return float(np.hypot(rows, columns).sum())


def _gradient(x: Image) -> Image:  # (H, W) -> (2, H, W)
    """Forward differences, 0 over the last row and column."""
    found = np.zeros((2, *x.shape))
    found[0, :-1] = x[1:] - x[:-1]
    found[1, :, :-1] = x[:, 1:] - x[:, :-1]
    return found


def _divergence(p: Image) -> Image:  # (2, H, W) -> (H, W)
    """Minus the adjoint of ``_gradient``; p is 0 over the last row and column of its axis."""
    found: Image = p[0] + p[1]
    found[1:] -= p[0, :-1]
    found[:, 1:] -= p[1, :, :-1]
    return found


def _within_steps(y: Image, task: Task, share: float) -> Projection:
    """Projection onto the coefficients that may be so near to those of a JPEG; the frame is whole blocks."""
    from scipy.fft import dctn, idctn

    assert task.quality is not None
    rows, columns = (n // _BLOCK for n in y.shape)
    slack = share * Jpeg(task.quality).steps.reshape(1, _BLOCK, _BLOCK)

    def blocks(x: Image) -> Image:  # (H, W) -> (N, 8, 8)
        parts = x.reshape(rows, _BLOCK, columns, _BLOCK).transpose(0, 2, 1, 3).reshape(-1, _BLOCK, _BLOCK)
        found: Image = dctn(parts, axes=(1, 2), norm="ortho")
        return found

    middle = blocks(y)

    def project(x: Image) -> Image:
        near = np.clip(blocks(x), middle - slack, middle + slack)
        parts = idctn(near, axes=(1, 2), norm="ortho").reshape(rows, columns, _BLOCK, _BLOCK)
        image: Image = parts.transpose(0, 2, 1, 3).reshape(y.shape)
        return image

    return project
