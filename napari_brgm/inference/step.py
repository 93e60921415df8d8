"""Step and Progress: what an inference reports after each iteration, and to whom."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

__all__ = ["Progress", "Step"]

_SILENCE = 0.25  # seconds after which the told-to is asked again whether to go on


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration of an inference.

    Attributes
    ----------
    phase : str
        'placing' (before the first one), 'map', 'refine', 'laplace', 'ensemble', 'vi' or 'samples' (drawing). The loss
        is nan where there is none.
    iteration, total : int
        1-based number of this step and the number of steps of the whole run of a slice (all phases).
    loss : float
        Value of the objective, dimensionless (a negative log density up to a constant).
    terms : dict[str, float]
        The weighted terms that sum to ``loss``, named as in the paper: 'w', 'colinear', 'pixel', 'perceptual',
        'entropy', 'spread'.
    preview : (H, W) ndarray or None
        Current estimate on the result's grid in the scan's units, every few steps. A step of slices that are restored
        together is then told once for each of them.
    slice, slices : int
        Which slice of the job, from 0, of how many.
    together : int
        How many slices share the step: those of a window, of which ``slice`` is one.
    done : float
        Share of the whole job that is done, 0 .. 1.
    """

    phase: str
    iteration: int
    total: int
    loss: float
    terms: dict[str, float] = field(default_factory=dict)
    preview: npt.NDArray[np.float32] | None = None
    slice: int = 0
    slices: int = 1
    together: int = 1
    done: float = 0.0


class Progress:
    """What the inference of one slice reports to: numbers the steps, keeps their trace, and tells somebody.

    Parameters
    ----------
    tell : callable, optional
        Called with each Step, and again with the last one where that was a quarter of a second ago; what it raises
        (``Cancelled``) ends the inference.
    total : int
        Steps of the whole run; where more come, it is their number.
    preview : callable, optional
        (number of a step, its images (1, C, R, R)) -> its previews, one for each slice that shares it; none: ().

    Attributes
    ----------
    trace : list of dict
        Phase, iteration, loss and terms of each step.
    count : int
        Steps so far.
    """

    def __init__(
        self, tell: Callable[[Step], object] | None = None, total: int = 0,
        preview: Callable[[int, Tensor], Sequence[npt.NDArray[np.float32]]] | None = None,
    ) -> None:  # fmt: skip
        self.trace: list[dict[str, Any]] = []
        self.count, self.total = 0, total
        self._tell, self._preview = tell, preview
        self._last = Step("placing", 0, max(total, 1), math.nan)  # told where that takes long
        self._told = time.monotonic()

    def step(
        self, phase: str, loss: float = math.nan, terms: Mapping[str, float] | None = None,
        images: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Report an iteration, with what the generator draws at it (1, C, R, R)."""
        self.count += 1
        named = dict(terms or {})
        if images is not None:
            self.trace.append({"phase": phase, "iteration": self.count, "loss": loss, **named})
        shown = self._preview(self.count, images) if self._preview is not None and images is not None else ()
        self._last = Step(phase, self.count, max(self.total, self.count), loss, named)
        if not shown:
            self._say(self._last)
        for i, preview in enumerate(shown):
            self._say(replace(self._last, preview=preview, slice=i))

    def check(self) -> None:
        """Ask between steps whether to go on, if nobody was asked for a while."""
        if time.monotonic() - self._told > _SILENCE:
            self._say(self._last)

    def skip(self, count: int) -> None:
        """Number the next step after ``count``, where an inference stopped early."""
        self.count = max(self.count, count)

    def _say(self, step: Step) -> None:
        if self._tell is not None:
            self._tell(step)
        self._told = time.monotonic()
