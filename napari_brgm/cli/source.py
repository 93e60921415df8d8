"""Source: what a command restores slices of, a scan or a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.cli.masks import MaskRules, SliceMasks
    from napari_brgm.engine.job import Stack
    from napari_brgm.engine.restoration import Restoration
    from napari_brgm.scan import ScanSlice

__all__ = ["Piece", "Result", "Source", "one_of"]


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One slice to restore.

    Attributes
    ----------
    image : (H, W) or (H, W, 3) ndarray
        In the units of the source.
    spacing : (float, float) or None
        Pixel size (row, column), mm; None: not known.
    title : str
        Such as 'axial slice 12'.
    tag : str
        The same in names of files, 'Axial012'.
    index : int
        Slice, from 0.
    place : ScanSlice or None
        Where it lies in a patient; None: a picture.
    """

    image: npt.NDArray[Any]
    spacing: tuple[float, float] | None
    title: str
    tag: str
    index: int
    place: ScanSlice | None = None

    def seen_as(self, image: npt.NDArray[Any], factor: tuple[float, float] = (1.0, 1.0)) -> Piece:
        """The same slice as another image shows it, whose pixels are larger by ``factor``; the first corner stays."""
        spacing = None if self.spacing is None else (self.spacing[0] * factor[0], self.spacing[1] * factor[1])
        place = self.place
        if place is not None:
            affine = place.affine.copy()
            for axis in (0, 1):
                affine[:3, axis] *= factor[axis]
                affine[:3, 3] += place.affine[:3, axis] * (factor[axis] - 1) / 2
            assert spacing is not None
            place = replace(place, image=image, spacing=spacing, affine=affine)
        return replace(self, image=image, spacing=spacing, place=place)


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What became of a piece, and which of its pixels were missing (H, W); None: all of it is an estimate."""

    piece: Piece
    restored: Restoration
    missing: npt.NDArray[np.bool_] | None
    factor: tuple[float, float]


class Source(Protocol):
    """Slices, and how their restorations become files.

    Attributes
    ----------
    name, stem : str
        On a sheet, and at the start of files' names.
    label : str
        What records call it: no folder, and no description that may name a patient.
    units : str
        Of its intensities.
    extensions : (str, str)
        Of the files of the restored image and of its variance.
    index : int or None
        Slice that was asked for.
    count : int
        Number of its slices.
    record : dict
        What the records of results say of it.
    """

    @property
    def name(self) -> str: ...
    @property
    def stem(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def units(self) -> str: ...
    @property
    def extensions(self) -> tuple[str, str]: ...
    @property
    def index(self) -> int | None: ...
    @property
    def count(self) -> int: ...
    @property
    def record(self) -> dict[str, Any]: ...

    def piece(self, index: int) -> Piece:
        """A slice; InputError: there is no such one."""

    def stack(
        self, pieces: Sequence[Piece], seen: Callable[[int], npt.NDArray[Any]], spoilt: Set[int]
    ) -> Stack | None:  # fmt: skip
        """How pieces lie to each other, with the slices between and beside them as ``seen`` gives these but ``spoilt``.

        None where they do not lie one above the other.
        """

    def masks(self, path: Path, rules: MaskRules) -> SliceMasks:
        """The mask in a file, of the slice that was asked for or of all that it touches; InputError, ScanError."""

    def write(
        self, done: Sequence[Result], image: tuple[Path, dict[str, Any]], spread: tuple[Path, dict[str, Any]] | None
    ) -> None:
        """Write the restored image and its variance, each with its record beside it; OutputError."""

    def place(self, one: Result) -> dict[str, Any] | None:
        """Where a restored piece lies in the files of ``write``, as ``run_files.placed`` tells it; None: nowhere."""


def one_of(source: Source) -> int:
    """The slice that was asked for, else the middle one."""
    return source.count // 2 if source.index is None else source.index
