"""The residual field given the data: kriging of what the generator left unexplained.

    y = A (G(w) + e) + n,   e ~ N(0, C),   n ~ N(0, sigma_n^2)
    E[e | y, w]   = C A' (A C A' + sigma_n^2 I)^-1 (y - A G(w))
    a draw        = e0 + C A' (A C A' + sigma_n^2 I)^-1 (y - A (G(w) + e0) - n0)                  (Matheron's rule)

A is the observation. The system is solved by conjugate gradients, batched over samples and preconditioned
(inference/kriging_inverse.py). The slices of a stack are the channels of one image, with a field
(priors/stack_field.py) and an observation of all.
Source: Journel and Huijbregts, "Mining Geostatistics" (1978), Ch. VII; Rasmussen and Williams (2006), Eq. 2.23-2.24.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_brgm.corruptions.conjugate_gradient import solved
from napari_brgm.inference.kriging_inverse import kriging_inverse
from napari_brgm.likelihood import from_grey, to_grey
from napari_brgm.observation import CoarseObservation
from napari_brgm.priors.residual_field import ResidualField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_brgm.inference.cutout import Cutout
    from napari_brgm.likelihood import Likelihood
    from napari_brgm.priors.stack_field import StackField

__all__ = ["Completion", "complete"]

_ITERATIONS = 100
_LARGEST = 1e4  # grey levels; a pixel further off is a fault, and its square would overflow
_TOLERANCE = 1e-3  # of the right-hand side's norm, in that which the preconditioner gives; 0.01 grey levels
_ROUGH_TOLERANCE = 1e-2  # the same where steps are limited; 0.1 grey levels
_STACK_TOLERANCE = 2e-3  # of a stack; less than 0.1 grey levels


def complete(
    images: Tensor, field: ResidualField | StackField, likelihood: Likelihood, noise: float | Tensor,
    generator: torch.Generator | None = None, batch: int | None = None, check: Callable[[], None] | None = None,
    iterations: int | None = None, within: Sequence[Cutout] = (),
) -> Tensor:  # fmt: skip
    """Add the residual field given the data to generator images, once; see ``Completion``."""
    return Completion(field, likelihood, noise, within, check).of(images, generator, batch, iterations)


class Completion:
    """Adds the residual field given the data to generator images.

    Parameters
    ----------
    field : ResidualField or StackField
    likelihood : Likelihood
        With a linear observation.
    noise : float or (1, 1 or m, h, w) Tensor
        Measurement noise of an observed pixel, grey levels, above 0.
    within : sequence of Cutout
        Where it is added; none: everywhere.
    check : callable, optional
        Called before each iteration; what it raises ends the work.
    """

    def __init__(
        self, field: ResidualField | StackField, likelihood: Likelihood, noise: float | Tensor,
        within: Sequence[Cutout] = (), check: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        self.field, self.likelihood, self._check = field, likelihood, check
        self._cuts: Sequence[Cutout | None] = within or (None,)
        self._systems = [_System.of(field, likelihood, noise, cut, check or _go_on) for cut in self._cuts]

    def of(
        self, images: Tensor, generator: torch.Generator | None = None, batch: int | None = None,
        iterations: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Images with it.

        Parameters
        ----------
        images : (B, 1, R, R) Tensor
            G(w), in [-1, 1]; of a stack of n slices (B, n, R, R).
        generator : torch.Generator or None
            None adds the mean of e given y; else each image gets a draw of its own, centred over the batch so that the
            mean of the draws is not noise.
        batch : int or None
            Images solved for at a time, where memory is short; None: all.
        iterations : int or None
            Of conjugate gradients, at most, and no more than a tenth of a grey level asks for; None: as many as the
            answer needs everywhere.
        """
        n = batch or len(images)
        drawn = torch.zeros_like(images) if generator is None else _centred(self.field.sample(len(images), generator))
        shape = (len(images), *self.likelihood.y.shape[1:])
        white = None if generator is None else _white(shape, n, generator)
        found = images.clone()
        for first in range(0, len(images), n):
            some = slice(first, first + n)
            noisy = None if white is None else next(white)
            for system, cut in zip(self._systems, self._cuts, strict=True):
                image, extra, into = (x[some] if cut is None else cut.of_frame(x[some]) for x in (images, drawn, found))
                misfit = system.likelihood.residual(image + extra / 127.5)
                if noisy is not None:
                    there = noisy if cut is None else cut.of_grid(noisy)
                    misfit = misfit - system.noise * there.to(misfit) * system.likelihood.observation.measured
                answer = system.answer(misfit.clamp(-_LARGEST, _LARGEST), iterations, self._check)
                into.copy_(from_grey(to_grey(image) + extra + answer))
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _System:
    """The kriging system of a slice, of a part of it, or of a stack."""

    field: ResidualField | StackField
    likelihood: Likelihood
    noise: float | Tensor
    eased: Callable[[Tensor], Tensor] | None
    tolerance: float

    @classmethod
    def of(
        cls, field: ResidualField | StackField, likelihood: Likelihood, noise: float | Tensor, cut: Cutout | None,
        check: Callable[[], None],
    ) -> _System:  # fmt: skip
        if cut is not None:
            field = cut.field(field) if isinstance(field, ResidualField) else cut.stack_field(field)
            likelihood = cut.likelihood(likelihood)
            noise = cut.of_grid(noise) if isinstance(noise, Tensor) else noise
        observation = likelihood.observation
        assert not isinstance(observation, CoarseObservation)
        tolerance = _TOLERANCE if isinstance(field, ResidualField) else _STACK_TOLERANCE
        return cls(field, likelihood, noise, kriging_inverse(field, observation, noise, check), tolerance)

    def answer(self, misfit: Tensor, iterations: int | None, check: Callable[[], None] | None) -> Tensor:
        """The field's mean (B, n, R, R) given y - A (G(w) + e0) - n0 (B, m, h, w)."""
        observation = self.likelihood.observation
        assert not isinstance(observation, CoarseObservation)

        def normal(z: Tensor) -> Tensor:
            return observation.A(self.field.covariance(observation.A_adjoint(z))) + self.noise**2 * z

        z = solved(
            normal, misfit, iterations=iterations or _ITERATIONS, rest=False, check=check, eased=self.eased,
            tolerance=self.tolerance if iterations is None else max(self.tolerance, _ROUGH_TOLERANCE),
        )  # fmt: skip
        if check is not None:
            check()
        return self.field.covariance(observation.A_adjoint(z))


def _go_on() -> None:
    """Nobody asks to stop."""


def _white(shape: tuple[int, ...], n: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Standard normal numbers (B, C, h, w), ``n`` images at a time and centred over all: made twice where n < B."""
    if n >= shape[0]:
        yield _centred(torch.randn(shape, generator=generator))
        return
    sizes = [min(n, shape[0] - first) for first in range(0, shape[0], n)]
    state = generator.get_state()
    mean = torch.zeros(shape[1:])
    for size in sizes:
        mean += torch.randn(size, *shape[1:], generator=generator).sum(dim=0) / shape[0]
    generator.set_state(state)
    for size in sizes:
        yield (torch.randn(size, *shape[1:], generator=generator) - mean) * (shape[0] / (shape[0] - 1)) ** 0.5


def _centred(draws: Tensor) -> Tensor:
    """Draws (B, ...) with mean 0 over the batch and their variance kept."""
    n = len(draws)
    return draws if n < 2 else (draws - draws.mean(dim=0)) * (n / (n - 1)) ** 0.5
