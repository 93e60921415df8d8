"""LinearMethod: the exact posterior mean under a Gaussian fitted to the training slices of the same set."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_brgm.evaluation.kept import KeptCells
from napari_brgm.evaluation.linear_rival import (
    LADDER,
    LinearRestorer,
    fit_components,
    tuned_choices,
)
from napari_brgm.evaluation.method import MethodFamily, Restored
from napari_brgm.evaluation.tasks import grid_tasks
from napari_brgm.priors.linear_gaussian import LinearGaussian

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.datasets import SliceSet
    from napari_brgm.evaluation.held_out import HeldOutSet
    from napari_brgm.evaluation.linear_rival import Choices
    from napari_brgm.evaluation.tasks import Task

    Image = npt.NDArray[np.floating]

__all__ = ["Learned", "LinearMethod", "MeanImage"]


class Learned:
    """Mean and principal components of a set's training slices, fitted once and kept in a folder.

    Parameters
    ----------
    held : HeldOutSet
    data, folder : Path
    """

    def __init__(self, held: HeldOutSet, data: Path, folder: Path) -> None:
        self.held, self.data, self.cells = held, data, KeptCells(folder)

    @cached_property
    def training(self) -> SliceSet:
        return self.held.read(self.data, "training")

    def model(self, components: int = LADDER[-1]) -> LinearGaussian:
        """Probabilistic PCA with so many components, or as many as the images give."""
        name, of = f"{self.held.name}-{components}", {"set": self.held.name, "components": components}
        kept = self.cells.load(name, of)
        if kept is None:
            fitted = fit_components(self.training, min(components, len(self.training) - 1))
            self.__dict__.pop("training", None)
            arrays = {"mean": fitted.mean.numpy(), "basis": fitted.basis.numpy()}
            self.cells.save(name, of, arrays, {"noise_variance": float(fitted.noise_variance)})
            return fitted
        mean, basis = (torch.from_numpy(kept.arrays[key]) for key in ("mean", "basis"))
        return LinearGaussian(mean, basis, kept.record["noise_variance"])

    def choices(self) -> Choices:
        """Components and noise by task: published ones, and for the other tasks tuned ones."""
        tasks = grid_tasks(self.held.framing.resolution)
        published = self.held.linear or {}
        left = [task for task in tasks if task.name not in published]
        if not left:
            return published
        name, of = f"{self.held.name}-choices", {"set": self.held.name, "tasks": [task.name for task in left]}
        kept = self.cells.load(name, of)
        if kept is None:
            found = tuned_choices(self.training, left, lambda _text: None)
            self.__dict__.pop("training", None)
            self.cells.save(name, of, {}, {"choices": {task: list(choice) for task, choice in found.items()}})
        else:
            found = {task: (int(k), float(noise)) for task, (k, noise) in kept.record["choices"].items()}
        return {**published, **found}


class LinearMethod:
    """Posterior mean in principal components with white noise for what they leave.

    Parameters
    ----------
    held : HeldOutSet
    data, folder : Path
        Of the archives, and of what is learned.
    components : int or None
        So many, with the noise that they leave (Tipping and Bishop, Eq. 8); None: components and noise by task, as
        published (docs/results.md) or tuned on training subjects that the first fit has not seen, and low
        resolution back-projected on the data.
    """

    family: MethodFamily = "linear"

    def __init__(self, held: HeldOutSet, data: Path, folder: Path, components: int | None = None) -> None:
        self._learned, self._components = Learned(held, data, folder), components
        self.name = "linear" if components is None else f"linear-{components}"
        self.title = "linear-Gaussian, " + ("tuned" if components is None else f"{components} components")
        self._ready: tuple[str, LinearRestorer] | None = None

    def fingerprint(self) -> dict[str, Any]:
        choices = None if self._components else {task: list(choice) for task, choice in self._learned.choices().items()}
        return {"components": self._components, "choices": choices}

    def solves(self, task: Task) -> bool:
        kinds = ("hole", "low-res", "jpeg") if self._components is None else ("hole", "low-res")
        return task.kind in kinds and task.size == self._learned.held.framing.resolution

    def prepare(self) -> None:
        _ = self._model

    @cached_property
    def _model(self) -> LinearGaussian:
        return self._learned.model(self._components or LADDER[-1])

    @cached_property
    def _choices(self) -> Choices:
        return self._learned.choices()

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        if self._ready is None or self._ready[0] != task.name:  # the same for all slices of a task
            model = self._model
            own = (model.rank, 127.5**2 * float(model.noise_variance))
            choice = own if self._components else self._choices[task.name]
            self._ready = task.name, LinearRestorer(model, task, *choice, hard=self._components is None)
        restorer = self._ready[1]
        return Restored(restorer.restore(observed[None])[0], restorer.std)


class MeanImage:
    """The mean training image in every hole: what a method must beat to know anything of the slice."""

    family: MethodFamily = "linear"
    name, title = "mean-image", "mean training image"

    def __init__(self, held: HeldOutSet, data: Path, folder: Path) -> None:
        self._learned = Learned(held, data, folder)

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def solves(self, task: Task) -> bool:
        return task.kind == "hole" and task.size == self._learned.held.framing.resolution

    def prepare(self) -> None:
        _ = self._image

    @cached_property
    def _image(self) -> npt.NDArray[np.float32]:
        return np.asarray(127.5 * (self._learned.model().mean[0] + 1), np.float32)

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        return Restored(self._image)
