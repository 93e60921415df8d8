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

from napari_brgm.errors import WeightsError
from napari_brgm.priors.linear_model import LinearModel
from napari_brgm.priors.parts import Line

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.priors.prior import Prior

__all__ = ["LineFit", "linearised", "tangent"]

_SHARE = 0.7  # of the prior's spread
_EACH = 4  # draws for each latent
_TRIED = 128  # further draws, on which the error is measured
_BATCH = 32  # draws between two looks at the clock
_PIXELS = 1 << 20  # of images that are drawn at a time
_STEP = 0.5  # of the differences, in standard deviations
_BLOCKS = 16  # a side
_GRID = 64  # largest side of the grid that the basis is kept on


class LineFit:
    """Regression of a generator's images on its whitened latents, some draws at a time, to go on with later.

    Draws come in pairs u and -u: what is even in u cancels and does not count as noise. The basis is regressed on the
    grid that it is kept on, and the mean is that of the draws.

    Parameters
    ----------
    prior : Prior
        With a Gaussian density of its latents; on any device.

    Attributes
    ----------
    done, total : int
        Draws so far and in all; those on which the error is measured come last.
    """

    def __init__(self, prior: Prior) -> None:
        self.prior, self.done = prior, 0
        rank, self._block = prior.latents.rank, max(prior.resolution // _GRID, 1)
        self._fitted = _BATCH * -(-_EACH * rank // _BATCH)
        self.total = self._fitted + _TRIED
        side = prior.resolution // self._block
        self._gram = torch.zeros(rank, rank, dtype=torch.float64)
        self._right = torch.zeros(rank, prior.channels * side**2, dtype=torch.float64)
        self._mean = torch.zeros(prior.channels, prior.resolution, prior.resolution, dtype=torch.float64)
        self._missed = 0.0
        self._line: LinearModel | None = None

    def more(self) -> None:
        """Draw the next batch."""
        generator = torch.Generator().manual_seed(self.done)
        u = _SHARE * torch.randn(_BATCH // 2, self.prior.latents.rank, generator=generator)
        images = self._images(torch.cat([u, -u]))
        if self.done < self._fitted:
            odd = F.avg_pool2d((images[: len(u)] - images[len(u) :]) / 2, self._block)
            self._gram += (u.T @ u).double()
            self._right += (u.T @ odd.flatten(1)).double()
            self._mean += images.sum(dim=0).double() / self._fitted
        else:
            block = max(self.prior.resolution // _BLOCKS, 1)
            means = F.avg_pool2d(images - self._straight().synthesize(torch.cat([u, -u])[:, None]), block)
            self._missed += float(means.square().mean()) * block**2 * _BATCH / _TRIED
        self.done += _BATCH

    def line(self) -> Line:
        """The line in whitened latents u, when all are done; on the CPU.

        Its model's ``noise_variance`` is that of white noise which weighs like e, measured on further draws.
        """
        straight = self._straight()
        return Line(LinearModel(straight.mean, straight.coarse, self._missed), exact=False)

    def state(self) -> dict[str, Tensor]:
        """What to keep in order to go on later."""
        counts = torch.tensor([self.done, self._missed], dtype=torch.float64)
        return {"gram": self._gram, "right": self._right, "mean": self._mean, "counts": counts}

    def go_on_from(self, state: dict[str, Tensor]) -> None:
        """Take over what was kept.

        Raises
        ------
        WeightsError
            It is of another prior.
        """
        own = self.state()
        if state.keys() != own.keys() or any(state[k].shape != own[k].shape for k in own):
            raise WeightsError("what was kept of this preparation is of other weights; remove it and begin again")
        self._gram, self._right, self._mean = (state[k].double() for k in ("gram", "right", "mean"))
        self.done, self._missed = int(state["counts"][0]), float(state["counts"][1])

    def _straight(self) -> LinearModel:
        if self._line is None:
            basis = torch.linalg.solve(self._gram, self._right).float()
            side = self.prior.resolution // self._block
            coarse = basis.reshape(-1, self.prior.channels, side, side)
            self._line = LinearModel(self._mean.float(), coarse, 0.0)
        return self._line

    def _images(self, u: Tensor) -> Tensor:
        """Images (B, C, R, R) of whitened latents u (B, K), on the CPU."""
        with torch.no_grad():
            w = self.prior.latents.colour(u.to(self.prior.latents.mean))
            ws = w[:, None].expand(-1, self.prior.num_ws, -1)
            few = max(_PIXELS // self.prior.resolution**2, 1)  # images of 1024 px fill the memory one by one
            return torch.cat([self.prior.synthesize(part).float().cpu() for part in torch.split(ws, few)])


def linearised(prior: Prior) -> Line:
    """The line through a prior's draws: all of ``LineFit`` at once."""
    fit = LineFit(prior)
    while fit.done < fit.total:
        fit.more()
    return fit.line()


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
