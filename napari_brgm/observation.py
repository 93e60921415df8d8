"""Observation: what was seen of the generator's image, as one linear operator.

    A = (what of it is measured) o corruption o frame,      I = A x + n,   n_i ~ N(0, variance_i)

x are images (B, C, R, R) of the generator's frame in grey levels 0..255, I an observation (1, C', h, w). Slices of a
stack are the channels of x and of I: masks of their own, and thick slices as weighted sums of thin ones, make one
observation of them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_brgm.corruptions import Frame
from napari_brgm.corruptions.conjugate_gradient import tikhonov_inverse

if TYPE_CHECKING:
    from torch import Tensor

    from napari_brgm.corruptions import LinearOperator
    from napari_brgm.corruptions.axes import Axes

__all__ = ["CoarseObservation", "Observation", "StackObservation", "all_measured"]


@dataclass(frozen=True)
class Observation:
    """How a slice, or a stack of them, came to be seen.

    Attributes
    ----------
    corruption : LinearOperator
        f, on the restored grid (B, C, H, W).
    measured : (1, 1 or C', h, w) Tensor
        1 where a pixel was measured, 0 where it is hidden.
    sigma : float
        Noise of one observed pixel, in grey levels (measurement and representation together).
    weight : (1, 1 or C', h, w) Tensor or None
        sigma^2 / variance of each observed pixel, where the noise differs between pixels; None: 1 everywhere.
    frame : Frame, Axes or None
        From the generator's frame to the grid that f takes; None: they are the same.
    """

    corruption: LinearOperator
    measured: Tensor
    sigma: float
    weight: Tensor | None = None
    frame: Frame | Axes | None = None

    @property
    def linear(self) -> bool:
        return self.corruption.linear

    @cached_property
    def precision(self) -> Tensor:
        """(1, 1 or C', h, w): sigma^2 / variance where measured, 0 where hidden."""
        return self.measured if self.weight is None else self.measured * self.weight

    @property
    def variance(self) -> Tensor:
        """(1, 1 or C', h, w): noise variance of each observed pixel, grey levels squared; infinite where hidden."""
        return self.sigma**2 / self.precision

    def A(self, x: Tensor) -> Tensor:
        """Observe images (B, C, R, R): (B, C', h, w), 0 where nothing was measured."""
        return self.corruption.A(self.native(x)) * self.measured

    def A_adjoint(self, y: Tensor) -> Tensor:
        """The transpose of A: (B, C', h, w) -> (B, C, R, R)."""
        return self.returned(y * self.measured)

    def returned(self, y: Tensor) -> Tensor:
        """The transpose of corruption and frame: (B, C', h, w) -> (B, C, R, R)."""
        if self.frame is None:
            return self.corruption.A_adjoint(y)
        return self.frame.A_adjoint(self.corruption.A_adjoint(y, self.frame.shape))

    def A_dagger(self, y: Tensor, noise_to_signal: float = 0.0, *, iterations: int = 300) -> Tensor:
        """A' (A A' + r I)^-1 y by conjugate gradients, (B, C, R, R)."""
        return tikhonov_inverse(self.A, self.A_adjoint, y, noise_to_signal, iterations=iterations)

    def native(self, x: Tensor) -> Tensor:
        """Images (B, C, R, R) on the restored grid (B, C, H, W)."""
        return x if self.frame is None else self.frame.A(x)


@dataclass(frozen=True)
class StackObservation:
    """How a stack of n slices came to be seen as m: I_j = A_j (sum_i M_ji x_i) + n_j.

    Attributes
    ----------
    each : tuple of Observation
        A_j of the m slices that were measured, each of one channel, of equal shapes.
    profile : (m, n) Tensor or None
        M, the slice profile: how much of each slice of the stack a measured one holds; None: they are the same.
    """

    each: tuple[Observation, ...]
    profile: Tensor | None = None

    @property
    def linear(self) -> bool:
        return all(one.linear for one in self.each)

    @property
    def sigma(self) -> float:
        return self.each[0].sigma

    @cached_property
    def measured(self) -> Tensor:
        """(1, m, h, w)."""
        return torch.cat([one.measured for one in self.each], dim=1)

    @cached_property
    def precision(self) -> Tensor:
        """(1, m, h, w): sigma^2 / variance where measured, 0 where hidden."""
        return torch.cat([one.precision.expand_as(one.measured) for one in self.each], dim=1)

    @property
    def weight(self) -> Tensor:
        return self.precision

    @cached_property
    def _alike(self) -> bool:
        """Whether the same happened to all slices but for what was measured, so that they go through it together."""
        first = self.each[0]
        return all(
            one.corruption == first.corruption and (one.frame is first.frame or _same_grid(one.frame, first.frame))
            for one in self.each
        )

    def A(self, x: Tensor) -> Tensor:
        """Observe stacks (B, n, R, R): (B, m, h, w), 0 where nothing was measured."""
        seen = x if self.profile is None else torch.einsum("ji,bihw->bjhw", self.profile, x)
        if self._alike:
            return self.each[0].corruption.A(self.each[0].native(seen)) * self.measured
        return torch.cat([one.A(seen[:, j : j + 1]) for j, one in enumerate(self.each)], dim=1)

    def A_adjoint(self, y: Tensor) -> Tensor:
        """The transpose of A: (B, m, h, w) -> (B, n, R, R)."""
        if self._alike:
            back = self.each[0].returned(y * self.measured)
        else:
            back = torch.cat([one.A_adjoint(y[:, j : j + 1]) for j, one in enumerate(self.each)], dim=1)
        return back if self.profile is None else torch.einsum("ji,bjhw->bihw", self.profile, back)


@dataclass(frozen=True)
class CoarseObservation:
    """The same observation in coarser pixels: what coarse-to-fine optimisation compares first.

        r_b = sum_{i in b} q_i r_i / n_b,   n_b = sum_{i in b} q_i,   loss = lambda sum_b n_b r_b^2

    over blocks b of s x s pixels, with q the relative precision (0 where hidden): the residual of a block is the mean
    of what was observed in it, and counts as much as its pixels did. A constant residual costs the same at every s;
    one that changes within a block costs less (Jensen), so that the coarse loss is a lower bound of the fine one.

    Source: the multiresolution strategy of Bunks et al., "Multiscale seismic waveform inversion", Geophysics 60
    (1995); BRGM itself has one scale.

    Attributes
    ----------
    fine : Observation
    block : int
        s.
    """

    fine: Observation
    block: int

    @property
    def linear(self) -> bool:
        return self.fine.linear

    @property
    def sigma(self) -> float:
        return self.fine.sigma

    @cached_property
    def weight(self) -> Tensor:
        """(1, 1, h / s, w / s): n_b."""
        return self._summed(self.fine.precision)

    @cached_property
    def measured(self) -> Tensor:
        return (self.weight > 0).to(self.weight)

    @property
    def precision(self) -> Tensor:
        return self.weight

    def A(self, x: Tensor) -> Tensor:
        """Images (B, C, R, R) -> means of blocks (B, C', h / s, w / s)."""
        return self.pooled(self.fine.A(x))

    def pooled(self, y: Tensor) -> Tensor:
        """Means over the blocks of an observation (B, C', h, w), weighted by precision; 0 where all is hidden."""
        share = torch.where(self.weight > 0, 1 / self.weight.clamp(min=1e-30), torch.zeros_like(self.weight))
        return self._summed(y * self.fine.precision) * share

    def _summed(self, x: Tensor) -> Tensor:
        """Sums over blocks of x (B, C, h, w); the last ones are partial."""
        h, w = x.shape[-2:]
        x = F.pad(x, (0, -w % self.block, 0, -h % self.block))
        return F.avg_pool2d(x, self.block) * self.block**2


def _same_grid(a: object, b: object) -> bool:
    return isinstance(a, Frame) and isinstance(b, Frame) and a == b


def all_measured(corruption: LinearOperator, y: Tensor, sigma: float) -> Observation:
    """The observation of which y (1, C', h, w) is all, on the generator's own grid, with what its corruption hides."""
    hidden = corruption.hidden((int(y.shape[-2]), int(y.shape[-1])))
    measured = torch.ones_like(y[:1, :1]) if hidden is None else (~hidden).to(y).reshape(1, -1, *hidden.shape[-2:])
    return Observation(corruption, measured, sigma)
