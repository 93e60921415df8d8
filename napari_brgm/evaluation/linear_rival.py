"""The rival of every prior: the exact linear-Gaussian posterior mean, of the same training set in the same frame.

In-painting: the plain posterior mean. Super-resolution: with hard data consistency (8 rounds of back-projection), which
is the stronger one. The number of components and the noise variance (large, since the residual is correlated) are the
protocol's where it has them; else both are tuned on training subjects that a first fit has not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg
import torch

from napari_brgm.errors import InputError
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images
from napari_brgm.evaluation.rivals import hard_consistency, linear_gaussian
from napari_brgm.priors.linear_gaussian import LinearGaussian

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from napari_brgm.datasets import SliceSet
    from napari_brgm.evaluation.tasks import Task

    Images = npt.NDArray[np.float32]

__all__ = ["Choices", "fit_components", "restore_linearly", "tune", "tuned_choices"]

Choices = dict[str, tuple[int, float]]  # task: components, noise variance in grey levels squared

LADDER = (64, 128, 256, 512, 1024)  # components to choose from
NOISES = tuple(2.0**k for k in range(0, 19))  # grey levels squared, 1 .. 262,144
_FOLDS = 5  # every fifth training subject is held out for the tuning
_TUNING_IMAGES = 48
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


def restore_linearly(observed: Images, task: Task, model: LinearGaussian, choice: tuple[int, float]) -> Images:
    """Finished posterior means (N, R, R) of observations (N, h, w), grey levels."""
    components, noise = choice
    part = LinearGaussian(model.mean, model.basis[:components], model.noise_variance)
    found = linear_gaussian(observed, task, part, noise)
    return task.finish(hard_consistency(found, observed, task) if task.missing is None else found, observed)


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
    return tune(model, grey_images(slices, picked.tolist()), tasks)


def tune(model: LinearGaussian, truth: Images, tasks: Sequence[Task]) -> Choices:
    """Choose components and noise by the least RMSE on ``truth`` (N, R, R): one pair for all holes, one each factor."""
    ladder = sorted({min(k, model.w_dim) for k in LADDER})
    holes = [task for task in tasks if task.missing is not None]
    choices: Choices = {}
    if holes:
        mean = np.mean([_errors(model, truth, task, ladder) for task in holes], axis=0)
        choices |= dict.fromkeys((task.name for task in holes), _best(mean, ladder))
    for task in tasks:
        if task.missing is None:
            choices[task.name] = _best(_errors(model, truth, task, ladder), ladder)
    return choices


def _best(errors: npt.NDArray[np.float64], ladder: Sequence[int]) -> tuple[int, float]:
    row, column = np.unravel_index(int(errors.argmin()), errors.shape)
    return ladder[int(row)], NOISES[int(column)]


def _errors(model: LinearGaussian, truth: Images, task: Task, ladder: Sequence[int]) -> npt.NDArray[np.float64]:
    """RMSE (components, noises) inside the task's region; the products with the basis are made once."""
    observed = task.observe(truth)
    y = torch.from_numpy(observed)[:, None] / 127.5 - 1
    b = task.apply(model.basis).flatten(1)  # (K, M)
    if task.missing is not None:
        y = task.apply(y)  # zero in the hole, as A gives it in the [-1, 1] range
    gram = (b @ b.T).double()
    right = (b @ (y - task.apply(model.mean[None])).flatten(1).T).double()  # (K, N)
    found = np.full((len(ladder), len(NOISES)), np.inf)
    inside = torch.from_numpy(task.region).flatten()
    basis, mean = model.basis.flatten(1)[:, inside], model.mean.flatten()[inside]
    goal = torch.from_numpy(truth).flatten(1)[:, inside]  # (N, pixels of the region)
    for row, components in enumerate(ladder):
        for column, noise in enumerate(NOISES):
            precision = gram[:components, :components] / (noise / 127.5**2)
            precision.diagonal().add_(1.0)
            solved = torch.cholesky_solve(right[:components] / (noise / 127.5**2), torch.linalg.cholesky(precision))
            x = 127.5 * (mean + solved.T.float() @ basis[:components] + 1)  # (N, pixels of the region)
            if task.missing is None:
                x = torch.from_numpy(hard_consistency(x.reshape(truth.shape).numpy(), observed, task)).flatten(1)
            found[row, column] = float((x.clamp(0, 255) - goal).square().mean().sqrt())
    return found
