"""Total variation: of all images that agree with the observation, the one with the least sum of edges.

    in-painting        min TV(x) = sum_p |grad x|_p   over x = y where measured
    super-resolution   min TV(x) over A x = y, A the block means: projection x + A^+ (y - A x), A^+ repeats
    JPEG               min TV(x) + |x - y|^2 / (2 weight)

The first two by the primal-dual method, with the gradient of forward differences (|grad|^2 <= 8):
    p <- project(p + sigma grad(2 x - x_old)) onto |p| <= 1,   x <- project(x + tau div p)
the last by scikit-image. Bounds of the coefficients of a JPEG in place of the quadratic term were tried and gained
nothing here: 9.7 grey levels at a tenth of a step of quantisation and more at wider bounds, the JPEG 9.7, this 8.9.

Sources: L. Rudin, S. Osher and E. Fatemi, Physica D 60, 1992, doi:10.1016/0167-2789(92)90242-F; A. Chambolle and
T. Pock, "A first-order primal-dual algorithm", J. Math. Imaging Vision 40, 2011, doi:10.1007/s10851-010-0251-1, Alg. 1;
A. Chambolle, J. Math. Imaging Vision 20, 2004, doi:10.1023/B:JMIV.0000011325.36760.1e (the last); K. Bredies and
M. Holler, SIAM J. Imaging Sci. 5, 2012, doi:10.1137/110833531 (bounds of the coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_brgm.evaluation.grid.interpolation import Enlargement, block_means
from napari_brgm.evaluation.grid.painting import Scattered
from napari_brgm.evaluation.method import Restored

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.evaluation.method import Image, MethodFamily
    from napari_brgm.evaluation.tasks import Task

    Projection = Callable[[Image], Image]

__all__ = ["TotalVariation", "least_variation", "total_variation"]

_GREY = 100.0  # grey levels a unit of x, so that x and p move alike
_STEPS = 1000  # 300 are 0.1 to 1.3 grey levels worse on training slices
_WEIGHT = 6.0  # grey levels, for JPEG of quality 10: the best of 0 to 15 on 6 training slices


@dataclass(frozen=True, slots=True)
class TotalVariation:
    """Least total variation: exact data, or near a JPEG.

    Parameters
    ----------
    steps : int
        Of the primal-dual method.
    weight : float
        Of the variation against the squared distance from a JPEG, grey levels.
    """

    steps: int = _STEPS
    weight: float = _WEIGHT

    family: ClassVar[MethodFamily] = "training-free"
    name = "tv"
    title = "total variation"

    def fingerprint(self) -> dict[str, Any]:
        return {"steps": self.steps, "weight": self.weight}

    def solves(self, task: Task) -> bool:
        return task.kind != "whole"

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
            from skimage.restoration import denoise_tv_chambolle

            denoise: Any = denoise_tv_chambolle  # without types
            return Restored(denoise(y, weight=self.weight, eps=1e-5, max_num_iter=self.steps))
        factor = task.factor

        def agreeing(x: Image) -> Image:
            return x + np.kron(y - block_means(x, factor), np.ones((factor, factor)))

        return Restored(least_variation(Enlargement("bicubic").enlarged(y, factor), agreeing, self.steps))


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
