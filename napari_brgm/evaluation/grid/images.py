"""HeldOutImages: the slices of a grid, of subjects that no training saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.datasets.image_archive import ImageArchive, subjects_of
from napari_brgm.errors import InputError
from napari_brgm.evaluation.held_out import evenly_spaced, grey_images
from napari_brgm.evaluation.own_scans import OwnScans

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.evaluation.held_out import HeldOutSet

__all__ = ["HeldOutImages"]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutImages:
    """Evenly spaced images of a set's validation subjects.

    Attributes
    ----------
    images : (N, R, R) float32 ndarray
        Grey levels 0..255.
    names : tuple of str
        In the archive.
    subjects : tuple of int
        Whose they are.
    notes : tuple of str
        What was left out or assumed where they were read.
    """

    images: npt.NDArray[np.float32]
    names: tuple[str, ...]
    subjects: tuple[int, ...]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def read(cls, held: HeldOutSet, data: Path, count: int | None) -> HeldOutImages:
        """Read ``count`` images of the set, or all; of one's own scans at most so many.

        Where the training archive lies beside, no subject is in both.

        Raises
        ------
        InputError
            There are not so many, or a subject is in both archives.
        ScanError
            The archive is missing or damaged.
        """
        slices = held.read(data, "validation")
        if count is not None and isinstance(held, OwnScans):
            count = min(count, len(slices.images))
        training = held.archive(data, "training")
        if training.exists():
            with ImageArchive(training) as archive:
                seen = set(subjects_of(archive.names))
            if both := sorted(seen & set(slices.subject_names)):
                raise InputError(
                    f"{len(both)} subjects of {held.validation} are in {held.training} too, {both[0]} among them; "
                    "nothing can be measured on what a prior was trained on"
                )
        picked = range(len(slices.images)) if count is None else evenly_spaced(len(slices.images), count)
        return cls(
            grey_images(slices, picked), tuple(slices.names[i] for i in picked),
            tuple(int(slices.subjects[i]) for i in picked), slices.notes,
        )  # fmt: skip
