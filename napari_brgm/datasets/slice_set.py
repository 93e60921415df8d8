"""SliceSet: training slices in one array, and whose they are."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_brgm.datasets.framing import Framing
    from napari_brgm.datasets.image_file import Pixels

__all__ = ["SliceSet"]

_FEWEST = 16  # slices to train on


@dataclass(frozen=True, slots=True, eq=False)
class SliceSet:
    """Slices in a generator's frame.

    Attributes
    ----------
    images : (N, C, R, R) ndarray, uint8 or uint16
        C is 1 (grey) or 3 (red, green, blue); 0 is black, ``white`` the level that a generator draws as +1.
    subjects : (N,) ndarray, int64
        Index into ``subject_names``.
    names : tuple of str
        Where each slice comes from.
    subject_names : tuple of str
    framing : Framing
    levels : str
        How intensities became grey levels.
    windows : tuple of (str, float, float)
        Volume, the value that became black and the value that became white, in its units; none for image files.
    notes : tuple of str
        What was left out, or is doubtful.

    Raises
    ------
    InputError
        The parts do not fit together.
    """

    images: Pixels
    subjects: npt.NDArray[np.int64]
    names: tuple[str, ...]
    subject_names: tuple[str, ...]
    framing: Framing
    levels: str = "as stored"
    windows: tuple[tuple[str, float, float], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = self.framing.resolution
        shape, dtype = self.images.shape, self.images.dtype
        if len(shape) != 4 or shape[1] not in (1, 3) or shape[2:] != (size, size):
            raise InputError(f"slices must be (N, 1 or 3, {size}, {size}), got {shape}")
        if dtype not in (np.uint8, np.uint16):
            raise InputError(f"slices must be uint8 or uint16, got {dtype}")
        if not shape[0] == len(self.subjects) == len(self.names):
            raise InputError(f"{shape[0]} slices have {len(self.subjects)} subjects and {len(self.names)} names")
        if len(self.subjects) and not 0 <= self.subjects.min() <= self.subjects.max() < len(self.subject_names):
            raise InputError(f"a slice belongs to none of the {len(self.subject_names)} subjects")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def white(self) -> int:
        """Grey level that is +1 for a generator: 255 or 65535."""
        return int(np.iinfo(self.images.dtype).max)

    def split(self, held_out: float, seed: int = 0) -> tuple[SliceSet, SliceSet]:
        """Part the subjects at random; a subject's slices stay together.

        Parameters
        ----------
        held_out : float
            Share of the subjects, rounded; at least one, and never all.
        seed : int

        Returns
        -------
        training, held_out : SliceSet
            Copies, subjects counted from 0 in each, slices in their order.

        Raises
        ------
        InputError
            The share is not between 0 and 1, there are fewer than 2 subjects, or fewer than 16 slices to train on.
        """
        if not 0 < held_out < 1:
            raise InputError(f"the held-out share of the subjects must lie between 0 and 1, got {held_out:g}")
        count = len(self.subject_names)
        if count < 2:
            raise InputError(
                f"there are slices of {count} subject; give those of at least 2, each in a folder of its own, "
                "so that one can be held out"
            )
        held = min(max(round(held_out * count), 1), count - 1)
        order = np.random.default_rng(seed).permutation(count)
        kept, out = self._of(order[held:]), self._of(order[:held])
        if len(kept) < _FEWEST:
            raise InputError(f"{len(kept)} slices are too few to train on; give at least {_FEWEST}")
        return kept, out

    def stacks(self) -> list[npt.NDArray[np.float32]]:
        """(Z, R, R) neighbouring slices of each subject that has any, in their order, grey levels 0..255.

        Raises
        ------
        InputError
            They are in colour.
        """
        if self.images.shape[1] != 1:
            raise InputError("stacks are made of grey slices, and these are in colour")
        grey = self.images[:, 0].astype(np.float32) * np.float32(255 / self.white)
        return [grey[self.subjects == subject] for subject in np.unique(self.subjects)]

    def digest(self) -> str:
        """SHA-256 of the images and of whose they are; where they came from does not count."""
        found = hashlib.sha256(f"{self.images.dtype.str} {self.images.shape}".encode())
        found.update(np.ascontiguousarray(self.images).data)
        found.update(self.subjects.astype("<i8").data)
        return found.hexdigest()

    def describe(self) -> dict[str, Any]:
        """Plain values, for provenance and model cards."""
        return {
            "slices": len(self), "subjects": len(self.subject_names), "channels": self.images.shape[1],
            "bits": 8 * self.images.itemsize, "resolution": self.framing.resolution,
            "spacing_mm": self.framing.spacing_mm, "levels": self.levels,
            "windows": [list(window) for window in self.windows], "notes": list(self.notes),
        }  # fmt: skip

    def taking(self, index: npt.NDArray[np.intp], note: str | None = None) -> SliceSet:
        """Take these slices, subjects counted anew, with a note of why."""
        owners, subjects = np.unique(self.subjects[index], return_inverse=True)
        return replace(
            self,
            images=self.images[index],
            subjects=subjects.astype(np.int64),
            names=tuple(self.names[i] for i in index),
            subject_names=tuple(self.subject_names[i] for i in owners),
            notes=self.notes if note is None else (*self.notes, note),
        )

    def relabelled(self, subjects: npt.NDArray[np.int64], subject_names: tuple[str, ...]) -> SliceSet:
        """The same slices, of other subjects."""
        return replace(self, subjects=subjects, subject_names=subject_names)

    def _of(self, subjects: npt.NDArray[np.int64]) -> SliceSet:
        return self.taking(np.flatnonzero(np.isin(self.subjects, subjects)))
