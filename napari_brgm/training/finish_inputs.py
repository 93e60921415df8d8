"""What the finish learns from: draws of a linear model, alone and between measured pixels.

Four kinds in a batch: draws of the density (nothing is measured), posterior draws in random holes of slices, posterior
draws of slices seen on a coarser grid, and projections of slices. All but the first are of subjects that the model was
not fitted to, as in use. Each batch is made anew, on the device of the training.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.training.bandwidths import fit_shrinkage
from napari_brgm.training.crossfit import random_missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.priors.latents import LatentStatistics

    Make = Callable[[], dict[str, Tensor]]

__all__ = ["Batch", "FinishInputs", "Shares", "back_projected", "feathered"]

_FOLDS = 3
_MASKS = 6  # holes in a batch
_RECENT = 192  # holes whose factorisations are kept
_GAIN = 0.12  # largest change of brightness
_FACTORS = (2, 4, 8)  # of the slices seen on a coarser grid of the frame
_FEATHER = 1 / 64  # of the frame's side, reach of what the border's misfit says of the hole
_AT_ONCE = 512  # images made small
_SHRINKAGE = "shrinkage"


@dataclass(frozen=True, slots=True)
class Shares:
    """How many images of a batch are of each kind; multiples of 4."""

    draws: int = 24
    holes: int = 20
    coarse: int = 8
    projections: int = 12

    @property
    def total(self) -> int:
        return self.draws + self.holes + self.coarse + self.projections

    def scaled(self, total: int) -> Shares:
        """The same in a batch of about ``total`` images (32 or more)."""
        parts = [max(4 * round(n * total / self.total / 4), 4) for n in (self.holes, self.coarse, self.projections)]
        return Shares(total - sum(parts), *parts)


@dataclass(frozen=True)
class Batch:
    """Images (B, 1, H, W) in [-1, 1], kinds in the order of ``Shares``.

    Attributes
    ----------
    x : Tensor
        What the network gets.
    hole : Tensor
        1 where x was drawn.
    known : Tensor
        The slice, where it is known (holes, coarse, projections); 0 elsewhere.
    factor : int
        Of the slices seen on a coarser grid.
    """

    x: Tensor
    hole: Tensor
    known: Tensor
    factor: int

    def window(self, rows: slice, columns: slice) -> Batch:
        """A part of the frame."""
        return replace(
            self, x=self.x[..., rows, columns], hole=self.hole[..., rows, columns],
            known=self.known[..., rows, columns],
        )  # fmt: skip


class FinishInputs:
    """Makes batches.

    Parameters
    ----------
    images : (N, 1, R, R) Tensor
        Slices in [-1, 1], on the device where batches are made; half precision will do.
    subjects : (N,) int64 Tensor
    model : LinearModel
        Of the prior, on the same device.
    latents : LatentStatistics
        Density of its latents.
    sigma : float
        Noise of a pixel in grey levels that restorations with this prior assume.
    mirror : bool
        Reflections are slices too.
    copies : callable, optional
        Makes posed copies of the images (M, 1, R, R), M a multiple of N, that the models of the folds are fitted to as
        well.
    keep : callable, optional
        Given the name of a stage and what makes its tensors, returns them: kept from an earlier run, or made.
    """

    def __init__(
        self, images: Tensor, subjects: Tensor, model: LinearModel, latents: LatentStatistics, *, sigma: float,
        mirror: bool, copies: Callable[[], Tensor] | None = None, seed: int = 0,
        keep: Callable[[str, Make], dict[str, Tensor]] | None = None,
    ) -> None:  # fmt: skip
        self.images, self.subjects, self.model, self.latents, self.mirror = images, subjects, model, latents, mirror
        self.device = images.device
        self.grid, self.size = int(model.coarse.shape[-1]), int(model.resolution)
        self.variance = (sigma / 127.5 / (self.size // self.grid)) ** 2  # of a pixel of the components' grid
        self.holes = torch.Generator().manual_seed(seed)
        self.random = torch.Generator(self.device).manual_seed(seed)
        self.flat = model.coarse.flatten(1)
        small = self._small(images)
        gram = self.flat @ self.flat.T
        self.whitened = self._whitened(small, gram)
        reflected = self._whitened(small.flip(-1), gram) if mirror else None
        keep = keep or _made
        found = keep(_SHRINKAGE, lambda: {_SHRINKAGE: fit_shrinkage(self.whitened, subjects, reflected)})
        self.shrinkage = found[_SHRINKAGE].to(self.device)
        self._fit_folds(small, copies, keep)
        self._recent: list[tuple[int, Tensor, Tensor]] = []  # fold, known pixels, Cholesky factor of the precision

    def _small(self, images: Tensor) -> Tensor:
        parts = torch.split(images, _AT_ONCE)
        return torch.cat([F.avg_pool2d(part.float(), self.size // self.grid) for part in parts])

    def _whitened(self, small: Tensor, gram: Tensor) -> Tensor:
        mean = self._small(self.model.mean[None])
        return self.latents.whiten(torch.linalg.solve(gram, self.flat @ (small - mean).flatten(1).T).T)

    def _fit_folds(
        self, small: Tensor, copies: Callable[[], Tensor] | None, keep: Callable[[str, Make], dict[str, Tensor]]
    ) -> None:  # fmt: skip
        """Models of the other folds, and the factorisations of slices seen on coarser grids."""
        order = torch.randperm(int(self.subjects.max()) + 1, generator=torch.Generator().manual_seed(0))
        self.fold_of = order.to(self.device)[self.subjects] % _FOLDS
        self.rows_of = [(self.fold_of == fold).nonzero()[:, 0] for fold in range(_FOLDS)]
        self.models: list[LinearModel] = []
        self.coarse: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        more = None if copies is None else cache(lambda: self._small(copies()))  # of all folds, but made only for some
        for fold in range(_FOLDS):
            found = keep(f"fold-{fold}", partial(self._fold, fold, small, more))
            mean, basis = (found[name].to(self.device).float() for name in ("mean", "basis"))
            self.models.append(LinearModel(mean, basis, 0.0))
            for factor in _FACTORS:
                seen = self._pooled(basis, factor).flatten(1)
                self.coarse[fold, factor] = (seen, self._factor(seen, self.variance / self._ratio(factor) ** 2))

    def _fold(self, fold: int, small: Tensor, more: Callable[[], Tensor] | None) -> dict[str, Tensor]:
        """Mean and components of the slices of the other folds."""
        apart = self.fold_of != fold
        slices = small[apart]
        if more is not None:
            others = more()
            slices = torch.cat([slices, others[apart.repeat(len(others) // len(small))]])
        found = LinearModel.fit(slices, min(len(self.flat), len(slices) - 1), mirror=self.mirror)
        mean = self.images[apart].mean(dim=0, dtype=torch.float32)
        mean = (mean + mean.flip(-1)) / 2 if self.mirror else mean
        support = self.model.coarse.abs().amax(dim=0) > 0
        return {"mean": mean, "basis": (found.coarse * support).half()}

    def _ratio(self, factor: int) -> int:
        """Pixels of the components' grid that one of the observed grid is wide."""
        return max(factor * self.grid // self.size, 1)

    def _pooled(self, small: Tensor, factor: int) -> Tensor:
        return F.avg_pool2d(small, self._ratio(factor))

    def _factor(self, seen: Tensor, variance: float) -> Tensor:
        """Cholesky factor of the posterior precision of latents of which ``seen`` (K, M) is observed."""
        precision = seen @ seen.T / variance
        precision.diagonal().add_(1.0)
        found: Tensor = torch.linalg.cholesky(precision)
        return found

    def _posterior(self, right: Tensor, factor: Tensor) -> Tensor:
        """A draw (n, K) for each right-hand side (n, K)."""
        mean = torch.cholesky_solve(right.T, factor)
        z = torch.randn(mean.shape, device=self.device, generator=self.random)
        found: Tensor = (mean + torch.linalg.solve_triangular(factor.T, z, upper=True)).T
        return found

    def _apart(self, real: Tensor, fold: int) -> Tensor:
        """Slices (n, 1, R, R) less the mean of the other folds, on the components' grid."""
        return self._small(real - self.models[fold].mean)

    def _picked(self, fold: int, n: int) -> Tensor:
        """Slices (n, 1, R, R) of a fold, reflected at random where that is allowed."""
        rows = self.rows_of[fold]
        found = self.images[rows[self._integers(len(rows), n)]].float()
        return self._reflected(found)

    def _reflected(self, images: Tensor) -> Tensor:
        if not self.mirror:
            return images
        turn = torch.rand(len(images), 1, 1, 1, device=self.device, generator=self.random) < 0.5
        return torch.where(turn, images.flip(-1), images)

    def _integers(self, high: int, n: int) -> Tensor:
        return torch.randint(0, high, (n,), device=self.device, generator=self.random)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, device=self.device, generator=self.random)

    def draws(self, n: int) -> Tensor:
        """Draws (n, 1, R, R) of the density: kernel 60 %, Gaussian 20 %, one bandwidth for all latents 20 %."""
        which, h = self._uniform(n, 1), 0.4 + 0.6 * self._uniform(n, 1)
        flat = (1 - h * h).sqrt().expand(-1, self.latents.rank)
        a = torch.where(which < 0.6, self.shrinkage[None], torch.where(which < 0.8, torch.zeros_like(flat), flat))
        centre = self.whitened[self._integers(len(self.whitened), n)]
        z = torch.randn(n, self.latents.rank, device=self.device, generator=self.random)
        w = self.latents.colour(a * centre + (1 - a * a).sqrt() * z)
        return self._reflected(self.model.synthesize(w[:, None]))

    def add_hole(self) -> None:
        """Make a new hole, and forget the oldest."""
        missing = random_missing(self.grid, self.holes)
        fold = int(torch.randint(0, _FOLDS, (), generator=self.holes))
        known = (~missing).float().to(self.device)
        factor = self._factor(self.models[fold].coarse.flatten(1) * known.flatten(), self.variance)
        self._recent = [*self._recent[-(_RECENT - 1) :], (fold, known, factor)]

    def in_holes(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Posterior draws in holes of slices, the holes, and the slices, each (n, 1, R, R)."""
        while len(self._recent) < _MASKS:
            self.add_hole()
        drawn, holes, slices = [], [], []
        picks = torch.randint(0, len(self._recent), (_MASKS,), generator=self.holes).tolist()
        for k, pick in enumerate(picks):
            count = n * (k + 1) // _MASKS - n * k // _MASKS
            fold, known, factor = self._recent[pick]
            real = self._picked(fold, count)
            model = self.models[fold]
            right = (self._apart(real, fold) * known).flatten(1) @ model.coarse.flatten(1).T / self.variance
            x = model.synthesize(self._posterior(right, factor)[:, None])
            whole = F.interpolate(known[None, None], size=(self.size, self.size), mode="nearest")
            drawn.append(feathered(x, real, whole))
            holes.append((1 - whole).expand(count, -1, -1, -1))
            slices.append(real)
        return torch.cat(drawn), torch.cat(holes), torch.cat(slices)

    def from_coarse(self, n: int) -> tuple[Tensor, Tensor, int]:
        """Posterior draws of slices seen on a coarser grid, which they agree with; the slices, and the factor."""
        factor = _FACTORS[int(torch.randint(0, len(_FACTORS), (), generator=self.holes))]
        fold = int(torch.randint(0, _FOLDS, (), generator=self.holes))
        real = self._picked(fold, n)
        seen, cholesky = self.coarse[fold, factor]
        variance = self.variance / self._ratio(factor) ** 2
        right = self._pooled(self._apart(real, fold), factor).flatten(1) @ seen.T / variance
        x = self.models[fold].synthesize(self._posterior(right, cholesky)[:, None])
        return back_projected(x, real, factor), real, factor

    def projections(self, n: int) -> tuple[Tensor, Tensor]:
        """Slices as a model of other subjects draws them, and the slices."""
        fold = int(torch.randint(0, _FOLDS, (), generator=self.holes))
        real = self._picked(fold, n)
        basis = self.models[fold].coarse.flatten(1)
        project = basis / basis.square().sum(dim=1, keepdim=True).clamp(min=1e-9)
        w = self._apart(real, fold).flatten(1) @ project.T
        return self.models[fold].synthesize(w[:, None]), real

    def batch(self, shares: Shares) -> Batch:
        """One of each kind's share."""
        free = self.draws(shares.draws)
        inside, holes, between = self.in_holes(shares.holes)
        finer, seen, factor = self.from_coarse(shares.coarse)
        projected, whole = self.projections(shares.projections)
        ones = torch.ones_like
        x = torch.cat([free, inside, finer, projected])
        hole = torch.cat([ones(free), holes, ones(finer), ones(projected)])
        known = torch.cat([torch.zeros_like(free), between, seen, whole])
        gain = 1 + _GAIN * (2 * self._uniform(len(x), 1, 1, 1) - 1)
        return Batch((x + 1) * gain - 1, hole, (known + 1) * gain - 1, factor)

    def real(self, n: int) -> Tensor:
        """Slices (n, 1, R, R) at random, of changed brightness, half a grey level of noise in place of rounding."""
        images = self._reflected(self.images[self._integers(len(self.images), n)].float())
        gain = 1 + _GAIN * (2 * self._uniform(n, 1, 1, 1) - 1)
        return (images + 1) * gain - 1 + (self._uniform(*images.shape) - 0.5) / 127.5


def back_projected(x: Tensor, real: Tensor, factor: int) -> Tensor:
    """Images x (B, 1, R, R) with the averages over ``factor`` pixels of ``real``."""
    return x + F.interpolate(F.avg_pool2d(real - x, factor), scale_factor=factor, mode="nearest")


def _made(name: str, make: Make) -> dict[str, Tensor]:
    return make()


def feathered(x: Tensor, real: Tensor, known: Tensor) -> Tensor:
    """``real`` where ``known`` (1 or 0), elsewhere x moved by what the border's misfit says; all (B, 1, R, R)."""
    sigma = x.shape[-1] * _FEATHER
    reach = int(3 * sigma)
    at = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-at.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()

    def blurred(z: Tensor) -> Tensor:
        z = F.conv2d(F.pad(z, (reach, reach, 0, 0)), kernel.view(1, 1, 1, -1))
        return F.conv2d(F.pad(z, (0, 0, reach, reach)), kernel.view(1, 1, -1, 1))

    offset = blurred((real - x) * known) / (blurred(known.expand_as(x)) + 0.1)
    return torch.where(known > 0, real, x + offset)
