"""Live: a slice whose holes are filled while they are painted, by the exact posterior of the prior's line.

    G(w) ~ mean + B u,   u | y exact,   e | y, u kriged near holes;   estimate, std: of draws, calibrated

What the next stroke leaves as it was is kept: alignment, noise, the residual field's scale, and the sums behind the
posterior, from which only the pixels that come or go are taken (inference/kept_posterior.py). Detail finer than the
frame, texture, and what the network makes of it come with a run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.corruptions import Mask
from napari_brgm.engine.calibrate import calibrated, scale_tissue
from napari_brgm.engine.checked import checked
from napari_brgm.engine.draws import completed, on_grid
from napari_brgm.engine.misfit import misfit_of, unlike
from napari_brgm.engine.observed import observed
from napari_brgm.engine.placed import placed
from napari_brgm.engine.representation import field_of, residual_scale
from napari_brgm.errors import InputError
from napari_brgm.inference import Progress
from napari_brgm.inference.kept_posterior import KeptPosterior

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.checked import CheckedSlice
    from napari_brgm.engine.placed import PlacedSlice
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["Filled", "LiveSlice"]

_DRAWS, _SEED = 32, 0
_STEPS = 16  # of kriging, at most
_SHARED = 0.5  # of what is hidden, then or now: with less in common a slice is placed anew


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """A slice with its holes filled.

    Attributes
    ----------
    estimate : (H, W) ndarray
        In the scan's units; measured pixels bit for bit.
    std : (H, W) float32 ndarray
        0 where measured.
    notes : tuple of str
        Sentences for the person.
    """

    estimate: npt.NDArray[np.number]
    std: npt.NDArray[np.float32]
    notes: tuple[str, ...] = ()


class LiveSlice:
    """One slice and what is known of it, whatever is painted on it.

    Parameters
    ----------
    image : (H, W) ndarray
        In the scan's units.
    prior : Prior
        With a line that is its generator's own.
    spacing : (float, float) or None
        Pixel size (row, column) in mm.
    settings : InferenceSettings
    alignment : Alignment or None
        None: it is fitted beside the first hole, and again by ``place``.

    Raises
    ------
    InputError
        The prior has no line whose posterior is an answer.
    """

    def __init__(
        self, image: npt.NDArray[np.number], prior: Prior, spacing: tuple[float, float] | None,
        settings: InferenceSettings, alignment: Alignment | None = None,
    ) -> None:  # fmt: skip
        line = prior.parts.line
        if line is None or not line.exact or not line.complete or prior.channels != 1:
            raise InputError(f"{prior.info.name} has no linear part; holes are filled when the slice is run")
        self._image, self._prior, self._spacing, self._settings = image, prior, spacing, settings
        self._model, self._alignment = line.whitened, alignment
        self._placed: PlacedSlice | None = None
        self._scale: float | None = None  # of the residual field's standard deviation
        self._kept: KeptPosterior | None = None
        self._hidden: npt.NDArray[np.bool_] | None = None  # when pose, noise and scale were found

    def outgrown(self, missing: npt.NDArray[np.bool_]) -> bool:
        """Whether so much else is hidden than when the slice was placed that ``place`` is worth its time."""
        return self._alignment is None and self._is_other(missing)

    def _is_other(self, missing: npt.NDArray[np.bool_]) -> bool:
        if self._hidden is None:
            return True
        most = max(np.count_nonzero(missing), np.count_nonzero(self._hidden))
        return bool(np.count_nonzero(missing & self._hidden) < _SHARED * most)

    def place(self, missing: npt.NDArray[np.bool_], check: Callable[[], None] | None = None) -> None:
        """Find pose and intensity beside these holes (H, W); errors as of ``fill``."""
        given = self._checked(missing)
        fit = self._settings.fit_pose
        self._placed = placed(given, self._prior, pose=fit, alignment=self._alignment, check=check)
        self._scale = self._kept = None
        self._hidden = missing.copy()

    def _checked(self, missing: npt.NDArray[np.bool_]) -> CheckedSlice:
        flat = self._alignment is not None
        return checked(self._image, Mask(missing), self._prior, self._spacing, None, flat=flat)

    def fill(self, missing: npt.NDArray[np.bool_], check: Callable[[], None] | None = None) -> Filled:
        """Fill the holes.

        Parameters
        ----------
        missing : (H, W) bool ndarray
        check : callable, optional
            Called now and then; what it raises ends the work, and the next call begins anew.

        Raises
        ------
        InputError
            The slice or the mask cannot be used.
        """
        if self._placed is None:
            self.place(missing, check)
        assert self._placed is not None
        prior, settings = self._prior, self._settings
        now = replace(self._placed, given=self._checked(missing))
        problem = observed(now, prior, field=settings.residual_field, detail=False)
        posterior, self._kept = self._kept, None  # lost, if what follows is stopped
        if posterior is None:
            precision = settings.lambda_pixel or 1 / problem.likelihood.observation.sigma**2
            posterior = KeptPosterior(self._model, problem.likelihood, problem.pixel, precision, check)
        else:
            posterior.observe(problem.likelihood, check)
        generator = torch.Generator().manual_seed(_SEED)
        progress = Progress(None if check is None else lambda _: check())
        with torch.no_grad():
            latents = torch.cat([posterior.mean[None], posterior.sample(_DRAWS, generator)])
            shown = self._model.synthesize(latents[:, None])  # together: their basis is read once
            mean, draws = shown[:1], shown[1:]
            field = field_of(prior, settings, problem, mean, check)
            if self._scale is None or (self._alignment is not None and self._is_other(missing)):
                self._hidden = missing.copy()
                seeded = torch.Generator().manual_seed(_SEED)
                self._scale = residual_scale(prior, settings, problem, field, mean, seeded, check)
            whole = completed(problem, field, draws, generator, progress=progress, iterations=_STEPS)
            spread = on_grid(problem, whole, None, True, generator, progress, _DRAWS)
        scale_tissue(spread, self._scale)
        calibrated(spread, problem, prior, settings, "map")
        self._kept = posterior
        misfit = misfit_of(problem.likelihood, mean, prior.resolution, problem.pixel)
        remark = unlike(misfit, prior.info.misfit_limit)
        notes = tuple(filter(None, (remark, *problem.notes)))
        return Filled(problem.whole(spread.mean), np.sqrt(spread.image(spread.variance)).astype(np.float32), notes)
