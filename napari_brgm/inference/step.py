"""Step: what an inference reports after each iteration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration of an inference.

    Attributes
    ----------
    phase : str
        'map', 'vi' or 'samples' (drawing; the loss is then nan).
    iteration, total : int
        1-based number of this step and the number of steps of the whole run (all phases).
    loss : float
        Value of the objective, dimensionless (a negative log density up to a constant).
    terms : dict[str, float]
        The weighted terms that sum to ``loss``, named as in the paper: 'w', 'colinear', 'pixel', 'perceptual',
        'entropy', 'spread'.
    preview : (H, W) ndarray or None
        Current estimate on the result's grid in the scan's units, every few steps.
    """

    phase: str
    iteration: int
    total: int
    loss: float
    terms: dict[str, float] = field(default_factory=dict)
    preview: npt.NDArray[np.float32] | None = None
