"""Our restoration as a method of the table: slice by slice through the public ``restore``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_brgm.corruptions import Downsample, Mask
from napari_brgm.engine.restore import restore
from napari_brgm.evaluation.method import Progressed
from napari_brgm.zoo.registry import load_prior

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_brgm.evaluation.tasks import Task
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

    Images = npt.NDArray[np.floating]

__all__ = ["OURS", "Ours", "as_prior"]

OURS = {"map": "ours, MAP", "vi": "ours, VI mean"}


def as_prior(prior: str | Path | Prior) -> Prior:
    """Load a prior by name or path; one that is loaded stays as it is."""
    return load_prior(prior) if isinstance(prior, str | Path) else prior


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

    def steps(self, observed: Images, task: Task, done: Progressed | None) -> Iterator[Progressed]:
        """Restore one slice a step."""
        corruption = Downsample(task.factor) if task.missing is None else Mask(task.missing)
        for image in observed[len(done.estimates) if done else 0 :]:
            start = time.perf_counter()
            result = restore(
                image, corruption, self.prior, method=self.method, samples=self.samples, seed=self.seed,
                device=self.device, spacing=None, settings=self.settings,
            )  # fmt: skip
            seconds = time.perf_counter() - start
            estimate, std = (result.estimate if self.method == "map" else result.mean)[None], result.std[None]
            if done is None:
                done = Progressed(estimate, std, seconds)
            else:
                assert done.stds is not None  # ours always has them
                estimates, stds = np.concatenate([done.estimates, estimate]), np.concatenate([done.stds, std])
                done = Progressed(estimates, stds, done.seconds + seconds)
            yield done
