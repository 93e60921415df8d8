"""Time to the reference loss: what 500 steps of Adam at a constant rate reach, and how soon the settings do.

    reference = min over rates of min_i loss_i(Adam, constant rate)      from the same start
    reached   = first time that loss <= reference + slack |reference|

The early stop is off: it asks what a step gains, not whether that loss is reached. Both by the clock of the process on
a CPU, so that other work on the machine does not count, by the wall clock on a GPU.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.observed import observe
from napari_brgm.inference import Progress, maximise
from napari_brgm.inference.adam import adam
from napari_brgm.posterior import Posterior

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["RATES", "SLACK", "Reached", "time_to_loss"]

RATES = (0.01, 0.02, 0.05, 0.1)
SLACK = 1e-3  # of the reference loss


@dataclass(frozen=True, slots=True)
class Reached:
    """One restoration.

    Attributes
    ----------
    task : str
    reference_loss, reference_rate, reference_seconds : float
        Of the best constant rate.
    loss, seconds : float
        Lowest loss of the settings, and the whole of their time.
    reached_seconds : float or None
        When they came within ``SLACK`` of the reference; None: never.
    steps : int
        That they took.
    """

    task: str
    reference_loss: float
    reference_rate: float
    reference_seconds: float
    loss: float
    seconds: float
    reached_seconds: float | None
    steps: int

    @property
    def share(self) -> float | None:
        """Of the reference's time, until its loss is reached."""
        return None if self.reached_seconds is None else self.reached_seconds / self.reference_seconds


def time_to_loss(
    prior: Prior, settings: InferenceSettings, image: npt.NDArray[np.float32], *, reference_steps: int = 500,
    rates: tuple[float, ...] = RATES, seed: int = 0,
) -> list[Reached]:  # fmt: skip
    """In-painting of a tall box and super-resolution x4 of an image (R, R) in grey levels on the prior's own grid."""
    size, settings = prior.resolution, settings.but(tolerance=None)
    missing = np.zeros((size, size), dtype=np.bool_)
    missing[size * 3 // 16 : size * 13 // 16, size // 2 : size * 23 // 32] = True
    low = image.reshape(size // 4, 4, size // 4, 4).mean(axis=(1, 3))
    jobs = {"in-painting": (image, Mask(missing)), "super-resolution x4": (low, Downsample(4))}
    found = []
    for task, (observed, corruption) in jobs.items():
        likelihood = observe(observed, corruption, prior, pose=False, field=settings.residual_field).likelihood
        posterior = Posterior(prior, likelihood, settings)
        start = posterior.start(generator=torch.Generator().manual_seed(seed))
        posterior.terms(start)  # factors and kernels that are made once
        device, runs = likelihood.y.device, []
        for rate in rates:
            trace = _Trace(device)
            for visit in islice(adam(posterior.terms, start, lambda _, rate=rate: rate), reference_steps):  # type: ignore[misc]
                trace.add(float(visit.loss))
            runs.append((min(trace.losses), rate, trace.times[-1]))
        best, own = min(runs), _Trace(device)
        maximise(posterior, torch.Generator().manual_seed(seed), Progress(lambda step, own=own: own.add(step.loss)))  # type: ignore[misc]
        target = best[0] + SLACK * abs(best[0])
        reached = next((at for loss, at in zip(own.losses, own.times, strict=True) if loss <= target), None)
        found.append(Reached(task, *best, min(own.losses), own.times[-1], reached, len(own.losses)))
    return found


class _Trace:
    """Losses, and the seconds until each was known; to read one waits for the GPU."""

    def __init__(self, device: torch.device) -> None:
        self.clock = time.perf_counter if device.type == "cuda" else time.process_time
        self.losses: list[float] = []
        self.times: list[float] = []
        self.began = self.clock()

    def add(self, loss: float) -> None:
        self.losses.append(loss)
        self.times.append(self.clock() - self.began)
