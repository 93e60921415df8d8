"""Linear-Gaussian prior: probabilistic PCA, the one generator whose posterior is known exactly.

    G(w) = mean + sum_k w_k basis_k,   w ~ N(0, I_K)
    y    = A G(w) + noise,             noise ~ N(0, sigma^2 I)
    p(w | y) = N(w_hat, S),  S = (I + B' B / sigma^2)^-1,  w_hat = S B' (y - A mean) / sigma^2,  B = A basis

Source: Tipping and Bishop, "Probabilistic Principal Component Analysis", J. R. Stat. Soc. B 61 (1999), Sec. 3; the
posterior is the standard Gaussian one (Bishop, PRML, Eq. 2.113-2.117).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_brgm.errors import InputError
from napari_brgm.priors.prior import LatentStatistics, PriorInfo

__all__ = ["GaussianPosterior", "LinearGaussian"]

LinearMap = Callable[[Tensor], Tensor]
_FEW = 1500  # images, or pixels: the eigenvectors are then found exactly
_SPARE = 60  # directions more than are wanted, in the subspace iteration
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class GaussianPosterior:
    """p(w | y) = N(mean, covariance) of a linear-Gaussian model.

    Attributes
    ----------
    mean : (K,) Tensor
    precision : (K, K) Tensor
        Inverse of the covariance.
    """

    mean: Tensor
    precision: Tensor

    @property
    def covariance(self) -> Tensor:  # (K, K)
        covariance: Tensor = torch.cholesky_inverse(torch.linalg.cholesky(self.precision))
        return covariance

    @property
    def mean_field_std(self) -> Tensor:
        """(K,) standard deviations of the best diagonal q in KL(q || p): 1 / sqrt of the precision's diagonal."""
        return self.precision.diagonal().rsqrt()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n latents (n, K)."""
        factor = torch.linalg.cholesky(self.precision)  # precision = F F'
        noise = torch.randn(len(self.mean), n, generator=generator, dtype=torch.float64)
        noise = noise.to(factor)
        deviations: Tensor = torch.linalg.solve_triangular(factor.T, noise, upper=True)
        return self.mean + deviations.T


def _components(centred: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """At most ``most`` variances (k,) and scaled principal directions (k, P) of centred images (N, P).

    The Gram matrix where the images are few; else subspace iteration (Halko, Martinsson and Tropp, arXiv 0909.4061,
    Algorithm 4.4).
    """
    n, p = centred.shape
    if min(n, p) <= _FEW or 3 * most > min(n, p):
        values, vectors = torch.linalg.eigh(centred @ centred.T)  # (N,), (N, N)
        values, vectors = values.flip(0)[:most], vectors.flip(1)[:, :most]
        return values.clamp(min=0) / n, (vectors.T @ centred) / n**0.5
    generator = torch.Generator().manual_seed(0)
    q = torch.linalg.qr(torch.randn(p, most + _SPARE, generator=generator).to(centred)).Q  # (P, k)
    for _ in range(_ROUNDS):
        q = torch.linalg.qr(centred.T @ (centred @ q)).Q
    values, vectors = torch.linalg.eigh((centred @ q).T @ (centred @ q))
    values, vectors = values.flip(0)[:most].clamp(min=0) / n, vectors.flip(1)[:, :most]
    return values, values.sqrt()[:, None] * (vectors.T @ q.T)


def _refined(coarse: Tensor, size: int) -> Tensor:
    """Images (N, C, r, r) on a grid of side ``size``: bicubic, half-pixel centres."""
    if coarse.shape[-1] == size:
        return coarse
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False)


class LinearGaussian:
    """Probabilistic PCA as a prior (see the module's equations).

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

    num_ws = 1
    linearisation = None
    residual = None
    encoder = None
    mapping = None
    unbent_latents = None
    network = None
    preset = "default"

    def __init__(self, mean: Tensor, basis: Tensor, noise_variance: float, info: PriorInfo | None = None) -> None:
        if basis.ndim != 4 or basis.shape[1] != mean.shape[0] or mean.shape[-1] % basis.shape[-1]:
            raise InputError(f"basis {tuple(basis.shape)} must be (K, C, r, r) with mean {tuple(mean.shape)}")
        self.mean, self.coarse, self.noise_variance = mean, basis, noise_variance
        self.info = info or PriorInfo("linear-gaussian", representation_sigma=127.5 * noise_variance**0.5)
        self.latents = LatentStatistics.standard(len(basis)).to(mean.device)
        self._whitened_for: tuple[LatentStatistics, LinearGaussian] = (self.latents, self)

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
    def w_dim(self) -> int:
        return len(self.coarse)

    @property
    def linear_part(self) -> LinearGaussian:
        return self

    @property
    def alignment(self) -> LinearGaussian:
        return self

    @classmethod
    def fit(
        cls, images: Tensor, components: int, info: PriorInfo | None = None, *, mirror: bool = False,
        grid: int | None = None,
    ) -> LinearGaussian:  # fmt: skip
        """Fit to images (N, C, R, R) in [-1, 1].

        ``grid`` is the side r of the grid on which the components are found and kept (a divisor of R; default R).

        ``mirror`` adds the left-right reflection of every image (for anatomy that is symmetric): the components are
        then even or odd, and are found separately.

        Raises
        ------
        InputError
            There are not more images than components.
        """
        n = len(images)
        if not 0 < components < n:
            raise InputError(f"{n} images cannot give {components} components; ask for fewer than there are images")
        size = images.shape[-1]
        if grid is not None and (grid < 1 or size % grid):
            raise InputError(f"the components' grid {grid} must divide the images' side {size}")
        mean = images.float().mean(dim=0)
        small = F.avg_pool2d(images.float(), size // (grid or size)).clone()
        centre = small.mean(dim=0)
        if mirror:
            mean, centre = (mean + mean.flip(-1)) / 2, (centre + centre.flip(-1)) / 2
        small -= centre
        if mirror and small.shape[-1] % 2 == 0:  # even and odd parts are known from their left halves
            left, right = small[..., : small.shape[-1] // 2], small.flip(-1)[..., : small.shape[-1] // 2]
            parts = [((left + sign * right) / 2**0.5, sign) for sign in (1, -1)]
        elif mirror:
            parts = [((small + sign * small.flip(-1)) / 2, 0) for sign in (1, -1)]
        else:
            parts = [(small, 0)]
        total = sum(float(part.square().sum()) for part, _ in parts) / n
        found = []
        for part, sign in parts:
            variance, directions = _components(part.flatten(1), components)
            directions = directions.reshape(-1, *part.shape[1:])
            if sign:
                directions = torch.cat([directions, sign * directions.flip(-1)], dim=-1) / 2**0.5
            found.append((variance, directions))
        variances, basis = (torch.cat(kind) for kind in zip(*found, strict=True))
        order = variances.argsort(descending=True)[:components]
        left_out = max(total - float(variances[order].sum()), 0.0)
        noise = left_out / max(centre.numel() - components, 1)  # Tipping and Bishop, Eq. 8
        return cls(mean, basis[order], noise, info)

    def with_network(self, network: nn.Module) -> LinearGaussian:
        """There is no network beside the latents that could be exchanged."""
        raise InputError(f"{self.info.name} has no network to exchange")

    def synthesize(self, ws: Tensor, noise: str = "none") -> Tensor:
        """Images (B, C, R, R) of ws (B, 1, K)."""
        flat = ws[:, 0].to(self.coarse.dtype) @ self.coarse.flatten(1)  # (B, C r r)
        return self.mean + _refined(flat.reshape(len(ws), *self.coarse.shape[1:]), self.resolution)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draw n images (n, C, R, R) from the prior, without the pixel noise."""
        z = torch.randn(n, 1, self.w_dim, generator=torch.Generator().manual_seed(seed))
        return self.synthesize(z.to(self.mean.device))

    def encode(self, images: Tensor) -> Tensor:
        """Latents (B, K) of images (B, C, R, R) by least squares."""
        flat = self.basis.flatten(1)
        gram = flat @ flat.T
        right = flat @ (images - self.mean).flatten(1).T
        latents: Tensor = torch.linalg.solve(gram, right).T
        return latents

    def whitened(self, latents: LatentStatistics) -> LinearGaussian:
        """The same images from latents u ~ N(0, I) where w ~ N(``latents``): w = mean + factor u."""
        if latents is self._whitened_for[0]:
            return self._whitened_for[1]
        mean = self.synthesize(latents.mean[None, None])[0]
        basis = (latents.factor.T @ self.coarse.flatten(1)).reshape(self.coarse.shape)
        found = LinearGaussian(mean, basis, self.noise_variance, self.info)
        self._whitened_for = (latents, found)  # one product of the basis' size, kept for the next restoration
        return found

    def posterior(self, observation: Tensor, linear_map: LinearMap, noise_variance: float) -> GaussianPosterior:
        """Exact posterior of w given y = A G(w) + N(0, noise_variance).

        Parameters
        ----------
        observation : Tensor
            y, (1, ...) the shape of ``linear_map`` applied to an image (1, C, R, R).
        linear_map : callable
            A, batched; masked-out entries come out as zero on both sides.
        noise_variance : float
            In units of the [-1, 1] range squared, above zero.
        """
        if not noise_variance > 0:
            raise InputError(f"noise_variance must be above 0, got {noise_variance}")
        b = linear_map(self.basis).flatten(1)  # (K, M)
        y = (observation - linear_map(self.mean[None])).flatten()  # (M,)
        precision = (b @ b.T).double() / noise_variance
        precision.diagonal().add_(1.0)
        right = (b @ y).double() / noise_variance
        mean = torch.cholesky_solve(right[:, None], torch.linalg.cholesky(precision))[:, 0]
        return GaussianPosterior(mean.to(b.dtype), precision.to(b.dtype))

    def posterior_mean(self, observation: Tensor, linear_map: LinearMap, noise_variance: float) -> Tensor:
        """Image (C, R, R), the exact posterior mean of G(w)."""
        return self.synthesize(self.posterior(observation, linear_map, noise_variance).mean[None, None])[0]

    def to(self, device: torch.device | str) -> LinearGaussian:
        return LinearGaussian(self.mean.to(device), self.coarse.to(device), self.noise_variance, self.info)
