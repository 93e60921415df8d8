"""Cross-fitted latents: what the linear posterior says of slices it was not fitted to.

A linear-Gaussian model restores the subjects it was fitted to better than new ones. A network trained to refine its
estimates would learn from errors that are too small. So each fold of subjects is restored by a model fitted to the
other folds, under random corruptions and noise levels, and the estimate is written in the coordinates of the model that
ships.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.priors.linear_model import LinearModel

__all__ = ["CrossFit", "FoldModels", "crossfit", "fit_folds", "fold_residuals", "random_missing"]


@dataclass(frozen=True, slots=True)
class FoldModels:
    """A model for each fold of subjects, fitted to the other folds.

    Attributes
    ----------
    fold_of : (N,) int64 Tensor
        Fold of each slice.
    means : (F, C, R, R) Tensor
    bases : (F, K, C, r, r) float16 Tensor
    """

    fold_of: Tensor
    means: Tensor
    bases: Tensor

    def of(self, n: int) -> FoldModels:
        """The same models for the first n slices."""
        return FoldModels(self.fold_of[:n], self.means, self.bases)

    def model(self, fold: int) -> LinearModel:
        return LinearModel(self.means[fold], self.bases[fold].float(), 0.0)


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Latents and the slices they estimate.

    Attributes
    ----------
    latents : (V, N, K) float16 Tensor
        V corruptions of each of N slices (where the anatomy is symmetric, mirrored ones follow the originals).
    complete : (N, K) float16 Tensor
        Latents of the uncorrupted slices.
    """

    latents: Tensor
    complete: Tensor


