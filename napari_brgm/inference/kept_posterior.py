"""KeptPosterior: the exact posterior of a straight line, kept while a few observed pixels come and go.

    P = I + sum_i b_i b_i' / s_i^2,   q = sum_i b_i r_i / s_i^2,   w | y ~ N(P^-1 q, P^-1)

b_i is what pixel i sees of the components, r_i what it sees beyond the mean. A pixel that is hidden, or found, takes
its own term out or brings it in: the rank of the change, not of the image. Where that is nearly all of the pixels, the
sums are made anew.

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), Eq. 2.8; Hager, "Updating the inverse
of a matrix", SIAM Review 31 (1989) (of the matrix itself, which is factored again: it is small).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.inference.cutout import cutout
from napari_brgm.inference.gaussians import centred_normal
from napari_brgm.likelihood import GreyLevels
from napari_brgm.observation import Observation
from napari_brgm.priors.linear_model import gram

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_brgm.inference.cutout import Box
    from napari_brgm.likelihood import Likelihood
    from napari_brgm.priors.linear_model import LinearModel

__all__ = ["KeptPosterior"]

_AT_ONCE = 128  # components that are observed together
_ANEW = 0.25  # of the pixels: where more than that change


class KeptPosterior:
    """The posterior of whitened latents u under observations that differ in what they hide.

    Parameters
    ----------
    model : LinearModel
        In whitened latents.
    likelihood : Likelihood
        Of a corruption that keeps pixels as they are, or hides them.
    pixel : (float, float)
        Size of an observed pixel, in frame pixels.
    precision : float
        Of an observed pixel of relative precision 1, per grey level squared.
    check : callable, optional
        Called now and then; what it raises ends the work.

    Attributes
    ----------
    mean : (K,) Tensor
    """

    def __init__(
        self, model: LinearModel, likelihood: Likelihood, pixel: tuple[float, float], precision: float,
        check: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self._model, self._pixel, self._precision = model, pixel, precision
        self._begin(likelihood, check)

    def _begin(self, likelihood: Likelihood, check: Callable[[], None] | None) -> None:
        operator = GreyLevels(likelihood.observation)
        shifted = likelihood.y - operator.A(torch.ones_like(self._model.mean)[None])
        gram, right = self._model.normal(shifted, operator, check)
        self._gram, self._right, self._likelihood = gram.double(), right[:, 0].double(), likelihood
        self._solve()

    def observe(self, likelihood: Likelihood, check: Callable[[], None] | None = None) -> None:
        """Take another observation on the same grid, in its place."""
        before = self._likelihood
        changed = ((_precision(before) != _precision(likelihood)) | (before.y != likelihood.y))[0, 0]
        if float(changed.float().mean()) > _ANEW:
            self._begin(likelihood, check)
            return
        at = changed.nonzero()
        if len(at):
            (top, left), (bottom, right) = at.amin(dim=0).tolist(), (at.amax(dim=0) + 1).tolist()
            self._exchange((top, left, bottom, right), changed, before, likelihood, check)
            self._likelihood = likelihood
            self._solve()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw latents (n, K), n > 1, with their mean where that of the posterior is."""
        white = centred_normal(n, tuple(self.mean.shape), generator).to(self._factor)
        deviations: Tensor = torch.linalg.solve_triangular(self._factor.T, white.T, upper=True).T
        return self.mean + deviations.to(self.mean)

    def _exchange(
        self, box: Box, changed: Tensor, before: Likelihood, after: Likelihood, check: Callable[[], None] | None
    ) -> None:  # fmt: skip
        """Take the terms of changed pixels (h, w), which lie in ``box``, out of the sums and bring the new ones in."""
        observation = after.observation
        assert isinstance(observation, Observation)
        cut = cutout(box, observation.frame, self._pixel, self._model.resolution)
        there = cut.of_grid(changed).flatten().nonzero()[:, 0]
        mean = cut.of_frame(self._model.mean)[None]
        parts = [cut.likelihood(whole) for whole in (before, after)]
        known = [_precision(part).flatten()[there] for part in parts]
        missed_before, missed = (p * part.residual(mean).flatten()[there] for p, part in zip(known, parts, strict=True))
        native = parts[1].observation
        assert isinstance(native, Observation)
        seen = torch.empty(self._model.rank, len(there), device=mean.device)
        for first in range(0, self._model.rank, _AT_ONCE):
            if check is not None:
                check()
            some = native.native(self._model.components(first, first + _AT_ONCE, cut.corner, cut.side)).flatten(1)
            torch.mul(some.index_select(1, there), 127.5, out=seen[first : first + _AT_ONCE])
        self._right += (seen @ (missed - missed_before)).double()
        self._gram += gram(seen, check, known[1] - known[0])

    def _solve(self) -> None:
        precision = self._gram * self._precision
        precision.diagonal().add_(1.0)
        self._factor = torch.linalg.cholesky(precision)
        right = self._right[:, None] * self._precision
        self.mean = torch.cholesky_solve(right, self._factor)[:, 0].to(self._model.mean)


def _precision(likelihood: Likelihood) -> Tensor:
    assert isinstance(likelihood.observation, Observation)
    return likelihood.observation.precision
