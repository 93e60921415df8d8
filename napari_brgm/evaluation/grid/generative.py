"""GenerativeMethod: what ``restore`` makes of a slice, with this prior and these settings; ours, and others' ways."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.engine.restore import restore
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

__all__ = ["GenerativeMethod"]


@dataclass(eq=False)
class GenerativeMethod:
    """A prior under one way of inference; the estimate is MAP's image, or the mean of VI.

    Attributes
    ----------
    name, title, family
        As of ``RestoringMethod``.
    given : str, Path or Prior
        Loaded when it is first needed.
    inference : {'map', 'laplace', 'vi'}
    settings : InferenceSettings or None
        None: those that suit the prior.
    preset_name : str or None
        In their place, a preset.
    changes : dict
        Of single settings.
    samples : int
        Behind mean and standard deviation.
    device : str
    others : tuple of str
        Further images that get rows of their own: 'mean', 'sample'.
    """

    name: str
    title: str
    family: MethodFamily
    given: str | Path | Prior
    inference: InferenceMethod = "map"
    settings: InferenceSettings | None = None
    preset_name: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    samples: int = 32
    device: str = "auto"
    others: tuple[str, ...] = ()

    @cached_property
    def prior(self) -> Prior:
        return as_prior(self.given)

    @property
    def used(self) -> InferenceSettings:
        """Settings of every restoration."""
        found = preset(self.preset_name) if self.preset_name else self.settings or preset(self.prior.info.preset)
        return found.but(**self.changes)

    def fingerprint(self) -> dict[str, Any]:
        info = self.prior.info
        return {
            "prior": info.name, "weights_sha256": info.weights_sha256, "inference": self.inference,
            "settings": self.used.as_dict(), "samples": self.samples,
        }  # fmt: skip

    def solves(self, task: Task) -> bool:
        return task.kind != "whole" and task.size == self.prior.resolution

    def prepare(self) -> None:
        _ = self.prior

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        grey = self.prior.channels == 1
        image = observed if grey else np.repeat(observed[..., None], 3, axis=2)
        result = restore(
            image, task.corruption, self.prior, method=self.inference, samples=self.samples, seed=seed,
            device=self.device, settings=self.used,
        )  # fmt: skip
        spread = result.has_spread and grey
        images = {"mean": result.mean, "sample": result.samples[0]} if result.has_spread else {}
        return Restored(
            _grey(result.mean if self.inference == "vi" else result.estimate),
            result.std if spread else None, result.widths if spread else None, _grey(result.mean),
            {word: _grey(images[word]) for word in self.others if word in images},
        )  # fmt: skip


def _grey(image: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(H, W) of (H, W) or (H, W, 3)."""
    return np.asarray(image if image.ndim == 2 else image.mean(axis=2), dtype=np.float32)
