"""TableMethod: what the table asks of a rival or of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.evaluation.tasks import Task

    Count = Callable[[int, int, str], None]  # parts done, in all, what comes next
    Images = npt.NDArray[np.floating]

__all__ = ["Progressed", "TableMethod"]


@dataclass(frozen=True, slots=True, eq=False)
class Progressed:
    """Slices done so far.

    Attributes
    ----------
    estimates : (n, R, R) or (n, kinds, R, R) ndarray
        Grey levels 0..255, not clipped.
    stds : (n, R, R) ndarray or None
        Their standard deviations in grey levels, where the method gives any.
    seconds : float
        All n slices together, without what is learned once.
    """

    estimates: Images
    stds: Images | None
    seconds: float


class TableMethod(Protocol):
    """A named way to restore slices."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...

    def fingerprint(self) -> dict[str, Any]:
        """Say what the result depends on besides the code, in plain values."""

    def solves(self, task: Task) -> bool:
        """Say whether it can do this task."""

    def measure(
        self, observed: Images, task: Task, done: Progressed | None, keep: Callable[[Progressed], None]
    ) -> Progressed:
        """Restore the observed slices (N, h, w) that are not ``done``; ``keep`` gets what is done now and then."""