def random_missing(size: int, generator: torch.Generator) -> Tensor:
    """A random missing region (size, size) bool: a half, a corner, a box or two, or strokes."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    missing = torch.zeros(size, size, dtype=torch.bool)
    kind = uniform(0, 1)
    if kind < 0.3:  # one side, about half
        cut = int(size * uniform(0.35, 0.6))
        missing[:, :cut] = True
        missing = torch.rot90(missing, int(uniform(0, 4)))
    elif kind < 0.45:  # a corner
        missing[: int(size * uniform(0.4, 0.6)), : int(size * uniform(0.4, 0.6))] = True
        missing = torch.rot90(missing, int(uniform(0, 4)))
    elif kind < 0.85:  # one to three boxes over the head
        for _ in range(1 + int(uniform(0, 3))):
            height, width = uniform(0.1, 0.65), uniform(0.1, 0.5)
            top, left = uniform(0.08, 0.92 - height), uniform(0.12, 0.88 - width)
            rows, columns = (
                slice(int(top * size), int((top + height) * size)),
                slice(int(left * size), int((left + width) * size)),
            )
            missing[rows, columns] = True
    else:  # brush strokes
        row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
        for _ in range(3 + int(uniform(0, 5))):
            y, x, radius = uniform(0.2, 0.8) * size, uniform(0.2, 0.8) * size, uniform(2, 6)
            heading = uniform(0, 6.28)
            for _ in range(int(uniform(8, 30))):
                missing |= (row - y) ** 2 + (column - x) ** 2 < radius**2
                heading += uniform(-0.5, 0.5)
                y, x = (
                    y + radius * torch.sin(torch.tensor(heading)).item(),
                    x + radius * torch.cos(torch.tensor(heading)).item(),
                )
    return missing


def _random_observation(size: int, sigma: float, generator: torch.Generator):  # type: ignore[no-untyped-def]
    """A linear map on images (B, 1, size, size) and a noise variance in grey levels squared, about sigma^2."""
    draw = float(torch.rand((), generator=generator))
    variance = sigma**2 * float(torch.exp(torch.empty(()).uniform_(-2.0, 0.4, generator=generator)))
    if draw < 0.8:
        observed = (~random_missing(size, generator)).flatten()
        return (lambda x: x.flatten(1)[:, observed]), variance
    factor = (2, 4, 8)[int(draw * 1000) % 3]
    return (lambda x: F.avg_pool2d(x, factor).flatten(1)), variance / factor**2


def fit_folds(
    images: Tensor, subjects: Tensor, components: int, *, mirror: bool, grid: int | None = None, folds: int = 5,
) -> FoldModels:  # fmt: skip
    """Fit a linear-Gaussian model for each fold of subjects, to the images (N, C, R, R) in [-1, 1] of the others."""
    generator = torch.Generator().manual_seed(0)
    fold_of = torch.randperm(int(subjects.max()) + 1, generator=generator)[subjects] % folds  # subjects stay together
    models = [LinearModel.fit(images[fold_of != fold], components, mirror=mirror, grid=grid) for fold in range(folds)]
    return FoldModels(fold_of, torch.stack([m.mean for m in models]), torch.stack([m.coarse.half() for m in models]))


def crossfit(
    images: Tensor, model: LinearModel, folds: FoldModels, *, mirror: bool, sigma: float, corruptions: int = 32,
) -> CrossFit:  # fmt: skip
    """Latents, in the coordinates of ``model``, of randomly corrupted images across folds.

    Parameters
    ----------
    images : (N, C, r, r) Tensor
        In [-1, 1], on the grid of the models' components.
    model : LinearModel
        The one that ships.
    folds : FoldModels
    mirror : bool
        Append the images' reflections.
    sigma : float
        Noise of a pixel in grey levels that restorations with this prior assume; varied from a third to 1.2 of it.
    corruptions : int
        Of each image.
    """
    generator = torch.Generator().manual_seed(0)
    n, size = len(images), images.shape[-1]
    basis = model.coarse.flatten(1)  # (K, P), orthogonal rows
    project = basis / basis.square().sum(dim=1, keepdim=True)  # (K, P): w of an image in the span
    mean = _shrunk(model.mean, size)
    latents = torch.zeros(corruptions, (1 + mirror) * n, len(basis), dtype=torch.float16)
    complete = torch.zeros((1 + mirror) * n, len(basis), dtype=torch.float16)
    for fold in range(len(folds.means)):
        inside = (folds.fold_of == fold).nonzero()[:, 0]
        apart, apart_mean = folds.bases[fold].float(), _shrunk(folds.means[fold], size)
        rows = torch.cat([inside, inside + n]) if mirror else inside
        slices = torch.cat([images[inside], images[inside].flip(-1)]) if mirror else images[inside]
        complete[rows] = ((slices - mean).flatten(1) @ project.T).half()
        shift = (apart_mean - mean).flatten() @ project.T  # (K,)
        turn = apart.flatten(1) @ project.T  # (K_fold, K)
        for v in range(corruptions):
            observe, variance = _random_observation(size, sigma, generator)
            a = observe(apart)  # (K, M)
            precision = a @ a.T / (variance / 127.5**2) + torch.eye(len(a))
            right = (observe(slices) - observe(apart_mean[None])) @ a.T / (variance / 127.5**2)  # (n, K)
            found = torch.cholesky_solve(right.T, torch.linalg.cholesky(precision)).T
            latents[v, rows] = (found @ turn + shift).half()
    return CrossFit(latents, complete)


def fold_residuals(images: Tensor, folds: FoldModels, sigma: float, *, every: int = 4) -> Tensor:
    """What a linear model of other subjects leaves unexplained in slices that it has seen whole.

    Parameters
    ----------
    images : (N, 1, R, R) Tensor
        In [-1, 1].
    folds : FoldModels
    sigma : float
        Noise of a pixel in grey levels that the posterior assumes, as in a restoration.
    every : int
        Use every so many slices.

    Returns
    -------
    (M, 1, R, R) Tensor
        Slice minus posterior mean, grey levels.
    """
    found = []
    for fold in range(len(folds.means)):
        model = folds.model(fold)
        slices = images[folds.fold_of == fold][::every]
        basis = model.basis.flatten(1)
        precision = basis @ basis.T / (sigma / 127.5) ** 2 + torch.eye(len(basis))
        right = basis @ (slices - model.mean).flatten(1).T / (sigma / 127.5) ** 2
        w = torch.linalg.solve(precision, right).T
        found.append((slices - model.synthesize(w[:, None])) * 127.5)
    return torch.cat(found)


def _shrunk(image: Tensor, size: int) -> Tensor:
    """(C, R, R) on a grid of side ``size``, by averages."""
    return F.avg_pool2d(image, image.shape[-1] // size)
