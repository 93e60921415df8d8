"""RestoringMethod: what the grid asks of a rival or of ours, one slice at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from napari_brgm.evaluation.tasks import Task

    Image = npt.NDArray[np.floating]

__all__ = ["FAMILIES", "MethodFamily", "Restored", "RestoringMethod"]

MethodFamily = Literal["training-free", "linear", "generative", "supervised", "ours"]
FAMILIES: dict[MethodFamily, str] = {
    "training-free": "knows nothing but the slice",
    "linear": "exact posterior of a Gaussian fitted to training slices",
    "generative": "a generative prior of training slices, used in another way than ours",
    "supervised": "a network trained for this one task",
    "ours": "this package, as it comes",
}


@dataclass(frozen=True, slots=True, eq=False)
class Restored:
    """One slice as a method gives it back.

    Attributes
    ----------
    estimate : (R, R) ndarray
        Grey levels 0..255, not clipped; measured pixels need not be put back.
    std : (R, R) ndarray or None
        Its standard deviation in grey levels, where the method gives any.
    widths : (4, R, R) ndarray or None
        Half widths of the intervals of ``calibration.LEVELS`` in standard deviations; None: those of a Gaussian.
    mean : (R, R) ndarray or None
        What the intervals lie round, where it is not the estimate.
    others : dict of (R, R) ndarray
        Further images of the same restoration, by a word ('sample') that is appended to the method's name.
    arrays, record : dict
        What else is kept with the cell, for reports that look at more than images: arrays, and plain values.
    """

    estimate: Image
    std: Image | None = None
    widths: Image | None = None
    mean: Image | None = None
    others: dict[str, Image] = field(default_factory=dict)
    arrays: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)


class RestoringMethod(Protocol):
    """A named way to restore slices. An object serves one process and is made anew in each."""

    @property
    def name(self) -> str:
        """Of files and rows: small letters, digits, hyphens."""

    @property
    def title(self) -> str:
        """Of tables: a few words that a reader knows."""

    @property
    def family(self) -> MethodFamily: ...

    def fingerprint(self) -> dict[str, Any]:
        """Say what the result depends on besides the code, in plain values."""

    def solves(self, task: Task) -> bool:
        """Say whether it can do this task."""

    def prepare(self) -> None:
        """Load or learn what all slices share; may be called again, and its time is not counted."""

    def restore(self, observed: Image, task: Task, seed: int) -> Restored:
        """Restore one observation (h, w) of a task, grey levels; zero in the hole of an in-painting."""
