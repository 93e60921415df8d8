"""Restoring: one slice on its way from the observation to its restoration.

    checked -> placed -> observed -> posterior -> maximum -> Laplace or VI -> draws -> scaled, calibrated -> Restoration

    f = corruption o frame,   y = window(image)      in grey levels 0..255
    estimate = window^-1( x + A^+ (y - A x) ),  x = G(w) + e on the native or finer grid  (hard data consistency)

e is what the generator cannot draw, given the data (inference/residual.py), where the prior has a model of it.
In-painting keeps the measured pixels bit for bit. Super-resolution gives a finer grid over the same rectangle.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.corruptions import as_corruption
from napari_brgm.engine.assembled import assembled
from napari_brgm.engine.draws import LEAST_NOISE, completed, drawn, finished
from napari_brgm.engine.finishing import FINISHED, finishing_of
from napari_brgm.engine.misfit import misfit_of
from napari_brgm.engine.need import Need
from napari_brgm.engine.observed import observe
from napari_brgm.engine.representation import field_of, residual_scale
from napari_brgm.errors import BrgmError, InputError
from napari_brgm.inference import (
    Progress,
    fit_ensemble,
    fit_gaussian,
    fit_released_gaussian,
    laplace_at,
    laplace_batches,
    tune,
)
from napari_brgm.inference.released_variational import FAULTS
from napari_brgm.likelihood import Likelihood
from napari_brgm.perceptual import pick_features
from napari_brgm.posterior import Posterior, images_at_once
from napari_brgm.priors.gray import Gray
from napari_brgm.reason import lacks_memory
from napari_brgm.released import for_factor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from napari_brgm.corruptions import LinearOperator
    from napari_brgm.engine.devices import Attempt
    from napari_brgm.engine.job import Job, ObservedSlice
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.inference import Maximum, Spread, Step
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["IMAGES", "Restoring", "image_and_corruption"]

IMAGES = 8  # synthesised at once


class Restoring:
    """One slice, observed and with its posterior.

    Parameters
    ----------
    given : ObservedSlice
    job : Job
        What it is a part of.
    prior : Prior
        That of the job, on the device of the attempt.
    settings : InferenceSettings
        Those of the job, as the attempt allows.
    attempt : Attempt
    tell : callable
        Gets the slice's steps.
    held : int
        Results that memory will hold at the end, this one's among them.
    with_samples : bool
        Whether with their samples.

    Attributes
    ----------
    posterior : Posterior
    generator : torch.Generator
        Of everything random (CPU).
    progress : Progress
    samples : int
        How many draws there will be.
    batch : int
        How many of them at once.
    drawing : int
        Steps that drawing and finishing take.
    seeks_maximum : bool
        A maximum is found first; not where there is no density, nor by the released code's VI.

    Raises
    ------
    InputError
        The slice cannot be restored.
    TooLarge
        There is not enough memory for it.
    """

    def __init__(
        self, given: ObservedSlice, job: Job, prior: Prior, settings: InferenceSettings, attempt: Attempt,
        tell: Callable[[Step], object], *, held: int = 1, with_samples: bool = True,
    ) -> None:  # fmt: skip
        self.began = time.perf_counter()
        self.job, self.attempt = job, attempt
        self.generator = torch.Generator().manual_seed(int(job.seed))
        self.progress = Progress(tell, preview=self._preview)
        image, corruption = image_and_corruption(given)
        if image.ndim == 2 or (image.ndim == 3 and image.shape[2] <= 4):  # others are refused as they are
            plane = image.shape[0], image.shape[1]
            corruption.hidden(plane)  # refuses a mask of another slice
            prior = prior.for_slice(corruption.image_shape(plane), 3 if image.ndim == 3 else prior.channels)
            if settings.objective == "released":
                settings = for_factor(settings, max(corruption.coarsens(plane)))
            if image.ndim == 2 and prior.channels == corruption.observed_channels(prior.channels) == 3:
                prior = Gray.of(prior)
        self.settings = settings
        self.problem = observe(
            image, corruption, prior, spacing=given.spacing, noise_sigma=given.noise_sigma,
            pose=settings.fit_pose, alignment=job.alignment, field=settings.residual_field,
            second=given.second, check=self.progress.check,
        )  # fmt: skip
        device = prior.latents.mean.device
        self.batch = min(attempt.batch, images_at_once(prior.resolution, device))
        self.samples = job.draws
        found = finishing_of(self.problem, prior, settings, int(job.seed)) if self.samples else None
        self.finishing = None if isinstance(found, str) else found
        self.texture = {"unfinished": found} if isinstance(found, str) else {"finished": FINISHED} if found else {}
        need = Need.of(
            self.problem, self.samples, prior.resolution, self.batch, device, held, with_samples=with_samples,
            finished=self.finishing is not None,
        )  # fmt: skip
        need.check()
        likelihood = self.problem.likelihood
        self.notes: list[str] = [*attempt.notes, *([prior.note] if isinstance(prior, Gray) else [])]
        if settings.lambda_perceptual:
            features = pick_features(prior, settings.features, settings.feature_size)
            likelihood = Likelihood(likelihood.observation, likelihood.y, features)
            self.notes.append(
                f"the perceptual term compares features of {features.name}" if features
                else f"preset '{settings.name}' ran without its perceptual term"
            )  # fmt: skip
        self.posterior = Posterior(prior, likelihood, settings, check=self.progress.check)
        released = settings.objective == "released"
        straight = released and job.method == "vi"
        self.seeks_maximum = settings.prior_density != "flat" and not straight
        products = 0
        if self.seeks_maximum and self.samples:
            products = laplace_batches(self.posterior, linearised=job.method != "laplace")
        self.searched = 0 if straight else settings.steps + settings.refine_steps  # number of the last step so far
        self.gaussian = self.searched + products  # before those of VI
        vi = (settings.vi_steps or settings.steps) if job.method == "vi" else 0
        self.drawing = math.ceil(self.samples / self.batch) * (1 if self.finishing is None else 2)
        self.progress.total = self.gaussian + vi + self.drawing

    def _preview(self, number: int, images: torch.Tensor) -> Sequence[npt.NDArray[np.float32]]:
        """What the generator's images (1, C, R, R) look like in the scan, now and then."""
        if (number - 1) % self.settings.preview_every and number != self.progress.total:
            return ()
        with torch.no_grad():
            finished = self.problem.finish(images, self.settings.data_consistency, self.progress.check)[0]
        return (self.problem.whole(finished).astype(np.float32),)

    def finish(self, maximum: Maximum | None) -> Restoration:
        """From the maximum to the restoration; None where there is no density."""
        job, settings, problem, generator, progress = (
            self.job, self.settings, self.problem, self.generator, self.progress,
        )  # fmt: skip
        spread, best = self._spread(maximum)
        posterior = self.posterior
        prior = posterior.prior
        at = spread.mean[None] if best is None and spread is not None else best
        assert at is not None  # one of them is there
        with torch.no_grad():
            shown = posterior.images(at)
            latents = posterior.latents(at)[0]
            field = field_of(prior, settings, problem, shown, progress.check)
            seeded = torch.Generator().manual_seed(int(job.seed))
            scale = residual_scale(prior, settings, problem, field, shown, seeded, progress.check)
        misfit = misfit_of(posterior.likelihood, shown, prior.resolution, problem.pixel)
        progress.skip(progress.total - self.drawing)
        draws = estimate = None
        if spread is not None:
            draws = drawn(
                problem, posterior, spread, field, self.samples, generator, progress, self.batch,
                sparing=self.attempt.batch < IMAGES, finishing=self.finishing,
            )  # fmt: skip
        if best is not None:
            with torch.no_grad():
                image = completed(problem, field, shown, progress=progress)
                estimate = problem.whole(finished(problem, field, image, settings.data_consistency, progress))
        return assembled(
            problem, prior, settings, job, draws=draws, estimate=estimate, latents=latents,
            scale=scale, misfit=misfit, device=self.attempt.device, notes=self.notes, trace=progress.trace,
            began=self.began, texture=self.texture if draws is not None else {},
        )  # fmt: skip

    def _spread(self, maximum: Maximum | None) -> tuple[Spread | None, torch.Tensor | None]:
        """Distribution of the latents, None: it is not asked for; and those whose image is shown, None: the mean's."""
        settings, generator, progress, notes = self.settings, self.generator, self.progress, self.notes
        if maximum is None and settings.objective == "released":
            notes.append(FAULTS)
            return fit_released_gaussian(self.posterior, generator, progress), None
        if maximum is None:
            return fit_ensemble(self.posterior, generator, progress), None
        best = maximum.v
        progress.skip(settings.steps)
        if settings.refine_steps:
            noise = max(self.problem.noise.measured, LEAST_NOISE)
            self.posterior = tune(self.posterior, best, noise, settings.refine_steps, progress)
            notes.append(
                f"the generator was tuned to this slice in {settings.refine_steps} steps: what it adds is less bound "
                "to the anatomy that it was trained on"
            )
        if not self.samples:
            if self.job.samples:
                notes.append(
                    "the released objective is no log density and gives no spread after MAP; method 'vi' has one"
                )
            return None, best
        laplace = laplace_at(self.posterior, best, generator, progress, linearised=self.job.method != "laplace")
        if self.job.method != "vi":
            return laplace, best
        progress.skip(self.gaussian)
        return fit_gaussian(self.posterior, laplace, generator, progress), None


def image_and_corruption(given: ObservedSlice) -> tuple[npt.NDArray[Any], LinearOperator]:
    """What is given of a slice, made now that its turn has come; one sentence where that cannot be."""
    if given.image is None:
        raise InputError("nothing of this slice was measured, and its neighbours are not known or tell nothing of it")
    corruption = as_corruption(_made(given.corruption, "what happened to the slice cannot be told"))
    return _made(lambda: np.asarray(given.image), "the image cannot be read as an array of numbers"), corruption


def _made(make: Callable[[], Any], trouble: str) -> Any:
    """What a person's own code makes; whatever else it raises becomes one sentence."""
    try:
        return make()
    except BrgmError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise
        raise InputError(f"{trouble}: {(str(error) or type(error).__name__).splitlines()[0]}") from error
