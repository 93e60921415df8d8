"""Linear-Gaussian model: probabilistic PCA, the one generator whose posterior is known exactly.

    G(w) = mean + sum_k w_k basis_k,   w ~ N(0, I_K)
    y    = A G(w) + noise,             noise ~ N(0, sigma^2 N^-1), N the relative precision of each observed pixel
    p(w | y) = N(w_hat, S),  S = (I + B' A' N A B / sigma^2)^-1,  w_hat = S B' A' N (y - A mean) / sigma^2

Source: Tipping and Bishop, "Probabilistic Principal Component Analysis", J. R. Stat. Soc. B 61 (1999), Sec. 3; the
posterior is the standard Gaussian one (Bishop, PRML, Eq. 2.113-2.117).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.errors import InputError
from napari_brgm.priors.gaussian_posterior import GaussianPosterior
from napari_brgm.priors.principal_components import principal_components

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_brgm.priors.latents import LatentStatistics
    from napari_brgm.priors.stylegan2_layers import NoiseMode

__all__ = ["Differentiated", "LinearMap", "LinearModel", "gram"]

_CHUNK = 16 << 20  # bytes of the images that are observed at once,
_MOST = 8  # and how many: an operator may have a finer grid inside than image and observation have
_ROWS = 128  # of B' A' N A B, that are multiplied at once
_NOTHING = 1e-7  # of the largest entry of all components: what is smaller is 0
_FEW = 0.9  # of the pixels: where more are told, leaving out the others costs as much as it saves
_FINER = 2.5  # observed pixels for each pixel of a component, up to which bringing it back costs more than it saves


class LinearMap(Protocol):
    """A linear operator A, and the relative precision N of what it observes.

    ``precision`` is (1, C or 1, h, w): sigma^2 over the noise variance of each observed pixel, 0 where nothing was
    measured; None: 1 everywhere.
    """

    @property
    def precision(self) -> Tensor | None: ...
    def A(self, x: Tensor) -> Tensor: ...  # (B, C, R, R) -> (B, C, h, w)
    def A_adjoint(self, y: Tensor) -> Tensor: ...  # (B, C, h, w) -> (B, C, R, R)


class Differentiated:
    """A linear function as an operator: its adjoint by automatic differentiation.

    Parameters
    ----------
    function : callable
        Linear, batched.
    shape : tuple of int
        (C, R, R) of the images that it takes.
    """

    precision = None

    def __init__(self, function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
        self.A, self.shape = function, shape

    def A_adjoint(self, y: Tensor) -> Tensor:
        found: Tensor = torch.func.vjp(self.A, y.new_zeros(len(y), *self.shape))[1](y)[0]
        return found


def _refined(coarse: Tensor, size: int) -> Tensor:
    """Images (N, C, r, r) on a grid of side ``size``: bicubic, half-pixel centres."""
    if coarse.shape[-1] == size:
        return coarse
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)


def _some(parts: Sequence[Tensor]) -> Tensor | None:
    """Numbers of the columns of a matrix, given by rows (k, M) some at a time, that are not 0; None: nearly all."""
    most = torch.stack([part.abs().amax(dim=0) for part in parts]).amax(dim=0)
    told = most > _NOTHING * most.max()
    return told.nonzero()[:, 0] if float(told.float().mean()) < _FEW else None


def gram(b: Tensor, check: Callable[[], None] | None = None, weight: Tensor | None = None) -> Tensor:
    """B W B' (K, K) of a matrix (K, M), by its upper half; ``weight`` (M,), of either sign, is the diagonal of W, None
    all 1. ``check`` is called now and then.
    """
    found = b.new_zeros(len(b), len(b))
    for first in range(0, len(b), _ROWS):
        if check is not None:
            check()
        rows = b[first : first + _ROWS]
        found[first : first + _ROWS, first:] = (rows if weight is None else rows * weight) @ b[first:].T
    return _mirrored(found)


def _mirrored(upper: Tensor) -> Tensor:
    """A symmetric matrix from one that is right on and above its diagonal."""
    return torch.triu(upper) + torch.triu(upper, 1).T


class LinearModel:
    """Probabilistic PCA (see the module's equations).

    Parameters
    ----------
    mean : (C, R, R) Tensor
        In [-1, 1].
    basis : (K, C, r, r) Tensor
        Principal components scaled by the standard deviations of their coordinates. They may live on a coarser grid
        than the mean, r = R / 2, R / 4, ...: the components are smooth, and bicubic interpolation brings them to R.
    noise_variance : float
        Mean residual variance of a pixel outside the basis, in units of the [-1, 1] range squared.
    """

    def __init__(self, mean: Tensor, basis: Tensor, noise_variance: float) -> None:
        if basis.ndim != 4 or basis.shape[1] != mean.shape[0] or mean.shape[-1] % basis.shape[-1]:
            raise InputError(f"basis {tuple(basis.shape)} must be (K, C, r, r) with mean {tuple(mean.shape)}")
        self.mean, self.coarse, self.noise_variance = mean, basis, noise_variance

    @cached_property
    def basis(self) -> Tensor:
        """(K, C, R, R) components on the grid of the mean."""
        return _refined(self.coarse, self.resolution)

    @property
    def resolution(self) -> int:
        return int(self.mean.shape[-1])

    @property
    def channels(self) -> int:
        return int(self.mean.shape[0])

    @property
    def rank(self) -> int:
        """K, how many components there are."""
        return len(self.coarse)

    @cached_property
    def _rows(self) -> Tensor:
        """(R, r) matrix U with ``_refined``(x) = U x U': for many images at once faster, and has a transpose."""
        side = self.coarse.shape[-1]
        eye = torch.eye(side, dtype=self.coarse.dtype, device=self.coarse.device)[None, None]
        return F.interpolate(eye, size=(self.resolution, side), mode="bicubic", align_corners=False)[0, 0]

    @classmethod
    def fit(cls, images: Tensor, components: int, *, mirror: bool = False, grid: int | None = None) -> Self:
        """Fit to images (N, C, R, R) in [-1, 1], as ``principal_components`` says.

        Raises
        ------
        InputError
            There are not more images than components.
        """
        return cls(*principal_components(images, components, mirror=mirror, grid=grid))

    def synthesize(self, ws: Tensor, noise: NoiseMode = "none") -> Tensor:
        """Images (B, C, R, R) of ws (B, 1, K); there is no noise to choose."""
        _, told = self._told
        coarse = self._placed(ws[:, 0].to(told.dtype) @ told)
        return self.mean + (coarse if self._own_grid else self._finer(coarse))

    def encode(self, images: Tensor) -> Tensor:
        """Latents (B, K) of images (B, C, R, R) by least squares."""
        flat = self.basis.flatten(1)
        gram = flat @ flat.T
        right = flat @ (images - self.mean).flatten(1).T
        latents: Tensor = torch.linalg.solve(gram, right).T
        return latents

    def whitened(self, latents: LatentStatistics) -> LinearModel:
        """The same images from latents u ~ N(0, I) where w ~ N(``latents``): w = mean + factor u."""
        mean = self.synthesize(latents.mean[None, None])[0]
        _, told = self._told
        return LinearModel(mean, self._placed(latents.factor.T @ told), self.noise_variance)

    def posterior(
        self, observation: Tensor, operator: LinearMap, noise_variance: float, check: Callable[[], None] | None = None
    ) -> GaussianPosterior:
        """Exact posterior of w given one y = A G(w) + N(0, noise_variance / precision); see ``posteriors``."""
        return self.posteriors(observation, operator, noise_variance, check)[0]

    def posteriors(
        self, observations: Tensor, operator: LinearMap, noise_variance: float, check: Callable[[], None] | None = None
    ) -> list[GaussianPosterior]:
        """Exact posteriors of w given each of some y = A G(w) + N(0, noise_variance / precision).

        They share their precision, which is one tensor: what is observed of the components is the same. These are
        observed some at a time. All are kept as observed only where that takes little more room than the basis itself;
        else each is brought back to the grid of the basis.

        Parameters
        ----------
        observations : (n, C, h, w) Tensor
        operator : LinearMap
        noise_variance : float
            In units of the [-1, 1] range squared, above zero.
        check : callable, optional
            Called before some components are observed; what it raises ends the work.
        """
        if not noise_variance > 0:
            raise InputError(f"noise_variance must be above 0, got {noise_variance}")
        precision, right = self.normal(observations, operator, check)
        precision = precision.double() / noise_variance
        precision.diagonal().add_(1.0)
        right = right.double() / noise_variance
        means = torch.cholesky_solve(right, torch.linalg.cholesky(precision)).T.to(self.mean.dtype)
        shared = precision.to(self.mean.dtype)
        return [GaussianPosterior(mean, shared) for mean in means]

    def normal(
        self, observations: Tensor, operator: LinearMap, check: Callable[[], None] | None = None
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """B' A' N A B (K, K), and B' A' N (y - A mean) (K, n) of observations (n, C, h, w); as in ``posteriors``."""
        missed = observations - operator.A(self.mean[None])  # (n, C, h, w)
        if missed[0].numel() <= _FINER * self.coarse[0].numel():
            return self._observed(missed, operator, operator.precision, check)
        return self._returned(missed, operator, operator.precision, check)

    def components(self, first: int, last: int, corner: tuple[int, int], side: int) -> Tensor:
        """Components ``first`` to ``last`` in a square window of the frame (n, C, side, side), which begins there."""
        (row, column), some = corner, self.coarse[first:last]
        if self._own_grid:
            return some[..., row : row + side, column : column + side]
        down, right = self._rows[row : row + side], self._rows[column : column + side]
        (top, bottom), (left, end) = (_reach(matrix != 0) for matrix in (down, right))
        return down[:, top:bottom] @ some[..., top:bottom, left:end] @ right[:, left:end].T

    def _observed(
        self, missed: Tensor, operator: LinearMap, weight: Tensor | None, check: Callable[[], None] | None
    ) -> tuple[Tensor, Tensor]:
        """B' A' N A B (K, K) and B' A' N of what the mean misses (K, n): from the observed components A B."""
        some = self._seen(operator)
        root = torch.ones_like(missed[:1]) if weight is None else weight.sqrt().expand_as(missed[:1])
        root, seen = root.flatten(1), missed.flatten(1)
        if some is not None:
            root, seen = root[:, some], seen[:, some]
        b, first = missed.new_empty(self.rank, root.shape[1]), 0  # (K, M)
        for part in self._chunks(missed, check):
            found = operator.A(part).flatten(1)
            torch.mul(found if some is None else found[:, some], root, out=b[first : first + len(part)])
            first += len(part)
        return gram(b, check), b @ (seen * root).T

    def _seen(self, operator: LinearMap) -> Tensor | None:
        """Numbers of the observed pixels that see a component; None: nearly all. Where a sum of random positive numbers
        over the pixels that components have is 0, nothing of them is seen.
        """
        inside, told = self._told
        if inside is None:
            return None
        random = torch.rand(2, len(inside), generator=torch.Generator().manual_seed(0)).to(told) + 0.5
        image = self._placed(random)
        return _some([operator.A(image if self._own_grid else self._finer(image)).flatten(1)])

    def _returned(
        self, missed: Tensor, operator: LinearMap, weight: Tensor | None, check: Callable[[], None] | None
    ) -> tuple[Tensor, Tensor]:
        """The same from the products A' N A b, brought to the components' own grid."""

        def back(seen: Tensor) -> Tensor:  # (B, C, h, w) -> (B, C r r)
            x = operator.A_adjoint(seen if weight is None else seen * weight)
            flat = (x if self._own_grid else self._coarser(x)).flatten(1)
            return flat if some is None else flat[:, some]

        some, told = self._told
        found, first = told.new_zeros(len(told), len(told)), 0  # in one piece: small ones between large strew both
        for part in self._chunks(missed, check):
            found[first : first + len(part), first:] = back(operator.A(part)) @ told[first:].T
            first += len(part)
        return _mirrored(found), torch.stack([told @ one for one in back(missed)], dim=1)

    @cached_property
    def _told(self) -> tuple[Tensor | None, Tensor]:
        """Numbers (M,) of the pixels where components are not 0, and these there (K, M); None: nearly everywhere."""
        with torch.inference_mode(False):
            flat = self.coarse.flatten(1)
            some = _some([flat])
            return some, flat if some is None else flat[:, some]

    def _placed(self, values: Tensor) -> Tensor:
        """Values (n, M) of the pixels of ``_told`` as images (n, C, r, r) on the components' grid, 0 elsewhere."""
        inside, _ = self._told
        if inside is not None:
            values = values.new_zeros(len(values), self.coarse[0].numel()).index_copy(1, inside, values)
        return values.reshape(len(values), *self.coarse.shape[1:])

    @cached_property
    def _drawn(self) -> tuple[slice, slice, slice, slice]:
        """Rows and columns of the components' grid outside which they are 0, and what of the frame these reach."""
        there = (self.coarse.abs() > _NOTHING * self.coarse.abs().max()).any(dim=1).any(dim=0)  # (r, r)
        found = [slice(*_reach(one)) for one in (there, there.T)]
        rows, columns = (slice(*_reach(self._rows.T[one] != 0)) for one in (found[1], found[0]))
        return found[1], found[0], rows, columns

    @property
    def _own_grid(self) -> bool:
        return self.coarse.shape[-1] == self.resolution

    def _chunks(self, observation: Tensor, check: Callable[[], None] | None) -> Iterator[Tensor]:
        """Components (k, C, R, R), as many at a time as there is room for."""
        pixels = max(observation[0].numel(), self.mean.numel())
        for part in torch.split(self.coarse, min(max(_CHUNK // (self.mean.element_size() * pixels), 1), _MOST)):
            if check is not None:
                check()
            yield part if self._own_grid else self._finer(part)

    def _finer(self, part: Tensor) -> Tensor:
        """Components (k, C, r, r) on the grid of the mean, as ``_refined`` has them."""
        down, right, rows, columns = self._drawn
        found = part.new_zeros(*part.shape[:2], self.resolution, self.resolution)
        found[..., rows, columns] = self._rows[rows, down] @ (part[..., down, right] @ self._rows[columns, right].T)
        return found

    def _coarser(self, x: Tensor) -> Tensor:
        """The transpose of ``_finer``: images (k, C, R, R) -> (k, C, r, r)."""
        down, right, rows, columns = self._drawn
        found = x.new_zeros(*x.shape[:2], *self.coarse.shape[2:])
        found[..., down, right] = self._rows[rows, down].T @ (x[..., rows, columns] @ self._rows[columns, right])
        return found

    def posterior_mean(self, observation: Tensor, operator: LinearMap, noise_variance: float) -> Tensor:
        """Image (C, R, R), the exact posterior mean of G(w)."""
        return self.synthesize(self.posterior(observation, operator, noise_variance).mean[None, None])[0]

    def to(self, device: torch.device | str) -> Self:
        """Copy on ``device`` (the same object if it is there already)."""
        if self.mean.device == torch.device(device):
            return self
        return type(self)(self.mean.to(device), self.coarse.to(device), self.noise_variance)


def _reach(there: Tensor) -> tuple[int, int]:
    """The first column of a matrix (m, n), bool, that is anywhere true, and the one after the last; none: 0, 1."""
    at = there.any(dim=0).nonzero()[:, 0]
    return (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 1)
