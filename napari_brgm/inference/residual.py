"""The residual field given the data: kriging of what the generator left unexplained.

    y = A (G(w) + e) + n,   e ~ N(0, C),   n ~ N(0, sigma_n^2)
    E[e | y, w]   = C A' (A C A' + sigma_n^2 I)^-1 (y - A G(w))
    a draw        = e0 + C A' (A C A' + sigma_n^2 I)^-1 (y - A (G(w) + e0) - n0)                  (Matheron's rule)

A is the observation. The system is solved by conjugate gradients, batched over samples. The slices of a stack are the
channels of one image, with a field (priors/stack_field.py) and an observation of all. Their system is preconditioned
(inference/kriging_inverse.py): correlated slices make it so ill-conditioned that 60 plain steps left a tenth of it.
Source: Journel and Huijbregts, "Mining Geostatistics" (1978), Ch. VII; Rasmussen and Williams (2006), Eq. 2.23-2.24.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_brgm.corruptions.conjugate_gradient import solved
from napari_brgm.inference.kriging_inverse import kriging_inverse, pixel_inverse
from napari_brgm.likelihood import from_grey, to_grey
from napari_brgm.observation import StackObservation
from napari_brgm.priors.stack_field import StackField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    from napari_brgm.likelihood import Likelihood
    from napari_brgm.observation import Observation
    from napari_brgm.priors.residual_field import ResidualField

__all__ = ["complete"]

_ITERATIONS = 60
_LARGEST = 1e4  # grey levels; a pixel further off is a fault, and its square would overflow
_TOLERANCE = 1e-3  # of the right-hand side's norm
_STACK_TOLERANCE = 5e-3  # of a stack, in the norm that its preconditioner gives; 0.05 grey levels


def complete(
    images: Tensor, field: ResidualField | StackField, likelihood: Likelihood, noise: float,
    generator: torch.Generator | None = None, batch: int | None = None, check: Callable[[], None] | None = None,
    iterations: int | None = None,
) -> Tensor:  # fmt: skip
    """Add the residual field given the data to generator images.

    Parameters
    ----------
    images : (B, 1, R, R) Tensor
        G(w), in [-1, 1]; of a stack of n slices (B, n, R, R).
    field : ResidualField or StackField
    likelihood : Likelihood
        With a linear observation.
    noise : float
        Measurement noise of an observed pixel, grey levels, above 0.
    generator : torch.Generator or None
        None adds the mean of e given y; else each image gets a draw of its own, centred over the batch so that the mean
        of the draws is not noise.
    batch : int or None
        Images solved for at a time, where memory is short; None: all.
    check : callable, optional
        Called before each iteration; what it raises ends the work.
    iterations : int or None
        Of conjugate gradients, at most; None: as many as the answer needs everywhere.
    """
    observation: Observation | StackObservation = likelihood.observation  # type: ignore[assignment]
    n = batch or len(images)
    drawn = torch.zeros_like(images) if generator is None else _centred(field.sample(len(images), generator))
    shape = (len(images), *likelihood.y.shape[1:])
    white = None if generator is None else _white(shape, n, generator)

    def normal(z: Tensor) -> Tensor:
        return observation.A(field.covariance(observation.A_adjoint(z))) + noise**2 * z

    eased: Callable[[Tensor], Tensor] | None
    tolerance = _TOLERANCE
    if isinstance(field, StackField):
        assert isinstance(observation, StackObservation)
        eased, tolerance = kriging_inverse(field, observation, noise), _STACK_TOLERANCE
    else:
        assert not isinstance(observation, StackObservation)
        eased = pixel_inverse(field, observation, noise)
    found = []
    for image, extra in zip(torch.split(images, n), torch.split(drawn, n), strict=True):
        misfit = likelihood.residual(image + extra / 127.5)
        if white is not None:
            misfit = misfit - noise * next(white).to(misfit) * observation.measured
        misfit = misfit.clamp(-_LARGEST, _LARGEST)
        z = solved(
            normal, misfit, iterations=iterations or _ITERATIONS, tolerance=tolerance, rest=False, check=check,
            eased=eased,
        )  # fmt: skip
        found.append(field.covariance(observation.A_adjoint(z)))
    return from_grey(to_grey(images) + drawn + torch.cat(found))


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
