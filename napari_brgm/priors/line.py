"""The straight line through a generator's draws, for generators without a linear part of their own.

    G(mu + T u) = mean + sum_k u_k basis_k + e,   u = 0.7 z,  z ~ N(0, I)        least squares over draws

Its linear-Gaussian posterior, with e added to the noise, is where MAP starts and what preconditions it; the posterior
itself stays that of G. e is correlated: it counts as the white noise that moves means of blocks as much. The draws are
pulled towards the mean because posterior means are: with z itself MAP began 0.60 and 0.67 of the loss above its
minimum, so 0.46 and 0.47 (latent convolutional model, in-painting and super-resolution of a brain slice).

``tangent`` is the line at the mean instead, along the leading latents: from few draws, good enough for poses.

Source: statistical linearisation (Gelb, "Applied Optimal Estimation", 1974, Sec. 6.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.parts import Line

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.priors.prior import Prior

__all__ = ["linearised", "tangent"]

_SHARE = 0.7  # of the prior's spread
_EACH = 8  # draws for each latent
_TRIED = 128  # further draws, on which the error is measured
_BATCH = 32
_STEP = 0.5  # of the differences, in standard deviations
_BLOCKS = 16  # a side
_GRID = 64  # largest side of the grid that the basis is kept on


def linearised(prior: Prior) -> Line:
    """Regress the generator's images on its whitened latents.

    Parameters
    ----------
    prior : Prior
        With a Gaussian density of its latents; on any device.

    Returns
    -------
    Line
        In whitened latents u; its model's ``noise_variance`` is that of white noise which weighs like e, measured on
        further draws. On the CPU.
    """
    generator = torch.Generator().manual_seed(0)
    size = prior.latents.rank
    pixels = prior.channels * prior.resolution**2
    gram = torch.zeros(size + 1, size + 1, dtype=torch.float64)
    right = torch.zeros(size + 1, pixels)
    for count in _batches(_EACH * size):
        u, images = _drawn(prior, count, generator)
        design = torch.cat([torch.ones(count, 1), u], dim=1)
        gram += (design.T @ design).double()
        right += design.T @ images.flatten(1)
    fitted = torch.linalg.solve(gram, right.double()).float()  # (1 + K, C R R)
    side = (prior.channels, prior.resolution, prior.resolution)
    coarse = F.avg_pool2d(fitted[1:].reshape(-1, *side), max(prior.resolution // _GRID, 1))
    straight = LinearModel(fitted[0].reshape(side), coarse, 0.0)
    missed, block = 0.0, max(prior.resolution // _BLOCKS, 1)
    for count in _batches(_TRIED):
        u, images = _drawn(prior, count, generator)
        means = F.avg_pool2d(images - straight.synthesize(u[:, None]), block)
        missed += float(means.square().mean()) * count
    return Line(LinearModel(straight.mean, coarse, block**2 * missed / _TRIED), exact=False)


def tangent(prior: Prior, leading: int = 48) -> Line:
    """Differences of the generator's images round the mean, along the leading of its whitened latents.

    Parameters
    ----------
    prior : Prior
        With whitened latents that are ordered by what they explain; on any device.
    leading : int
        How many of them.

    Returns
    -------
    Line
        Incomplete; on the device of the prior.
    """
    rank = prior.latents.rank
    steps = _STEP * torch.eye(rank, device=prior.latents.mean.device)[: min(leading, rank)]

    def images(u: Tensor) -> Tensor:
        with torch.no_grad():
            w = prior.latents.colour(u)
            return torch.cat([
                prior.synthesize(part[:, None].expand(-1, prior.num_ws, -1)) for part in torch.split(w, _BATCH // 2)
            ])  # fmt: skip

    basis = (images(steps) - images(-steps)) / (2 * _STEP)
    mean = images(steps.new_zeros(1, rank))[0]
    return Line(LinearModel(mean, basis, 0.0), exact=False, complete=False)


def _batches(total: int) -> list[int]:
    return [min(_BATCH, total - done) for done in range(0, total, _BATCH)]


def _drawn(prior: Prior, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Whitened latents (count, K) and their images (count, C, R, R), on the CPU."""
    u = _SHARE * torch.randn(count, prior.latents.rank, generator=generator)
    with torch.no_grad():
        w = prior.latents.colour(u.to(prior.latents.mean))
        return u, prior.synthesize(w[:, None].expand(-1, prior.num_ws, -1)).float().cpu()
