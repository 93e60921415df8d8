"""The Gaussian round a MAP point (Laplace), in the Gauss-Newton approximation.

    precision = S^-1 (I + H) S^-1,   I + H = S (Q + J' R^-1 J) S,   J = d f(G(v)) / d v
    H ~ U diag(l) U'   (k directions, l > -1)
    v = m + S (e - U (1 - (1 + l)^-1/2) U' e),   e ~ N(0, I)

S holds the standard deviations that are expected beforehand and Q is the prior's precision in v: S Q S = I, but where
the linear part of the generator preconditions the problem. There S = I is the linear answer, and H what the network
changes of it: directions that its bends make better known (l > 0) or less well (l < 0).

Few latents: all directions. Many: a Krylov space of H, eight directions at a time, from random ones, until the next
sixteen change the predicted standard deviation of the image by less than 2 %; the prior's spread in the others. That
std is followed on the random directions themselves: they are draws, whose images shrink as directions become known.
Products with J' are gradients of one image. Those with J are tangents, exact, as a Krylov space asks for; where torch
has none, f is not linear or all directions are looked at, central differences.

Sources: MacKay, "A practical Bayesian framework for backpropagation networks" (1992), Sec. 3; Bui-Thanh et al., "A
computational framework for infinite-dimensional Bayesian inverse problems" (2013), Sec. 3.7 (the low-rank form); Musco
and Musco, "Randomized block Krylov methods" (2015, arXiv 1504.05477), Algorithm 2.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual

from napari_brgm.inference.gaussians import Gaussian, LowRankGaussian
from napari_brgm.inference.step import Progress
from napari_brgm.posterior import synthesized

if TYPE_CHECKING:
    from napari_brgm.posterior import Posterior

__all__ = ["laplace_at", "laplace_batches"]

_FEW, _MANY = 64, 512  # latents; all directions of so many are looked at anyway, and of so many if asked for
_BLOCK = 8  # directions at a time
_SETTLED, _PATIENCE = 0.02, 2  # change of the predicted standard deviation over so many blocks that ends the search
_STEP = 0.05  # of the differences, in standard deviations of the prior
_PIXELS, _IMAGES = 1 << 20, 16  # of images that are drawn at a time
_LOWEST = -0.9  # gain; differences of a flat direction may come out below what is possible
_GRID = 64  # pixels a side on which the predicted standard deviation is followed


def laplace_batches(posterior: Posterior, *, linearised: bool = True) -> int:
    """How many steps ``laplace_at`` takes at most."""
    if linearised and posterior.linear is not None:
        return 0
    size, most = posterior.shape[0] * posterior.shape[1], _most(posterior, linearised)
    blocks = -(-most // _BLOCK)
    return blocks if most == size <= _MANY else 2 * (1 + blocks)  # the random directions come first


def _most(posterior: Posterior, linearised: bool) -> int:
    """Directions that are looked at, at most: as MAP's spread they take no longer than MAP itself."""
    size = posterior.shape[0] * posterior.shape[1]
    return size if size <= _FEW or not linearised else min(posterior.settings.most_directions, size)


def laplace_at(
    posterior: Posterior, v: Tensor, generator: torch.Generator, progress: Progress | None = None, *,
    linearised: bool = True,
) -> Gaussian | LowRankGaussian:  # fmt: skip
    """Gaussian round the MAP coordinates v (1, L, D).

    Parameters
    ----------
    posterior : Posterior
    v : (1, L, D) Tensor
    generator : torch.Generator
        Of the random directions (CPU).
    progress : Progress or None
        Gets a step without a loss after each eight products.
    linearised : bool
        Whether the exact posterior covariance of the generator's linear part (std 1 in v) is taken as it is, where
        there is one, and else no longer is spent than on MAP; False: the Jacobian of the whole generator is looked at
        until the spread has settled.
    """
    if linearised and posterior.linear is not None:
        return Gaussian(v[0].detach(), posterior.start_std())
    size, most = v[0].numel(), _most(posterior, linearised)
    whole = most == size <= _MANY
    jacobian = _Jacobian(posterior, v, progress or Progress(), exact=not whole)
    if whole:
        basis = torch.eye(size, device=v.device)
        seen = torch.cat([jacobian.ahead(part)[0] for part in torch.split(basis, _BLOCK)])
        gain, vectors = _ritz(seen @ seen.T + jacobian.prior_change(basis))
        return jacobian.gaussian(vectors, gain)
    probes = torch.randn(_BLOCK, size, generator=generator).to(v)
    seen, drawn = jacobian.ahead(probes)
    block = _beyond(jacobian.back(seen) + jacobian.prior_change(probes), None)
    basis, products, images = block[:0], block[:0], drawn[:0]
    stds: list[float] = []
    while True:
        seen, found = jacobian.ahead(block)
        products = torch.cat([products, jacobian.back(seen) + jacobian.prior_change(block)])  # H of the basis
        basis, images = torch.cat([basis, block]), torch.cat([images, found])
        gain, vectors = _ritz(basis @ products.T)
        known = probes @ basis.T @ vectors * (1 - (1 + gain).rsqrt())  # (8, k) what the draws lose
        stds.append(float((drawn - known @ vectors.T @ images).square().mean().sqrt()))
        room = most - len(basis)
        settled = len(stds) > _PATIENCE and abs(stds[-1 - _PATIENCE] - stds[-1]) < _SETTLED * stds[-1]
        if settled or room <= 0:
            return jacobian.gaussian(basis.T @ vectors, gain)
        block = _beyond(products[-len(block) :], basis)[:room]


