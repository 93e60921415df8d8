"""Assembled: what was found of a slice, its spread scaled and calibrated, as the one result with its record."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.engine.beside_second import record_of
from napari_brgm.engine.calibrate import Calibrated, calibrated, scale_tissue
from napari_brgm.engine.misfit import unlike
from napari_brgm.engine.provenance import record
from napari_brgm.engine.restoration import Restoration

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from napari_brgm.engine.draws import Draws
    from napari_brgm.engine.job import Job
    from napari_brgm.engine.observed import Problem
    from napari_brgm.engine.stack_place import StackPlace
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["assembled"]


def assembled(
    problem: Problem, prior: Prior, settings: InferenceSettings, job: Job, *, draws: Draws | None,
    estimate: npt.NDArray[Any] | None, latents: torch.Tensor, scale: float,
    misfit: float, device: torch.device, notes: list[str], trace: list[dict[str, Any]], began: float,
    texture: dict[str, str], together: StackPlace | None = None,
) -> Restoration:  # fmt: skip
    """Assemble a restoration.

    Parameters
    ----------
    problem : Problem
    prior, settings, job
        As they were used.
    draws : Draws or None
        Their spread is scaled here; None: no uncertainty was asked for.
    estimate : (H, W[, 3]) ndarray or None
        None: the mean of the draws.
    latents : (num_ws, D) Tensor
        Of the estimate.
    scale : float
        Of the spread in tissue (representation.py).
    misfit : float
        See misfit.py; nan: not known.
    device : torch.device
    notes : list of str
        Sentences for the person, besides those of the problem.
    trace : list of dict
    began : float
        When the slice was begun, ``time.perf_counter``.
    texture : dict
        'finished': what that means; or 'unfinished': why samples are not; empty without samples.
    together : StackPlace or None
        What it was restored together with; None: by itself.
    """
    remark = unlike(misfit, prior.info.misfit_limit)
    if draws is None:
        assert estimate is not None
        mean, samples = estimate, np.empty((0, *estimate.shape), np.float32)
        variance = np.zeros(estimate.shape, np.float32)
        variance[problem.free] = np.nan
        spreading = Calibrated(None, {"applied": False, "label": "no uncertainty: no samples were drawn"})
    else:
        scale_tissue(draws, scale)
        spreading = calibrated(draws, problem, prior, settings, job.method, unlike=bool(remark), together=together)
        draws.match_finished()
        draws.add_detail()
        mean = problem.whole(draws.mean)
        variance = draws.image(draws.variance.astype(np.float32))
        samples = draws.samples()
        variance[problem.unseen] = (problem.window.high - problem.window.low) ** 2 / 12  # nothing is known there
    alignment, noise = problem.placed.alignment, problem.placed.noise
    return Restoration(
        estimate=mean if estimate is None else estimate,
        mean=mean,
        variance=variance,
        samples=samples,
        latents=latents.cpu().numpy(),
        measured=problem.measured,
        trace=trace,
        widths=spreading.widths,
        provenance=record(
            prior, problem.corruption.describe(), settings, method=job.method, seed=int(job.seed),
            samples=0 if draws is None else len(draws.values), device=device,
            noise={
                "measured": noise.measured, "representation": noise.representation, "pixel": noise.pixel,
                "residual_scale": round(scale, 4),
            },
            window={"low": problem.window.low, "high": problem.window.high},
            frame=problem.placed.frame.describe(),
            alignment=alignment.as_dict() | {"fitted": problem.placed.fitted},
            misfit={"value": round(misfit, 4) if math.isfinite(misfit) else None, "limit": prior.info.misfit_limit},
            calibration=spreading.record,
            notes=([remark] if remark else []) + notes + problem.notes,
            seconds=time.perf_counter() - began,
        )
        | ({} if together is None else {"stack": together.record})
        | ({} if problem.sigma is None else {"second": record_of(problem.placed)})
        | texture,
    )  # fmt: skip
