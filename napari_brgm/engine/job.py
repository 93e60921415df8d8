"""Job: slices to restore with one prior; what API, shell, widgets and evaluation build alike. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.settings import preset

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.alignment import Alignment
    from napari_brgm.engine.second_scan import SecondScan
    from napari_brgm.priors.prior import Prior
    from napari_brgm.settings import InferenceSettings

__all__ = ["Job", "Later", "ObservedSlice", "Stack"]


@dataclass(frozen=True, slots=True, eq=False)
class ObservedSlice:
    """One slice and what happened to it.

    Attributes
    ----------
    image : (H, W) or (H, W, 3) array-like, or None
        The observation, in any real units; for ``Downsample`` the low-resolution image. None: nothing of the slice was
        measured, and only its neighbours tell of it.
    corruption : callable
        Gives what happened to it, when its turn comes: a mask that cannot be used costs only its own slice. Where
        nothing was measured it hides what is restored; ``Identity``: all of it.
    spacing : (float, float) or None
        Pixel size (row, column) of ``image`` in mm; None: the prior's own (times the factor for super-resolution).
    noise_sigma : float or None
        Standard deviation of its noise in its own units; None: estimated from it.
    second : SecondScan or None
        What another scan of the patient saw of the same slice; of in-painting.
    """

    image: npt.ArrayLike | None
    corruption: Callable[[], Corruption]
    spacing: tuple[float, float] | None = None
    noise_sigma: float | None = None
    second: SecondScan | None = None


class Later:
    """An image that is not read before it is wanted: an array-like.

    Parameters
    ----------
    read : callable
        Gives the (H, W) array.
    """

    def __init__(self, read: Callable[[], npt.NDArray[Any]]) -> None:
        self._read = read

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        found = self._read()
        return found if dtype is None else found.astype(dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """How the slices of a job lie one above the other, so that they are restored together.

    Attributes
    ----------
    places : tuple of float
        Of each slice of the job along their normal, mm, ascending.
    neighbours : tuple of (float, (H, W) array-like)
        Places and images of slices between and beside them that were measured throughout, on the same grid. Those near
        enough to help are read.
    thin : tuple of float
        Places of the thin slices that are restored, where those of the job are weighted sums of such; ascending, and
        empty where the job's own are restored.
    profile : (len(places), len(thin)) ndarray or None
        How much of each thin slice one of the job's holds; rows sum to 1.
    """

    places: tuple[float, ...]
    neighbours: tuple[tuple[float, npt.ArrayLike], ...] = ()
    thin: tuple[float, ...] = ()
    profile: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What is to be restored, and how; ``engine.run.run`` does it.

    Attributes
    ----------
    slices : tuple of ObservedSlice
        At least one.
    prior : Prior
    settings : InferenceSettings or None
        None: the preset that suits the prior (``prior.info.preset``).
    method : {'map', 'laplace', 'vi'}
        See ``napari_brgm.restore``, as for the rest.
    samples : int
        Draws behind mean and variance, at least 2.
    seed : int
        The same seed gives sample k of all slices the same random numbers.
    device : str
    alignment : Alignment or None
        Taken as it is for all slices; None: as the settings say.
    stack : Stack or None
        How the slices lie to each other; None: each is restored by itself, and neighbours are not made to agree.
    """

    slices: tuple[ObservedSlice, ...]
    prior: Prior
    settings: InferenceSettings | None = None
    method: str = "map"
    samples: int = 32
    seed: int = 0
    device: str = "auto"
    alignment: Alignment | None = None
    stack: Stack | None = None

    @property
    def count(self) -> int:
        """Restorations that there will be."""
        return len(self.stack.thin) if self.stack is not None and self.stack.thin else len(self.slices)

    @property
    def draws(self) -> int:
        """Draws that there will be: none after MAP with the released objective, which is no log density."""
        settings = self.settings or preset(self.prior.info.preset)
        return 0 if settings.objective == "released" and self.method == "map" else self.samples
