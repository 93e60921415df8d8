"""What is kept of one restored validation slice, so that its intervals can be tried with any factors later.

Draws of hidden pixels are kept as deviations from their mean in half precision: a thousandth of themselves is lost.
Held-out sets have them in cells of the grid (grid/unscaled.py); subjects beside a new prior's training in a ``Store``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.engine.calibrate import calibrated
from napari_brgm.engine.draws import Draws
from napari_brgm.engine.observed import observe
from napari_brgm.engine.restore import restore
from napari_brgm.evaluation.kept import KeptCells
from napari_brgm.evaluation.released_entropy import draws_with_released_entropy
from napari_brgm.evaluation.seam import SeamSums, seam_sums

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.engine.observed import Problem
    from napari_brgm.evaluation.tasks import Task
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

    Floats = npt.NDArray[np.floating[Any]]

__all__ = ["KeptDraws", "Store", "fingerprint_of", "problem_of", "released", "restored", "spread_by", "worst_misfit"]


@dataclass(frozen=True, slots=True, eq=False)
class KeptDraws:
    """Posterior of one slice of one task, hidden pixels only (super-resolution: all), in grey levels.

    Attributes
    ----------
    mean : (n,) float32 ndarray
    draws : (S, n) float32 ndarray
    noise : float
        Standard deviation of the noise that the slice was taken to have.
    misfit : float
        Greatest rms of f(x) - y over the draws as they came.
    seams : (2,) tuple of SeamSums
        Of the estimate, and of all draws together.
    """

    mean: npt.NDArray[np.float32]
    draws: npt.NDArray[np.float32]
    noise: float
    misfit: float
    seams: tuple[SeamSums, SeamSums]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What a cell keeps of it, with ``record()``."""
        return {"mean": self.mean, "apart": (self.draws - self.mean).astype(np.float16)}

    def record(self) -> dict[str, Any]:
        estimate, draws = (list(one.as_tuple()) for one in self.seams)
        return {"noise": self.noise, "misfit": self.misfit, "seam_estimate": estimate, "seam_draws": draws}

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]], record: Mapping[str, Any]) -> KeptDraws:
        """What a cell kept."""
        mean = arrays["mean"]
        seams = SeamSums(*record["seam_estimate"]), SeamSums(*record["seam_draws"])
        return cls(mean, mean + arrays["apart"].astype(np.float32), record["noise"], record["misfit"], seams)


def problem_of(truth: npt.NDArray[np.float32], task: Task, prior: Prior) -> Problem:
    """State the problem of a task on a slice (R, R) of the prior's own grid."""
    return observe(task.observe(truth[None])[0], task.corruption, prior, pose=False)


def restored(
    observed: npt.NDArray[np.float32], task: Task, prior: Prior, method: str, settings: InferenceSettings,
    samples: int, seed: int, device: str,
) -> KeptDraws:  # fmt: skip
    """Restore an observation (h, w) without calibration; its draws are those of which statistics are made."""
    result = restore(
        observed, task.corruption, prior, method=method, samples=samples, seed=seed, device=device,
        settings=settings.but(calibrate=False, finish=False),
    )  # fmt: skip
    draws = result.samples.astype(np.float64)
    none = SeamSums()
    seams = (none, none) if task.missing is None else (
        seam_sums(result.estimate.astype(np.float64)[None], task.missing), seam_sums(draws, task.missing)
    )  # fmt: skip
    return KeptDraws(
        result.mean[task.region].astype(np.float32),
        result.samples[:, task.region],
        float(result.provenance["noise"]["measured"]),
        worst_misfit(draws, observed, task),
        seams,
    )


def released(
    observed: npt.NDArray[np.float32], task: Task, prior: Prior, samples: int, seed: int
) -> KeptDraws:  # fmt: skip
    """Draw with the released code's entropy; its mean is that of the draws."""
    draws = draws_with_released_entropy(observed, task.corruption, prior, samples, seed)[:, task.region]
    mean = draws.mean(axis=0).astype(np.float32)
    return KeptDraws(mean, draws.astype(np.float32), 0.0, 0.0, (SeamSums(), SeamSums()))


def worst_misfit(draws: Floats, observed: Floats, task: Task) -> float:
    """Greatest rms of f(x) - y over images (S, R, R), grey levels per observed pixel."""
    if task.missing is not None:
        apart = (draws - observed)[:, ~task.missing]
    else:
        size, factor = observed.shape[-1], task.factor
        blocks = np.asarray(draws, np.float64).reshape(len(draws), size, factor, size, factor)
        apart = (blocks.mean(axis=(2, 4)) - observed).reshape(len(draws), -1)
    return float(np.sqrt(np.square(apart).mean(axis=1)).max())


def spread_by(
    drawn: KeptDraws, truth: npt.NDArray[np.float32], task: Task, prior: Prior, settings: InferenceSettings, method: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32] | None]:
    """Draws (S, n) and widths (4, n) of the hidden pixels after the prior's calibration, as ``restore`` would.

    ``prior.info.calibration`` holds the factors.
    """
    problem = problem_of(truth, task, prior)
    draws = Draws(problem, drawn.draws.copy())
    draws.mean = drawn.mean.astype(np.float64)
    done = calibrated(draws, problem, prior, settings.but(calibrate=True), method)
    widths = None if done.widths is None else done.widths[:, task.region]
    return draws.values.astype(np.float64), widths


def fingerprint_of(prior: Prior, method: str, settings: InferenceSettings, samples: int) -> dict[str, Any]:
    """What kept draws depend on beside the slice and the seed. Calibration and finish come after them."""
    what = settings.as_dict()
    for shown in ("calibrate", "finish"):
        what.pop(shown)
    return {"weights_sha256": prior.info.weights_sha256, "method": method, "settings": what, "samples": samples}


class Store:
    """Slices in a folder; what was made with another ``fingerprint`` is made again.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """

    def __init__(self, folder: Path, fingerprint: dict[str, Any]) -> None:
        self._cells, self._fingerprint = KeptCells(folder), fingerprint

    def load(self, task: str, name: str) -> KeptDraws | None:
        """Give a finished slice, or None."""
        kept = self._cells.load(f"{task}--{name.replace('/', '-')}", self._fingerprint)
        if kept is None:
            return None
        return KeptDraws.of(kept.arrays, kept.record)

    def save(self, task: str, name: str, drawn: KeptDraws) -> None:
        """Keep a finished slice."""
        self._cells.save(f"{task}--{name.replace('/', '-')}", self._fingerprint, drawn.arrays(), drawn.record())
