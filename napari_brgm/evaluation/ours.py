"""Our restoration as a method of the table: a job of its slices."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_brgm.engine.job import Job, ObservedSlice
from napari_brgm.engine.run import run
from napari_brgm.errors import InputError
from napari_brgm.evaluation.method import Progressed
from napari_brgm.zoo.registry import load_prior

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.evaluation.tasks import Task
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

    Images = npt.NDArray[np.floating]

__all__ = ["OURS", "Ours", "as_prior", "label_of"]

# name: title, method of inference, preset; None: the one that is asked for
OURS: dict[str, tuple[str, Literal["map", "vi"], str | None]] = {
    "map": ("ours, MAP", "map", None),
    "vi": ("ours, VI mean", "vi", None),
    "paper": ("BRGM Eq. 6 with the paper's weights, MAP", "map", "paper"),
    "reference": ("BRGM as released, MAP", "map", "reference"),
}


def as_prior(prior: str | Path | Prior) -> Prior:
    """Load a prior by name or path; one that is loaded stays as it is."""
    return load_prior(prior) if isinstance(prior, str | Path) else prior


def label_of(given: str | Path | Prior) -> str:
    """Name for files of what is measured of a prior, given by name, path or itself."""
    name = Path(given).name.removesuffix(".safetensors") if isinstance(given, str | Path) else given.info.name
    return re.sub(r"[^\w.-]+", "-", name)


@dataclass(frozen=True, slots=True, eq=False)
class Ours:
    """MAP's estimate or VI's mean; the arguments are those of ``napari_brgm.restore``."""

    name: str
    title: str
    method: Literal["map", "vi"]
    prior: Prior
    settings: InferenceSettings
    samples: int = 32
    seed: int = 0
    device: str = "auto"

    def fingerprint(self) -> dict[str, Any]:
        """Name the prior and the settings."""
        return {
            "prior": self.prior.info.name,
            "weights_sha256": self.prior.info.weights_sha256,
            "settings": self.settings.as_dict(),
            "samples": self.samples,
            "seed": self.seed,
        }

    def solves(self, task: Task) -> bool:
        return True

    def measure(
        self, observed: Images, task: Task, done: Progressed | None, keep: Callable[[Progressed], None]
    ) -> Progressed:
        """One job of all slices that are left; ``keep`` gets each when it is there."""
        corruption = task.corruption
        first = 0 if done is None else len(done.estimates)
        slices = tuple(ObservedSlice(image, lambda: corruption) for image in observed[first:])
        job = Job(slices, self.prior, self.settings, self.method, self.samples, self.seed, self.device)
        began = time.perf_counter()

        def kept(index: int, result: Restoration) -> Restoration:
            nonlocal done, began
            if first + index != (0 if done is None else len(done.estimates)):
                raise InputError(f"a slice before number {first + index} cannot be restored: {task.title}")
            now = time.perf_counter()
            image = result.estimate if self.method == "map" else result.mean
            std = result.std[None] if result.has_spread else None
            done, began = _joined(done, image[None], std, now - began), now
            keep(done)
            return result.without_samples()

        run(job, keep=kept)
        assert done is not None  # else it has raised
        return done


def _joined(done: Progressed | None, estimate: Images, std: Images | None, seconds: float) -> Progressed:
    if done is None:
        return Progressed(estimate, std, seconds)
    stds = None if std is None or done.stds is None else np.concatenate([done.stds, std])
    return Progressed(np.concatenate([done.estimates, estimate]), stds, done.seconds + seconds)
