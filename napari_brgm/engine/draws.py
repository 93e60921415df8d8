"""Draws: posterior images on the scan's pixels and in its units, of what was not measured.

They are made, completed and finished a few at a time, as many as a bound of pixels allows; of a slice with measured
pixels only the others are kept.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from napari_brgm.engine.detail import NativeDetail
from napari_brgm.engine.finishing import sharpened
from napari_brgm.inference import complete
from napari_brgm.samples import samples_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.engine.finishing import Finishing
    from napari_brgm.engine.observed import Problem
    from napari_brgm.inference import Progress, Spread
    from napari_brgm.posterior import Posterior
    from napari_brgm.priors.residual_field import ResidualField

__all__ = ["LEAST_NOISE", "Draws", "completed", "drawn", "finished", "least_noise", "on_grid"]

LEAST_NOISE = 2.0  # grey levels, of the data given the residual field: rounding and resampling
_FINE_NOISE = 6.0  # the same on a scan finer than the frame, which holds what no image of the frame can meet:
# with 2 the kriged mean overshot at rims in beads, and 60 steps left 2 grey levels of its system
_FINISHED_NOISE = 15.0  # the same of finished draws, which are sharpened after it
_NEAR_STEPS = 20  # of kriging near a rim: finished draws have no need of it far inside a hole
_MOST_FINISHED = 3.0  # times that finished draws are widened or narrowed
_PIXELS = 1 << 22  # of images that are worked on at a time


class Draws:
    """Posterior draws of the pixels that were not measured, in the scan's units; their spread may be scaled.

    Parameters
    ----------
    problem : Problem
    values : (S, N[, 3]) float32 ndarray
        Of the N pixels of ``free``, row by row.
    check : callable, optional
        Called for each draw that is scaled; what it raises ends the work.
    detail : callable, optional
        Adds native detail (detail.py) to ``values``, in place, and returns what their mean gains.
    finished : Draws, optional
        The same draws with the texture of scans (finishing.py), which are shown in their place.

    Attributes
    ----------
    free : (H, W) bool ndarray
        Pixels that are drawn.
    mean : (N[, 3]) float64 ndarray
        Of the draws as they came; scaling leaves it, native detail does not.
    """

    def __init__(
        self, problem: Problem, values: npt.NDArray[np.float32], check: Callable[[], None] | None = None,
        detail: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float64]] | None = None,
        finished: Draws | None = None,
    ) -> None:  # fmt: skip
        self._problem, self.values, self._check, self._detail = problem, values, check, detail
        self.finished = finished
        self.free = problem.free
        self.mean: npt.NDArray[np.float64] = values.mean(axis=0, dtype=np.float64)

    @property
    def grey_mean(self) -> npt.NDArray[np.float64]:
        """(N[, 3]) mean in grey levels."""
        return np.asarray(self._problem.window.to_grey(self.mean))

    def scale(self, factor: npt.NDArray[np.floating[Any]] | float) -> None:
        """Multiply the deviations from the mean by ``factor`` (N[, 3]); f(draws) stays as it was.

        Where f takes means and the factor differs within one of them, that mean would move: A^+ A of what was added is
        taken off again.
        """
        f, shape = self._problem.corruption, self._problem.shape
        seen = f.observed_shape(shape)
        moves = f.coarsens(seen) != (1.0, 1.0) and f.well_posed(seen)
        more = np.asarray(factor) - 1
        for draw in self.values:
            if self._check is not None:
                self._check()
            added = ((draw - self.mean) * more).astype(np.float32)
            if moves:
                moved = torch.from_numpy(added.reshape(1, 1, *shape))
                added -= f.A_dagger(f.A(moved), shape).numpy().reshape(added.shape)
            draw += added

    def match_finished(self) -> None:
        """Give finished draws the mean and the spread of these, pixel by pixel.

            f_k <- m_d + c (f_k - m_f),   c = s_d / s_f of each pixel, between 1/3 and 3

        m_d and s_d: mean and standard deviation of these draws, which calibration has scaled; m_f and s_f: those of the
        finished ones, which the network moves and narrows. What coarse pixels say stays.
        """
        if self.finished is None:
            return
        own, theirs = self.variance, self.finished.variance
        ratio = np.divide(own, theirs, out=np.ones_like(own), where=theirs > 0)
        self.finished.scale(np.clip(np.sqrt(ratio), 1 / _MOST_FINISHED, _MOST_FINISHED))
        self.finished.move(self.mean)

    def move(self, mean: npt.NDArray[np.float64]) -> None:
        """Let the draws have this mean (N[, 3])."""
        apart = (mean - self.mean).astype(np.float32)
        for draw in self.values:
            if self._check is not None:
                self._check()
            draw += apart
        self.mean = mean

    def add_detail(self) -> None:
        """Add what the scan holds that is finer than the frame, if there is any. Last: no factor is meant for it."""
        if self._detail is not None:
            self.mean = self.mean + self._detail(self.values)
        if self.finished is not None:
            self.finished.add_detail()

    def image(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values (N[, 3]) of the drawn pixels as an image (H, W[, 3]); 0 where it was measured."""
        found = np.zeros((*self.free.shape, *values.shape[1:]), values.dtype)
        found[self.free] = values
        return found

    @property
    def variance(self) -> npt.NDArray[np.float64]:
        """(N[, 3]) unbiased where the draws are centred, as those of all our Gaussians are."""
        mean = self.values.mean(axis=0, dtype=np.float64)
        total = np.zeros_like(mean)
        for draw in self.values:
            total += np.square(draw - mean)
        return np.asarray(total / len(self.values))

    def samples(self) -> npt.NDArray[np.float32]:
        """(S, H, W[, 3]) images, finished if there are such, with the measured pixels; of large slices `Samples`."""
        image = self._problem.placed.given.image
        return samples_of((self.finished or self).values, self.free, image)


