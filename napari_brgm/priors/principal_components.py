"""Principal components of images, found as even and odd ones where the anatomy is symmetric."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_brgm.errors import InputError

__all__ = ["principal_components"]

_FEW = 1500  # images, or pixels: the eigenvectors are then found exactly
_SPARE = 60  # directions more than are wanted, in the subspace iteration
_ROUNDS = 3


def principal_components(
    images: Tensor, components: int, *, mirror: bool = False, grid: int | None = None
) -> tuple[Tensor, Tensor, float]:
    """Probabilistic PCA.

    Parameters
    ----------
    images : (N, C, R, R) Tensor
    components : int
    mirror : bool
        Add the left-right reflection of every image (for anatomy that is symmetric): the components are then even or
        odd, and are found separately.
    grid : int or None
        Side r of the grid on which the components are found and kept, a divisor of R; None: R.

    Returns
    -------
    (C, R, R) Tensor, (K, C, r, r) Tensor, float
        Mean, components as long as the standard deviation along them, and the variance of a pixel outside them.

    Raises
    ------
    InputError
        There are not more images than components.

    Source: Tipping and Bishop, "Probabilistic Principal Component Analysis", 1999.
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
    return mean, basis[order], noise


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
