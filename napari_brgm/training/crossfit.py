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

from napari_brgm.priors.linear_gaussian import LinearGaussian

__all__ = ["CrossFit", "crossfit", "fold_residuals", "random_missing"]


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Latents and the slices they estimate.

    Attributes
    ----------
    latents : (V, N, K) float16 Tensor
        V corruptions of each of N slices (mirrored ones appended after the originals).
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


def _random_observation(size: int, generator: torch.Generator):  # type: ignore[no-untyped-def]
    """A linear map on images (B, 1, size, size) and a noise variance in grey levels squared."""
    draw = float(torch.rand((), generator=generator))
    variance = float(torch.exp(torch.empty(()).uniform_(7.0, 9.4, generator=generator)))  # 1,100 .. 12,000
    if draw < 0.8:
        observed = (~random_missing(size, generator)).flatten()
        return (lambda x: x.flatten(1)[:, observed]), variance
    factor = (2, 4, 8)[int(draw * 1000) % 3]
    return (lambda x: F.avg_pool2d(x, factor).flatten(1)), variance / factor**2


def crossfit(
    images: Tensor, subjects: Tensor, model: LinearGaussian, *, folds: int = 5, corruptions: int = 32, seed: int = 0
) -> CrossFit:
    """Latents of ``images`` (N, 1, R, R) in [-1, 1] and of their mirror images, across ``folds`` of subjects."""
    generator = torch.Generator().manual_seed(seed)
    fold_of = _folds(subjects, folds, generator)
    n, size = len(images), images.shape[-1]
    basis = model.basis.flatten(1)  # (K, P), orthogonal rows
    project = basis / basis.square().sum(dim=1, keepdim=True)  # (K, P): w of an image in the span
    latents = torch.zeros(corruptions, 2 * n, len(basis), dtype=torch.float16)
    complete = torch.zeros(2 * n, len(basis), dtype=torch.float16)
    for fold in range(folds):
        inside = (fold_of == fold).nonzero()[:, 0]
        apart = LinearGaussian.fit(images[fold_of != fold], model.w_dim, mirror=True)
        rows = torch.cat([inside, inside + n])
        slices = torch.cat([images[inside], images[inside].flip(-1)])
        complete[rows] = ((slices - model.mean).flatten(1) @ project.T).half()
        shift = (apart.mean - model.mean).flatten() @ project.T  # (K,)
        turn = apart.basis.flatten(1) @ project.T  # (K_fold, K)
        for v in range(corruptions):
            observe, variance = _random_observation(size, generator)
            a = observe(apart.basis)  # (K, M)
            precision = a @ a.T / (variance / 127.5**2) + torch.eye(len(a))
            right = (observe(slices) - observe(apart.mean[None])) @ a.T / (variance / 127.5**2)  # (n, K)
            found = torch.cholesky_solve(right.T, torch.linalg.cholesky(precision)).T
            latents[v, rows] = (found @ turn + shift).half()
    return CrossFit(latents, complete)


def fold_residuals(
    images: Tensor, subjects: Tensor, components: int, sigma: float, *, folds: int = 5, seed: int = 0, every: int = 4
) -> Tensor:
    """What a linear model of other subjects leaves unexplained in slices that it has seen whole.

    Parameters
    ----------
    images : (N, 1, R, R) Tensor
        In [-1, 1].
    sigma : float
        Noise of a pixel in grey levels that the posterior assumes, as in a restoration.
    every : int
        Use every so many slices.

    Returns
    -------
    (M, 1, R, R) Tensor
        Slice minus posterior mean, grey levels.
    """
    fold_of = _folds(subjects, folds, torch.Generator().manual_seed(seed))
    found = []
    for fold in range(folds):
        model = LinearGaussian.fit(images[fold_of != fold], components, mirror=True)
        slices = images[fold_of == fold][::every]
        basis = model.basis.flatten(1)
        precision = basis @ basis.T / (sigma / 127.5) ** 2 + torch.eye(components)
        right = basis @ (slices - model.mean).flatten(1).T / (sigma / 127.5) ** 2
        w = torch.linalg.solve(precision, right).T
        found.append((slices - model.synthesize(w[:, None])) * 127.5)
    return torch.cat(found)


def _folds(subjects: Tensor, folds: int, generator: torch.Generator) -> Tensor:
    """Fold of each slice: subjects are dealt out at random, slices of one subject stay together."""
    return torch.randperm(int(subjects.max()) + 1, generator=generator)[subjects] % folds
