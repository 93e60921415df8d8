"""The rival of every prior: the exact linear-Gaussian posterior mean, of the same training set in the same frame.

In-painting: the plain posterior mean. Super-resolution: back-projected on the data, which is the stronger one. The
number of components and the noise variance (large, since the residual is correlated) are the protocol's where it has
them; else both are tuned on training subjects that a first fit has not seen.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import torch

from napari_brgm.errors import InputError
from napari_brgm.evaluation.back_projection import back_projected
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images
from napari_brgm.priors.linear_gaussian import LinearGaussian

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from napari_brgm.datasets import SliceSet
    from napari_brgm.evaluation.tasks import Task

    Images = npt.NDArray[np.float32]

__all__ = ["LADDER", "Choices", "LinearRestorer", "best_choices", "fit_components", "tuned_choices"]

Choices = dict[str, tuple[int, float]]  # task: components, noise variance in grey levels squared

LADDER = (64, 128, 256, 512, 1024)  # components to choose from
NOISES = tuple(4.0**k for k in range(10))  # grey levels squared, 1 .. 262,144; then twice and half the best
_FOLDS = 5  # every fifth training subject is held out for the tuning
_TUNING_IMAGES = 24
_HOLE = 0.75  # share of an image that is missing, at most
_CHUNK = 4096  # pixels at a time: a whole set in float32 need not fit memory


def fit_components(slices: SliceSet, components: int, pick: npt.NDArray[np.bool_] | None = None) -> LinearGaussian:
    """Probabilistic PCA of the images (those where ``pick`` is true), as ``LinearGaussian.fit`` but in little memory.

    The same eigenvectors of the (N, N) Gram matrix, of which only the leading ones are computed.

    Raises
    ------
    InputError
        There are not more images than components.
    """
    chosen = slices.images[:, 0] if pick is None else slices.images[pick, 0]  # (N, R, R)
    n, size = len(chosen), chosen.shape[-1]
    if not 0 < components < n:
        raise InputError(f"{n} images cannot give {components} components; ask for fewer than there are images")
    flat = chosen.reshape(n, -1)
    parts = [slice(i, i + _CHUNK) for i in range(0, size * size, _CHUNK)]
    mean = torch.empty(size * size)
    gram = torch.zeros(n, n)

    def pixels(part: slice) -> torch.Tensor:  # (N, pixels) in [-1, 1]
        return torch.from_numpy(flat[:, part].astype(np.float32)) * (2 / slices.white) - 1

    for part in parts:
        x = pixels(part)
        mean[part] = x.mean(dim=0)
        x -= mean[part]
        gram.addmm_(x, x.T)
    total = float(gram.diagonal().double().sum())
    values, vectors = scipy.linalg.eigh(gram.numpy().astype(np.float64), subset_by_index=(n - components, n - 1))
    order = torch.from_numpy(np.ascontiguousarray(vectors[:, ::-1].T, dtype=np.float32))  # (K, N)
    basis = torch.empty(components, size * size)
    for part in parts:
        basis[:, part] = order @ (pixels(part) - mean[part]) / n**0.5
    noise = (total - float(values.sum())) / n / max(size * size - components, 1)  # Tipping and Bishop, Eq. 8
    return LinearGaussian(mean.reshape(1, size, size), basis.reshape(components, 1, size, size), max(noise, 1e-9))


class LinearRestorer:
    """Posterior means of one task; the precision does not depend on the observation, and is factored once.

    Parameters
    ----------
    model : LinearGaussian
    task : Task
    components : int
        The leading ones are used.
    noise : float
        Variance, grey levels squared: of what is measured, and of what the components leave of it.
    hard : bool
        Back-project low resolution on the data.
    """

    def __init__(self, model: LinearGaussian, task: Task, components: int, noise: float, *, hard: bool = True) -> None:
        self.task, self.hard = task, hard and task.kind == "low-res"
        self._basis, self._mean = model.basis[:components], model.mean
        self._seen, self._variance = task.apply(self._basis).flatten(1), noise / 127.5**2  # (K, M)
        precision = (self._seen @ self._seen.T).double() / self._variance
        precision.diagonal().add_(1.0)
        self._factor = torch.linalg.cholesky(precision)
        self._left = float(model.noise_variance)

    @cached_property
    def std(self) -> Images:
        """Posterior standard deviation (R, R), grey levels, of every slice alike: before back-projection.

        Of the components under the posterior, and of what the model's components leave of a training slice.
        """
        flat = self._basis.flatten(1).double()  # (K, pixels)
        roots = torch.linalg.solve_triangular(self._factor, flat, upper=False)
        variance = roots.square().sum(dim=0) + self._left
        found: Images = (127.5 * variance.sqrt()).reshape(self._mean.shape[-2:]).float().numpy()
        return found

    def restore(self, observed: npt.NDArray[np.floating]) -> Images:
        """Means (N, R, R) of observations (N, h, w), grey levels, not clipped."""
        y = _to_range(observed, self.task)
        right = self._seen @ (y - self.task.apply(self._mean[None])).flatten(1).T / self._variance  # (K, N)
        latents = torch.cholesky_solve(right.double(), self._factor).T.float()  # (N, K)
        x = self._mean[0] + torch.tensordot(latents, self._basis[:, 0], dims=1)
        images: Images = (127.5 * (x + 1)).numpy()
        return back_projected(images, observed, self.task) if self.hard else images


def _to_range(observed: npt.NDArray[np.floating], task: Task) -> torch.Tensor:
    """(N, 1, h, w) in [-1, 1]; zero in the hole, as A gives it there."""
    y = torch.from_numpy(np.asarray(observed, np.float32))[:, None] / 127.5 - 1
    return y if task.missing is None else task.apply(y)


def tuned_choices(slices: SliceSet, tasks: Sequence[Task], report: Callable[[str], None]) -> Choices:
    """Fit to four fifths of the training subjects and tune on the others."""
    subjects = np.unique(slices.subjects)
    if len(subjects) < 2:
        raise InputError("the training set holds one subject only; the linear rival needs two or more to be tuned")
    others = np.isin(slices.subjects, subjects[_FOLDS - 1 :: _FOLDS] if len(subjects) >= _FOLDS else subjects[-1:])
    most = min(LADDER[-1], int((~others).sum()) * 2 // 3)
    report("linear-Gaussian rival: first fit, for the tuning")
    model = fit_components(slices, most, ~others)
    left = np.flatnonzero(others)
    picked = left[evenly_spaced(len(left), min(_TUNING_IMAGES, len(left)))]
    report("linear-Gaussian rival: tuning")
    return best_choices(model, grey_images(slices, picked.tolist()), tasks)


def best_choices(model: LinearGaussian, truth: Images, tasks: Sequence[Task]) -> Choices:
    """Choose components and noise by the least RMSE on ``truth`` (N, R, R): one pair for holes, one for other tasks.

    Scattered pixels are no hole: a task with more than three quarters missing has a pair of its own.
    """
    holes = [task for task in tasks if task.missing is not None and task.region.mean() <= _HOLE]
    groups = [[task] for task in tasks if task not in holes] + ([holes] if holes else [])
    found = [(group, _best(model, truth, group)) for group in groups]
    return {task.name: choice for group, choice in found for task in group}


def _best(model: LinearGaussian, truth: Images, tasks: Sequence[Task]) -> tuple[int, float]:
    """Components and noise of the least mean RMSE over tasks."""
    ladder = sorted({min(k, model.rank) for k in LADDER})
    systems = [_System(model, truth, task) for task in tasks]

    def error(components: int, noise: float) -> float:
        return float(np.mean([system.error(components, noise) for system in systems]))

    _, components, noise = min((error(k, noise), k, noise) for k in ladder for noise in NOISES)
    _, noise = min((error(components, near), near) for near in (noise / 2, noise, noise * 2))
    return components, noise


class _System:
    """One task's normal equations; the products with the basis are made once for all components and noises."""

    def __init__(self, model: LinearGaussian, truth: Images, task: Task) -> None:
        self.task, self.truth, self.observed = task, truth, task.observe(truth)
        y, b = _to_range(self.observed, task), task.apply(model.basis).flatten(1)  # (K, M)
        self.gram = (b @ b.T).double()  # (K, K)
        self.right = (b @ (y - task.apply(model.mean[None])).flatten(1).T).double()  # (K, N)
        inside = torch.from_numpy(task.region).flatten()
        self.basis, self.mean = model.basis.flatten(1)[:, inside], model.mean.flatten()[inside]
        self.goal = torch.from_numpy(truth).flatten(1)[:, inside]  # (N, pixels of the region)

    def error(self, components: int, noise: float) -> float:
        """RMSE inside the task's region with the leading components and a noise variance in grey levels squared."""
        precision = self.gram[:components, :components] / (noise / 127.5**2)
        precision.diagonal().add_(1.0)
        right = self.right[:components] / (noise / 127.5**2)
        latents = torch.cholesky_solve(right, torch.linalg.cholesky(precision)).T.float()  # (N, K)
        x = 127.5 * (self.mean + latents @ self.basis[:components] + 1)  # (N, pixels of the region)
        if self.task.kind == "low-res":
            fine = back_projected(x.reshape(self.truth.shape).numpy(), self.observed, self.task)
            x = torch.from_numpy(fine).flatten(1)
        return float((x.clamp(0, 255) - self.goal).square().mean().sqrt())