def _ritz(inner: Tensor) -> tuple[Tensor, Tensor]:
    """Gains (k,) and directions (k, k) of a symmetric matrix."""
    gain, vectors = torch.linalg.eigh(((inner + inner.T) / 2).double())
    return gain.clamp(min=_LOWEST).to(inner), vectors.to(inner)


def _beyond(directions: Tensor, basis: Tensor | None) -> Tensor:
    """Orthonormal directions (k, L D) of what is not in the basis (j, L D); thrice, against rounding."""
    found = directions.double()
    for _ in range(3):
        if basis is not None:
            found = found - found @ basis.T.double() @ basis.double()
        found = torch.linalg.qr(found.T).Q.T
    return found.to(directions)


class _Jacobian:
    """R^-1/2 J S and its transpose at v (1, L, D), and the image that goes with it."""

    def __init__(self, posterior: Posterior, v: Tensor, progress: Progress, *, exact: bool = False) -> None:
        self.posterior, self.progress = posterior, progress
        self.mean, self.scale = v[0].detach(), posterior.start_std()
        seen = posterior.likelihood.observation
        weight = seen.weight
        self.weight = posterior.lambda_pixel**0.5 * (1.0 if weight is None else weight.sqrt())
        side = posterior.prior.resolution
        self.images = min(max(_PIXELS // side**2, 2), _IMAGES)
        self.stride = max(side // _GRID, 1)
        self._exact = exact and posterior.likelihood.linear
        self._graph: tuple[Tensor, Tensor] | None = None

    def ahead(self, directions: Tensor) -> tuple[Tensor, Tensor]:
        """R^-1/2 J S d (k, M) of directions d (k, L D), and the change of the image on a coarse grid (k, N)."""
        seen, images = [], []
        for part in torch.split(directions, self.images // 2):
            length = part.norm(dim=1, keepdim=True)  # of a random one many standard deviations: too long a step
            change = self.scale * (part / length).reshape(-1, *self.mean.shape)  # (b, L, D)
            with torch.no_grad():
                tangents = self._tangents(change) if self._exact else None
                predicted, moved = tangents or self._differences(change)
            seen.append((predicted * self.weight).flatten(1) * length)
            images.append(moved[..., :: self.stride, :: self.stride].flatten(1) * length)
            self.progress.check()
        self.progress.step("laplace")
        return torch.cat(seen), torch.cat(images)

    def _tangents(self, change: Tensor) -> tuple[Tensor, Tensor] | None:
        """Changes of the observation and of the image by changes of v (b, L, D); None: torch cannot."""
        try:
            with warnings.catch_warnings(), dual_level():
                warnings.simplefilter("ignore", FutureWarning)  # torch's own, of its first tangent
                dual = make_dual(self.mean.expand_as(change).contiguous(), change)  # type: ignore[no-untyped-call]
                images = synthesized(self.posterior.prior, self.posterior.latents(dual), self.posterior.settings)
                moved = unpack_dual(images).tangent  # type: ignore[no-untyped-call]
        except (NotImplementedError, RuntimeError):
            self._exact = False
            return None
        return self.posterior.likelihood.observation.A(127.5 * moved), moved

    def _differences(self, change: Tensor) -> tuple[Tensor, Tensor]:
        """The same by central differences."""
        steps = _STEP * change
        ws = self.posterior.latents(torch.cat([self.mean + steps, self.mean - steps]))
        both = synthesized(self.posterior.prior, ws, self.posterior.settings)
        predicted = -self.posterior.likelihood.residual(both)
        ahead, behind = predicted.chunk(2)
        first, second = both.chunk(2)
        return (ahead - behind) / (2 * _STEP), (first - second) / (2 * _STEP)

    def back(self, seen: Tensor) -> Tensor:
        """S J' R^-1/2 y (k, L D) of observations y (k, M)."""
        if self._graph is None:
            v = self.mean[None].clone().requires_grad_(True)
            self._graph = v, -self.posterior.likelihood.residual(self.posterior.images(v)) * self.weight
        v, predicted = self._graph
        found = []
        for y in seen:
            (back,) = torch.autograd.grad(predicted, v, y.reshape(predicted.shape), retain_graph=True)
            found.append((back * self.scale).flatten(1))
            self.progress.check()
        self.progress.step("laplace")
        return torch.cat(found)

    def prior_change(self, directions: Tensor) -> Tensor:
        """(S Q S - I) d (k, L D) of directions d (k, L D)."""
        d = directions.reshape(-1, *self.scale.shape)
        return (self.scale * self.posterior.coordinates.pull(self.scale * d) - d).flatten(1)

    def gaussian(self, directions: Tensor, gain: Tensor) -> LowRankGaussian:
        """Whose directions (L D, k) are known better by ``gain``."""
        return LowRankGaussian(self.mean, self.scale, directions, gain)
