"""Head: a slice of a whole head of which a prior sees the brain only, as it knows brains without skull.

What lies outside the brain is black to the prior, as in the slices that it was trained on; in the result it is what was
measured, bit for bit. The misfit and the fit of the pose are those of a stripped slice, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.corruptions import Mask, as_corruption
from napari_brgm.engine.provenance import ESTIMATED, NOTICE_ESTIMATED
from napari_brgm.errors import InputError
from napari_brgm.lossless import with_restored
from napari_brgm.samples import Samples, samples_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_brgm.corruptions import Corruption
    from napari_brgm.engine.job import ObservedSlice
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.scans.strip import Brain

__all__ = ["Head"]

Flags = npt.NDArray[np.bool_]
_BRAIN_NOTICE = "Restored by a generative model: every pixel of the brain is an estimate. Not for diagnosis."
_BRAIN_ESTIMATED = "every pixel of the brain is an estimate; none of it is kept as measured"


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One slice of a head.

    Attributes
    ----------
    image : (H, W) ndarray
        As measured, in its own units.
    brain : Brain
        (H, W).
    missing : (H, W) bool ndarray or None
        In-painting: true where missing. None: the whole brain is restored.
    """

    image: npt.NDArray[Any]
    brain: Brain
    missing: Flags | None = None

    @classmethod
    def of(cls, image: npt.ArrayLike, brain: Brain, corruption: Corruption | None = None) -> Head:
        """Look whether slice and brain go together; what is missing is read off the corruption, where it is a mask.

        Raises
        ------
        InputError
            The slice is no (H, W), or the brain lies on another grid.
        """
        array = np.asarray(image)
        if array.ndim != 2:
            raise InputError(f"a head is stripped in gray slices (H, W), and this one has the shape {array.shape}")
        if brain.inside.shape != array.shape:
            raise InputError(
                f"the brain has the shape {brain.inside.shape} but the slice {array.shape}; give that of the slice"
            )
        missing = None
        if corruption is not None:
            f = as_corruption(corruption)
            rows, columns = array.shape
            hidden = f.hidden((rows, columns))
            if hidden is not None and hidden.shape == array.shape and f.kept((rows, columns)) is not None:
                missing = hidden.numpy()
        return cls(array, brain, missing)

    @property
    def hole(self) -> Flags | None:
        """(H, W): what is missing of the brain, and restored; None: the whole brain is."""
        return None if self.missing is None else self.missing & self.brain.inside

    @property
    def stripped(self) -> npt.NDArray[Any]:
        """(H, W) as the prior sees it: outside the brain as dark as the slice can be.

        That is 0 where nothing measured is negative (window.py), else the lowest value.
        """
        measured = np.isfinite(self.image)
        if self.missing is not None:
            measured &= ~self.missing
        least = self.image[measured].min(initial=0) if measured.any() else 0
        return np.where(self.brain.inside, self.image, np.asarray(least, self.image.dtype))

    def observed(self, given: ObservedSlice) -> ObservedSlice:
        """The slice that is restored, of one that was given with the image of the head.

        Its corruption, when its turn comes, refuses a slice without brain or a hole that lies outside it.
        """
        return replace(given, image=self.stripped, corruption=lambda: self._inside(given.corruption))

    def _inside(self, make: Callable[[], Corruption]) -> Corruption:
        if not self.brain.inside.any():
            raise InputError("there is no brain on this slice; choose another one, or restore it without stripping")
        hole = self.hole
        if hole is None:
            return make()
        if not hole.any():
            raise InputError(
                "all that is missing of this slice lies outside the brain, of which alone the prior knows something; "
                "mark a part of the brain"
            )
        return Mask(hole)

    def shown(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An image (H', W') of the stripped slice, on its grid or a finer one, in the head."""
        inside, around = self._on(image.shape)
        return np.where(inside, image, around).astype(image.dtype)

    def beside(self, result: Restoration) -> Restoration:
        """The restored brain in its head: what lies outside counts as measured. The record says who found the brain.

        On a finer grid each pixel outside holds the value of the measured one that it lies in.
        """
        inside, around = self._on(result.shape)
        measured = result.measured | ~inside
        free = ~measured
        drawn: Any = result.samples
        values = drawn.values[:, free[drawn.free]] if isinstance(drawn, Samples) else drawn[:, free]
        return replace(
            result,
            estimate=with_restored(around, free, result.estimate[free]),
            mean=with_restored(around, free, result.mean[free]),
            variance=np.where(free, result.variance, 0).astype(np.float32),
            samples=samples_of(values, free, around),
            measured=measured,
            provenance=self._record(result.provenance),
        )

    def _record(self, record: dict[str, Any]) -> dict[str, Any]:
        left = 0 if self.missing is None else int((self.missing & ~self.brain.inside).sum())
        notes = [_BRAIN_ESTIMATED if note == ESTIMATED else note for note in record.get("notes", ())]
        if left:
            notes.append(
                f"the hole reaches over the rim of the brain: {left} of its pixels lie outside and stay as they were"
            )
        own: dict[str, Any] = {"notes": notes}
        if record.get("notice") == NOTICE_ESTIMATED:
            own["notice"] = _BRAIN_NOTICE
        own["strip"] = {"found_by": self.brain.found_by, "pixels": int(self.brain.inside.sum()), "left_outside": left}
        return record | own

    def _on(self, shape: tuple[int, ...]) -> tuple[Flags, npt.NDArray[Any]]:
        """Brain and head on a grid of so many pixels over the same rectangle."""
        if shape == self.image.shape:
            return self.brain.inside, self.image
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1)
            for n, m in zip(shape, self.image.shape, strict=True)
        )
        place = np.ix_(rows, columns)
        return self.brain.inside[place], self.image[place]
