"""Run: one slice on its way from the observation to its restoration, and several of them side by side.

    observe -> posterior -> maximum -> Laplace or VI -> draws -> scaled, calibrated -> Restoration

Up to the maximum slices may go together: one synthesis of the generator serves all of them (inference/together.py).
After it each has draws of its own, which fill a batch by themselves.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.engine.calibrate import calibrated, scaled_in_tissue
from napari_brgm.engine.drawing import LEAST_NOISE, completed, drawn
from napari_brgm.engine.misfit import misfit_of, unlike
from napari_brgm.engine.observe import Problem, observe
from napari_brgm.engine.provenance import record
from napari_brgm.engine.representation import field_of, residual_scale
from napari_brgm.engine.restoration import Restoration
from napari_brgm.errors import InputError
from napari_brgm.inference import (
    Maximum,
    Step,
    fit_ensemble,
    fit_gaussian,
    laplace_batches,
    laplace_steps,
    maximise,
    maximise_together,
    tune,
)
from napari_brgm.perceptual import pick_features
from napari_brgm.posterior import Posterior
from napari_brgm.priors.compiled import with_compiled_network
from napari_brgm.priors.deep_image import DeepImagePrior

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.inference import Spread
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["IMAGES", "How", "Observed", "Run", "run_together"]

IMAGES = 8  # synthesised at once


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """One slice and what happened to it; see ``napari_brgm.restore`` for the fields.

    ``corruption`` is made when its turn comes, so that a mask that cannot be used costs only its own slice.
    """

    image: npt.ArrayLike
    corruption: Callable[[], Corruption]
    spacing: tuple[float, float] | None = None
    noise_sigma: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class How:
    """What is asked for; see ``napari_brgm.restore``. ``device`` is the one that the prior is on."""

    method: str
    samples: int
    seed: int
    settings: InferenceSettings
    device: torch.device
    alignment: Alignment | None = None


class Run:
    """One slice, observed and with its posterior; ``told`` notes steps, ``maximum`` and ``finish`` do the rest.

    Parameters
    ----------
    observed : Observed
    prior : Prior
        On the device of ``how``.
    how : How
    notes : list of str
        Sentences about the run so far.
    batch : int
        Images synthesised at once.

    Raises
    ------
    InputError
        The slice cannot be restored.
    """

    def __init__(self, observed: Observed, prior: Prior, how: How, notes: Sequence[str] = (), batch: int = IMAGES):
        self.began = time.perf_counter()
        settings = how.settings
        self.how, self.notes, self.batch, self.settings = how, list(notes), batch, settings
        self.generator = torch.Generator().manual_seed(how.seed)
        self.corruption = observed.corruption()
        self.prior = _sized(prior, observed.image, self.corruption)
        self.problem: Problem = observe(
            observed.image,
            self.corruption,
            self.prior,
            spacing=observed.spacing,
            noise_sigma=observed.noise_sigma,
            pose=settings.fit_pose,
            alignment=how.alignment,
            field=settings.residual_field,
        )
        likelihood = self.problem.likelihood
        if settings.lambda_perceptual:
            features = pick_features(self.prior, settings.features, settings.feature_size)
            likelihood = replace(likelihood, features=features)
        self.posterior = Posterior(self.prior, likelihood, settings)
        self.flat = settings.prior_density == "flat"
        self.linearised = how.method != "laplace"
        products = 0 if self.flat else laplace_batches(self.posterior, linearised=self.linearised)
        self.tuned = settings.steps + settings.refine_steps  # number of the last step before the Gaussian
        self.before = self.tuned + products  # before those of VI
        vi = (settings.vi_steps or settings.steps) if how.method == "vi" else 0
        self.total = self.before + vi + math.ceil(how.samples / batch)
        self.trace: list[dict[str, Any]] = []

    def told(self, step: Step, images: torch.Tensor) -> Step:
        """Note a step in the trace; give it with its number among all of this slice, now and then with a preview."""
        step = replace(step, total=self.total)
        self.trace.append({"phase": step.phase, "iteration": step.iteration, "loss": step.loss, **step.terms})
        if (step.iteration - 1) % self.settings.preview_every == 0 or step.iteration == step.total:
            with torch.no_grad():
                finished = self.problem.finish(images, self.settings.data_consistency)[0]
            step = replace(step, preview=self.problem.keep_measured(finished).astype(np.float32))
        return step

    def reported(self, inference: Any) -> Any:
        """Run an inference to its end, each step told."""
        while True:
            try:
                step, images = next(inference)
            except StopIteration as end:
                return end.value
            yield self.told(step, images)

    def maximum(self) -> Generator[Step, None, Maximum | None]:
        """The maximum a posteriori; None where there is no density."""
        if self.flat:
            return None
        found: Maximum = yield from self.reported(maximise(self.posterior, self.total, self.generator))
        return found

    def finish(self, maximum: Maximum | None) -> Generator[Step, None, Restoration]:
        """From the maximum to the restoration."""
        problem, prior, settings, how, generator = self.problem, self.prior, self.settings, self.how, self.generator
        spread, best = yield from self._spread(maximum)
        posterior = self.posterior
        with torch.no_grad():
            shown = posterior.images(spread.mean[None] if best is None else best)
        misfit = misfit_of(posterior.likelihood, shown, prior.resolution, problem.pixel)
        remark = unlike(misfit, prior.info.misfit_limit)
        with torch.no_grad():
            field = field_of(posterior, problem, shown)
            scale = residual_scale(posterior, problem, field, shown, torch.Generator().manual_seed(how.seed))
        draws = yield from drawn(
            posterior, problem, spread, field, how.samples, generator, self.total, self.batch,
            sparing=self.batch < IMAGES,
        )  # fmt: skip
        mean = draws.mean(axis=0, dtype=np.float64)
        draws = scaled_in_tissue(draws, mean, scale, problem)
        spreading = calibrated(draws, mean, problem, prior, settings, how.method, unlike=bool(remark))
        draws = spreading.draws
        variance = draws.var(axis=0, dtype=np.float64)  # draws are centred and scaled so that this is unbiased
        estimate = mean
        with torch.no_grad():
            latents = posterior.latents(spread.mean[None] if best is None else best)[0].cpu().numpy()
            if best is not None:
                image = completed(problem, field, shown)
                estimate = problem.finish(image, settings.data_consistency)[0]
        estimate, mean = problem.keep_measured(estimate), problem.keep_measured(mean)
        variance[problem.measured] = 0
        variance[problem.unseen] = (problem.window.high - problem.window.low) ** 2 / 12  # nothing is known there
        return Restoration(
            estimate=estimate,
            mean=mean,
            variance=variance.astype(np.float32),
            samples=problem.keep_measured(draws).astype(np.float32),
            latents=latents,
            measured=problem.measured,
            trace=self.trace,
            widths=spreading.widths,
            provenance=record(
                prior, self.corruption.describe(), settings, method=how.method, seed=how.seed, samples=how.samples,
                device=how.device, noise=problem.noise | {"residual_scale": round(scale, 4)},
                window={"low": problem.window.low, "high": problem.window.high},
                frame=problem.frame.describe(), alignment=problem.alignment.as_dict() | {"fitted": problem.fitted},
                misfit={"value": round(misfit, 4) if math.isfinite(misfit) else None, "limit": prior.info.misfit_limit},
                calibration=spreading.record,
                notes=([remark] if remark else []) + self.notes + problem.notes,
                seconds=time.perf_counter() - self.began,
            ),
        )  # fmt: skip

    def _spread(self, maximum: Maximum | None) -> Generator[Step, None, tuple[Spread, torch.Tensor | None]]:
        """Distribution of the latents, and those whose image is shown; None: the mean of the draws is shown."""
        settings, generator, total = self.settings, self.generator, self.total
        if maximum is None:
            return (yield from self.reported(fit_ensemble(self.posterior, generator, total))), None
        best = maximum.v
        if settings.refine_steps:
            level = max(self.problem.noise["measured"], LEAST_NOISE)
            tuning = tune(self.posterior, best, level, settings.refine_steps, done=settings.steps, total=total)
            self.posterior = yield from self.reported(tuning)
            self.problem.notes.append(
                f"the generator was tuned to this slice in {settings.refine_steps} steps: what it adds is less bound "
                "to the anatomy that it was trained on"
            )
        laplace = yield from laplace_steps(
            self.posterior, best, generator, linearised=self.linearised, done=self.tuned, total=total
        )
        if self.how.method != "vi":
            return laplace, best
        fit = fit_gaussian(self.posterior, laplace, generator, done=self.before, total=total)
        return (yield from self.reported(fit)), None


def run_together(
    slices: Sequence[Observed], prior: Prior, how: How, notes: Sequence[str] = (), batch: int = IMAGES
) -> Generator[tuple[int, Step], None, list[Restoration | InputError]]:
    """Restore slices side by side, ``batch`` at a time; yields the index of a slice and its step.

    ``prior`` is on the device of ``how``. A slice that cannot be restored does not cost the others: its error
    takes its place among the results.
    """
    if how.settings.compiled:
        prior, notes = _compiled(prior, notes)
    results: list[Restoration | InputError] = []
    for first in range(0, len(slices), batch):
        part: list[Run | InputError] = []
        for observed in slices[first : first + batch]:
            try:
                part.append(Run(observed, prior, how, notes, batch))
            except InputError as error:
                part.append(error)
        runs = {first + i: run for i, run in enumerate(part) if isinstance(run, Run)}
        maxima = (yield from _maxima(runs)) if _may_share(runs, how.settings) else {}
        for index, run in enumerate(part, start=first):
            if isinstance(run, InputError):
                results.append(run)
                continue
            try:
                results.append((yield from _indexed(index, _alone(run, maxima.get(index)))))
            except InputError as error:
                results.append(error)
    return results


def _compiled(prior: Prior, notes: Sequence[str]) -> tuple[Prior, Sequence[str]]:
    try:
        return with_compiled_network(prior), notes
    except Exception as error:  # whatever the compiler stack raises, the plain network does
        remark = f"the generator could not be compiled ({type(error).__name__}) and ran as it is, more slowly"
        return prior, [*notes, remark]


def _may_share(runs: dict[int, Run], settings: InferenceSettings) -> bool:
    dense = settings.prior_density != "flat" and settings.optimiser != "gauss-newton"
    return dense and len(runs) > 1


def _maxima(runs: dict[int, Run]) -> Generator[tuple[int, Step], None, dict[int, Maximum]]:
    """Maxima of several slices, from one synthesis a step."""
    inference = maximise_together(
        [run.posterior for run in runs.values()], None, [run.generator for run in runs.values()]
    )
    while True:
        try:
            told = next(inference)
        except StopIteration as end:
            return dict(zip(runs, end.value, strict=True))
        for (index, run), (step, image) in zip(runs.items(), told, strict=True):
            yield index, run.told(step, image)


def _alone(run: Run, maximum: Maximum | None) -> Generator[Step, None, Restoration]:
    if maximum is None:
        maximum = yield from run.maximum()
    return (yield from run.finish(maximum))


def _indexed(index: int, steps: Generator[Step, None, Restoration]) -> Generator[tuple[int, Step], None, Restoration]:
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Restoration = end.value
            return result
        yield index, step


def _sized(prior: Prior, image: npt.ArrayLike, corruption: Corruption) -> Prior:
    """Give the prior, or an untrained one that is as large as the restored slice: it has no frame of its own."""
    shape = np.shape(image)
    if not isinstance(prior, DeepImagePrior) or len(shape) not in (2, 3):
        return prior
    channels = 3 if len(shape) == 3 else prior.channels
    own = DeepImagePrior.for_slice(corruption.image_shape((shape[0], shape[1])), channels, prior.seed)
    return own.to(prior.latents.mean.device)
