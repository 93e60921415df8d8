"""Head: a slice of a whole head of which a prior sees the brain only, as it knows brains without skull.

What lies outside the brain is black to the prior, as in the slices that it was trained on; in the result it is what was
given, bit for bit. The misfit and the fit of the pose are those of a stripped slice, too. Pixels outside that are
missing, or no numbers, stay as they are and are not called measured: nothing is known of them.
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

__all__ = ["Head", "variance_of_guess"]

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
            The slice is no (H, W) of real numbers, or the brain lies on another grid.
        """
        array = np.asarray(image)
        if array.ndim != 2:
            raise InputError(f"a head is stripped in gray slices (H, W), and this one has the shape {array.shape}")
        if array.dtype.kind not in "biuf":
            raise InputError(f"the image must hold real numbers, got {array.dtype}")
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
    def known(self) -> Flags:
        """(H, W): what was measured, all of the head."""
        numbers: Flags = np.isfinite(self.image)
        return numbers if self.missing is None else numbers & ~self.missing

    @property
    def stripped(self) -> npt.NDArray[Any]:
        """(H, W) as the prior sees it: outside the brain as dark as the slice can be.

        That is 0 where nothing measured is negative (window.py), else the lowest value.
        """
        known = self.known
        least = self.image[known].min(initial=0) if known.any() else 0
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
        inside, around = (self._on(image.shape, one) for one in (self.brain.inside, self.image))
        return np.where(inside, image, around).astype(image.dtype)

    def beside(self, result: Restoration) -> Restoration:
        """The restored brain in its head: what lies outside counts as measured. The record says who found the brain.

        On a finer grid each pixel outside holds the value of the measured one that it lies in. What of it was missing
        or is no number does not count: it stays as it was, with the variance of a uniform guess.
        """
        inside, around, known = (self._on(result.shape, one) for one in (self.brain.inside, self.image, self.known))
        restored = inside & ~result.measured
        free = restored | ~(inside | known)
        drawn: Any = result.samples
        values = np.tile(around[free].astype(np.float32), (len(drawn), 1))
        values[:, restored[free]] = (
            drawn.values[:, restored[drawn.free]] if isinstance(drawn, Samples) else drawn[:, restored]
        )
        variance = np.where(restored, result.variance, 0).astype(np.float32)
        variance[free & ~restored] = variance_of_guess(result)
        return replace(
            result,
            estimate=with_restored(around, restored, result.estimate[restored]),
            mean=with_restored(around, restored, result.mean[restored]),
            variance=variance,
            samples=samples_of(values, free, around),
            measured=~free,
            provenance=self._record(result.provenance),
        )

    def _record(self, record: dict[str, Any]) -> dict[str, Any]:
        left = 0 if self.missing is None else int((self.missing & ~self.brain.inside).sum())
        notes = [_BRAIN_ESTIMATED if note == ESTIMATED else note for note in record.get("notes", ())]
        if left:
            notes.append(
                f"the hole reaches over the rim of the brain: {left} of its pixels lie outside and stay as they were, "
                "with the variance of a uniform guess"
            )
        own: dict[str, Any] = {"notes": notes}
        if record.get("notice") == NOTICE_ESTIMATED:
            own["notice"] = _BRAIN_NOTICE
        own["strip"] = {"found_by": self.brain.found_by, "pixels": int(self.brain.inside.sum()), "left_outside": left}
        return record | own

    def _on(self, shape: tuple[int, ...], image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """An image of this slice on a grid of so many pixels over the same rectangle."""
        if shape == image.shape:
            return image
        rows, columns = (
            np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1)
            for n, m in zip(shape, image.shape, strict=True)
        )
        return image[np.ix_(rows, columns)]


def variance_of_guess(result: Restoration) -> float:
    """Of a pixel of which nothing is known: uniform within the window of a result; nan where there are no samples."""
    window = result.provenance["window"]
    return float((window["high"] - window["low"]) ** 2 / 12) if result.has_spread else np.nan