def drawn(
    problem: Problem, posterior: Posterior, spread: Spread, field: ResidualField | None, count: int,
    generator: torch.Generator, progress: Progress, batch: int, *, sparing: bool,
    finishing: Finishing | None = None,
) -> Draws:  # fmt: skip
    """``count`` draws, each consistent with the data, and the same finished; a step for each batch of images of both.

    ``sparing`` completes no more than ``batch`` at a time, for want of memory. ``finishing`` None: as they came.
    """
    images = []
    for part in torch.split(spread.sample(count, generator), batch):
        with torch.no_grad():
            images.append(posterior.images(part))
        progress.step("samples")
    seen = max(problem.likelihood.entries, posterior.prior.resolution**2)
    solved = max(_PIXELS // seen, 1)
    plain = torch.cat(images)
    with torch.no_grad():
        whole = completed(problem, field, plain, generator, min(solved, batch) if sparing else solved, progress)
    most, exact = batch if sparing else count, posterior.settings.data_consistency
    draws = on_grid(problem, whole, field, exact, generator, progress, most)
    if finishing is None:
        return draws
    fine = not finishing.coarse and problem.placed.finer_than_frame
    agreeing = partial(
        completed, problem, field, batch=min(solved, batch) if sparing else solved, progress=progress,
        iterations=_NEAR_STEPS, least=_FINISHED_NOISE if fine else LEAST_NOISE,
    )  # fmt: skip
    textured = []
    for part in torch.split(plain, batch):
        textured.append(finishing(part, agreeing, progress.check))
        progress.step("samples")
    shown = torch.cat(textured)
    if fine:
        shown = sharpened(problem, shown)
    draws.finished = on_grid(problem, shown, field, exact, finishing.generator, progress, most, sharp=fine)
    return draws


def on_grid(
    problem: Problem, whole: torch.Tensor, field: ResidualField | None, consistent: bool, generator: torch.Generator,
    progress: Progress, most: int, *, sharp: bool = False,
) -> Draws:  # fmt: skip
    """Completed images (S, C, R, R) as draws on the scan's grid, ``most`` of them worked on at a time.

    ``sharp``: they are as sharp as the scan.
    """
    count = len(whole)
    entries = max(problem.likelihood.entries, whole[0].numel(), int(np.count_nonzero(problem.free)))
    most = min(max(_PIXELS // entries, 1), most)
    values = None
    with torch.no_grad():
        for first in range(0, count, most):
            progress.check()
            some = problem.finish(whole[first : first + most], consistent, progress.check)
            values = np.empty((count, *some.shape[1:]), np.float32) if values is None else values
            values[first : first + most] = some
    assert values is not None
    fine = None if field is None else NativeDetail.of(problem, whole, progress.check, sharp=sharp)
    detail = None if fine is None else partial(fine.add, generator=generator, check=progress.check)
    return Draws(problem, values, progress.check, detail)


def finished(
    problem: Problem, field: ResidualField | None, images: torch.Tensor, consistent: bool, progress: Progress
) -> npt.NDArray[np.float64]:  # fmt: skip
    """(N[, 3]) in the scan's units: what was not measured of a completed image (1, C, R, R), with its native detail."""
    found = problem.finish(images, consistent, progress.check)[0]
    fine = None if field is None else NativeDetail.of(problem, images, progress.check)
    return found if fine is None else np.asarray(found + fine.mean(found, progress.check))


def completed(
    problem: Problem, field: ResidualField | None, images: torch.Tensor, generator: torch.Generator | None = None,
    batch: int | None = None, progress: Progress | None = None, iterations: int | None = None,
    least: float | None = None,
) -> torch.Tensor:  # fmt: skip
    """Images with what the generator cannot draw: its mean given the data, or with ``generator`` a draw for each."""
    if field is None:
        return images
    noise = least_noise(problem, least)
    check = None if progress is None else progress.check
    return complete(images, field, problem.likelihood, noise, generator, batch, check, iterations, problem.near)


def least_noise(problem: Problem, least: float | None = None) -> float | torch.Tensor:
    """Noise of what was observed given the residual field, grey levels: measured, and what no image can meet.

    (1, 1, h, w) where it differs between pixels. ``least`` None: what fine scans, or others, ask for.
    """
    if least is None:
        least = _FINE_NOISE if problem.placed.finer_than_frame else LEAST_NOISE
    return max(problem.noise.measured, least) if problem.sigma is None else problem.sigma.clamp(min=least)
