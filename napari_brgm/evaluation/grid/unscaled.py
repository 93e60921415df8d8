"""Unscaled: our posterior as it comes, before factors of calibration; what factors are fitted to, and tried on.

Its cells keep the draws of hidden pixels beside the row (calibration_cells.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.evaluation.calibration_cells import fingerprint_of, released, restored
from napari_brgm.evaluation.given_prior import as_prior
from napari_brgm.evaluation.method import Restored
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.evaluation.method import MethodFamily
    from napari_brgm.evaluation.tasks import Task
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings
    from napari_brgm.settings import Method as InferenceMethod

    Image = npt.NDArray[np.floating]

__all__ = ["Unscaled"]


@dataclass(eq=False)
class Unscaled:
    """A prior's draws of which statistics are made: not finished, not calibrated; the estimate is their mean.

    Attributes
    ----------
    name, title : str
        As of ``RestoringMethod``.
    given : str, Path or Prior
        Loaded when it is first needed.
    inference : {'map', 'laplace', 'vi'} or None
        None: VI with the entropy of the BRGM authors' released code, whose spread never saw the data.
    settings : InferenceSettings or None
        None: those that suit the prior.
    samples : int
    device : str
    """

    name: str
    title: str
    given: str | Path | Prior
    inference: InferenceMethod | None = "map"
    settings: InferenceSettings | None = None
    samples: int = 32
    device: str = "auto"

    @property
    def family(self) -> MethodFamily:
        return "ours" if self.inference else "generative"

    @cached_property
    def prior(self) -> Prior:
        return as_prior(self.given)

    @property
    def used(self) -> InferenceSettings:
        """Settings of every restoration."""
        if self.inference is None:
            return preset("reference")
        return self.settings or preset(self.prior.info.preset)

    def fingerprint(self) -> dict[str, Any]:
        return fingerprint_of(self.prior, self.inference or "released", self.used, self.samples)

    def solves(self, task: Task) -> bool:
        return task.kind in ("hole", "low-res") and task.size == self.prior.resolution and self.prior.channels == 1

    def prepare(self) -> None:
        _ = self.prior

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        given = np.asarray(observed, np.float32)
        if self.inference is None:
            drawn = released(given, task, self.prior, self.samples, seed)
        else:
            drawn = restored(given, task, self.prior, self.inference, self.used, self.samples, seed, self.device)
        return Restored(
            _whole(drawn.mean, given, task), _whole(drawn.draws.std(axis=0, dtype=np.float64), None, task),
            arrays=drawn.arrays(), record=drawn.record(),
        )  # fmt: skip


def _whole(hidden: Image, measured: Image | None, task: Task) -> npt.NDArray[np.float32]:
    """An image (R, R) of hidden pixels (n,); beside them what was measured, or 0."""
    found = np.zeros((task.size, task.size), np.float32)
    if measured is not None and task.kind == "hole":
        found[:] = measured
    found[task.region] = hidden
    return found
