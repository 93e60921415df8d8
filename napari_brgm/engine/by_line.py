"""By the line: a slice as the exact posterior mean of a prior's own line has it, for what is asked before any run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from napari_brgm.corruptions import Identity, Mask
from napari_brgm.engine.observed import observe
from napari_brgm.posterior import Posterior
from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from torch import Tensor

    from napari_brgm.engine.observed import Problem
    from napari_brgm.priors.prior import Prior

__all__ = ["ByLine", "by_line"]


class ByLine(NamedTuple):
    """The problem of the slice, and the image (1, C, R, R) in [-1, 1] that explains it best."""

    problem: Problem
    shown: Tensor


def by_line(
    image: npt.ArrayLike, prior: Prior, spacing: tuple[float, float] | None, hidden: npt.NDArray[Any] | None = None,
    check: Callable[[], None] | None = None,
) -> ByLine | None:  # fmt: skip
    """Explain a slice (H, W) but for its ``hidden`` pixels; None where the prior has no line of its own.

    Raises
    ------
    InputError
        The slice cannot be used.
    """
    line = prior.parts.line
    if line is None or not line.exact:
        return None
    corruption = Identity() if hidden is None or not hidden.any() else Mask(hidden)
    problem = observe(image, corruption, prior, spacing=spacing, check=check)
    settings = preset(prior.info.preset).but(prior_density="gaussian")  # a mixture's latents have another centre
    posterior = Posterior(prior, problem.likelihood, settings, check=check).linear
    if posterior is None:
        return None
    return ByLine(problem, line.whitened.synthesize(posterior.mean[None, None]))
