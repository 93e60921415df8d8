"""restore(): a slice in native pixels and units -> generator frame -> inference -> back to the native or finer grid.

    f = corruption o (frame -> native grid),   y = window(image)      in grey levels 0..255
    estimate = window^-1( x + A^+ (y - A x) ),  x = G(w) + e on the native or finer grid  (hard data consistency)

e is what the generator cannot draw, given the data (inference/residual.py), where the prior has a model of it.

In-painting returns the measured pixels bit for bit. Super-resolution returns a finer grid over the same rectangle.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt
import torch

from napari_brgm.engine.calibrate import calibrated, rescaled
from napari_brgm.engine.devices import pick_device
from napari_brgm.engine.drawing import LEAST_NOISE, completed, drawn
from napari_brgm.engine.memory import within_memory
from napari_brgm.engine.misfit import misfit_of, unlike
from napari_brgm.engine.observe import Problem, observe
from napari_brgm.engine.provenance import record
from napari_brgm.engine.representation import field_of, residual_scale
from napari_brgm.engine.restoration import Restoration
from napari_brgm.errors import Cancelled, InputError
from napari_brgm.inference import Step, fit_ensemble, fit_gaussian, laplace_batches, laplace_steps, maximise, tune
from napari_brgm.perceptual import pick_features
from napari_brgm.posterior import Posterior
from napari_brgm.priors.deep_image import DeepImagePrior
from napari_brgm.settings import InferenceSettings, Method, preset

if TYPE_CHECKING:
    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.inference import Spread
    from napari_brgm.priors.prior import Prior

__all__ = ["restore", "restore_steps"]

Callback = Callable[[Step], bool | None]
_BATCH = 8  # images synthesised at once


def restore(
    image: npt.ArrayLike,
    corruption: Corruption,
    prior: Prior,
    *,
    method: str = "map",
    samples: int = 32,
    seed: int = 0,
    device: str = "auto",
    spacing: tuple[float, float] | None = None,
    noise_sigma: float | None = None,
    settings: InferenceSettings | None = None,
    alignment: Alignment | None = None,
    callback: Callback | None = None,
) -> Restoration:
    """Restore one slice.

    Parameters
    ----------
    image : (H, W) array-like
        The observation, in any real units; for ``Downsample`` the low-resolution image. (H, W, 3) for a colour prior.
    corruption : Corruption
        What happened to the image: ``Mask(missing)``, ``Downsample(factor)``, ...
    prior : Prior
        From ``load_prior``.
    method : {'map', 'laplace', 'vi'}
        Maximum a posteriori with a Gaussian round it ('map': by the generator's linear part, where it has one;
        'laplace': by its own Jacobian, slower), or variational inference (BRGM Eq. 6, Eq. 8).
    samples : int
        Posterior draws behind mean and variance, at least 2.
    seed : int
        Of everything random; the same seed gives the same result on the same device.
    device : str
        'auto', 'cpu', 'cuda' or 'cuda:N'.
    spacing : (row, column) of float or None
        Pixel size of ``image`` in mm; None means the prior's own pixel size (times the factor for super-resolution).
    noise_sigma : float or None
        Standard deviation of the noise of ``image`` in its own units; None: estimated from it.
    settings : InferenceSettings or None
        None means the preset that suits the prior (``prior.preset``).
    alignment : Alignment or None
        Where the scan lies against the prior, and its black and white; taken as it is, whatever the settings say. None:
        fitted to the slice, if ``settings.fit_pose`` is on; else from the box and the percentiles of what is measured.
        A slice on the prior's own grid is taken as it is where ``spacing`` is None; else it is fitted, and the fit kept
        where it is clearly better. Either way ``provenance["alignment"]`` tells it.
    callback : callable or None
        Called with every Step; returning False stops the run.

    Returns
    -------
    Restoration

    Raises
    ------
    InputError, DeviceError, Cancelled
        With one sentence that says what to do.
    """
    run = restore_steps(
        image, corruption, prior, method=method, samples=samples, seed=seed, device=device, spacing=spacing,
        noise_sigma=noise_sigma, settings=settings, alignment=alignment,
    )  # fmt: skip
    while True:
        try:
            step = next(run)
        except StopIteration as end:
            result: Restoration = end.value
            return result
        if callback is not None and callback(step) is False:
            run.close()
            raise Cancelled(f"stopped after step {step.iteration} of {step.total}")


def restore_steps(
    image: npt.ArrayLike,
    corruption: Corruption,
    prior: Prior,
    *,
    method: str = "map",
    samples: int = 32,
    seed: int = 0,
    device: str = "auto",
    spacing: tuple[float, float] | None = None,
    noise_sigma: float | None = None,
    settings: InferenceSettings | None = None,
    alignment: Alignment | None = None,
) -> Generator[Step, None, Restoration]:
    """The same as ``restore``, as a generator of Steps that returns the Restoration; closing it cancels."""
    settings = settings or preset(prior.preset)
    if method not in get_args(Method):
        raise InputError(f"method must be 'map', 'laplace' or 'vi', got {method!r}")
    if method != "map" and settings.prior_density == "flat":
        raise InputError(f"{prior.info.name} has no density that method {method!r} could use; choose method 'map'")
    if samples < 2:
        raise InputError(f"samples must be at least 2 to give a variance, got {samples}")

    def run(chosen: torch.device, batch: int, notes: list[str]) -> Generator[Step, None, Restoration]:
        fewer = max(settings.vi_samples_per_step * batch // _BATCH, 1)
        return _run(
            image, corruption, prior, method, int(samples), int(seed), spacing, noise_sigma,
            settings.but(vi_samples_per_step=fewer), alignment, chosen, notes, batch,
        )  # fmt: skip

    return (yield from within_memory(run, pick_device(device), _BATCH, cpu=device == "auto"))


def _run(
    image: npt.ArrayLike, corruption: Corruption, prior: Prior, method: str, samples: int, seed: int,
    spacing: tuple[float, float] | None, noise_sigma: float | None, settings: InferenceSettings,
    alignment: Alignment | None, device: torch.device, notes: list[str], batch: int,
) -> Generator[Step, None, Restoration]:  # fmt: skip
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    prior = _sized(prior, image, corruption).to(device)
    problem = observe(
        image,
        corruption,
        prior,
        spacing=spacing,
        noise_sigma=noise_sigma,
        pose=settings.fit_pose,
        alignment=alignment,
        field=settings.residual_field,
    )
    likelihood = problem.likelihood
    if settings.lambda_perceptual:
        likelihood = replace(likelihood, features=pick_features(prior, settings.features, settings.feature_size))
    posterior = Posterior(prior, likelihood, settings)
    flat = settings.prior_density == "flat"
    products = 0 if flat else laplace_batches(posterior, linearised=method != "laplace")
    before = settings.steps + settings.refine_steps + products  # steps before those of VI
    total = before + ((settings.vi_steps or settings.steps) if method == "vi" else 0) + math.ceil(samples / batch)
    trace: list[dict[str, Any]] = []

    spread: Spread
    best: torch.Tensor | None = None  # coordinates of the image to show; None: the mean of the draws is shown
    if flat:
        spread = yield from _reported(fit_ensemble(posterior, generator, total), problem, settings, trace)
    else:
        maximum = yield from _reported(maximise(posterior, total, generator), problem, settings, trace)
        best = maximum.v
        if settings.refine_steps:
            level = max(problem.noise["measured"], LEAST_NOISE)
            tuning = tune(posterior, best, level, settings.refine_steps, done=settings.steps, total=total)
            posterior = yield from _reported(tuning, problem, settings, trace)
            problem.notes.append(
                f"the generator was tuned to this slice in {settings.refine_steps} steps: what it adds is less bound "
                "to the anatomy that it was trained on"
            )
        laplace = yield from laplace_steps(
            posterior, best, generator, linearised=method != "laplace", done=before - products, total=total
        )
        spread = laplace
        if method == "vi":
            fit = fit_gaussian(posterior, laplace, generator, done=before, total=total)
            spread, best = (yield from _reported(fit, problem, settings, trace)), None

    with torch.no_grad():
        shown = posterior.images(spread.mean[None] if best is None else best)
    misfit = misfit_of(likelihood, shown, prior.resolution, problem.pixel)
    remark = unlike(misfit, prior.info.misfit_limit)
    with torch.no_grad():
        field = field_of(posterior, problem, shown)
        scale = residual_scale(posterior, problem, field, shown, torch.Generator().manual_seed(seed))
    sparing = batch < _BATCH
    draws = yield from drawn(posterior, problem, spread, field, samples, generator, total, batch, sparing=sparing)
    mean = draws.mean(axis=0, dtype=np.float64)
    if scale != 1:  # one grey channel
        draws = rescaled(draws, mean, np.full(mean.shape, scale), problem)
    spreading = calibrated(draws, mean, problem, prior, settings, method, unlike=bool(remark))
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
        trace=trace,
        widths=spreading.widths,
        provenance=record(
            prior, corruption.describe(), settings, method=method, seed=seed, samples=samples, device=device,
            noise=problem.noise | {"residual_scale": round(scale, 4)},
            window={"low": problem.window.low, "high": problem.window.high},
            frame=problem.frame.describe(), alignment=problem.alignment.as_dict() | {"fitted": problem.fitted},
            misfit={"value": round(misfit, 4) if math.isfinite(misfit) else None, "limit": prior.info.misfit_limit},
            calibration=spreading.record,
            notes=([remark] if remark else []) + notes + problem.notes, seconds=time.perf_counter() - began,
        ),
    )  # fmt: skip


def _sized(prior: Prior, image: npt.ArrayLike, corruption: Corruption) -> Prior:
    """Give the prior, or an untrained one that is as large as the restored slice: it has no frame of its own."""
    shape = np.shape(image)
    if not isinstance(prior, DeepImagePrior) or len(shape) not in (2, 3):
        return prior
    channels = 3 if len(shape) == 3 else prior.channels
    return DeepImagePrior.for_slice(corruption.image_shape((shape[0], shape[1])), channels, prior.seed)


def _reported(inference: Any, problem: Problem, settings: InferenceSettings, trace: list[dict[str, Any]]) -> Any:
    """Run an inference; note each step in ``trace`` and yield it, with a preview now and then."""
    while True:
        try:
            step, images = next(inference)
        except StopIteration as end:
            return end.value
        trace.append({"phase": step.phase, "iteration": step.iteration, "loss": step.loss, **step.terms})
        if (step.iteration - 1) % settings.preview_every == 0 or step.iteration == step.total:
            with torch.no_grad():
                preview = problem.keep_measured(problem.finish(images, settings.data_consistency)[0])
            step = Step(step.phase, step.iteration, step.total, step.loss, step.terms, preview.astype(np.float32))
        yield step
