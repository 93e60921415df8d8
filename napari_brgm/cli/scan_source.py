"""Slices of a 3-D scan; in-painted ones go back into their volume, others become a slice on a grid of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.cli.mask_input import read_mask
from napari_brgm.cli.masks import one_mask
from napari_brgm.cli.run_files import placed
from napari_brgm.cli.source import Piece
from napari_brgm.cli.terminal import say_note
from napari_brgm.engine.job import Later, Stack
from napari_brgm.errors import InputError
from napari_brgm.scan import distance_of
from napari_brgm.scans.export import write_nifti
from napari_brgm.scans.names import series_label, source_label, stem_of
from napari_brgm.scans.picture_file import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.cli.masks import MaskRules, SliceMasks
    from napari_brgm.cli.source import Result
    from napari_brgm.scan import Plane, Scan

__all__ = ["ScanSource"]


@dataclass(frozen=True, slots=True, eq=False)
class ScanSource:
    """A ``Source`` of NIfTI files.

    Attributes
    ----------
    scan : Scan
        3-D.
    plane : {'axial', 'coronal', 'sagittal'}
    path : Path
        It was read from.
    index : int or None
        Slice that was asked for.
    volume : int or None
        Volume of a 4-D scan that this one was.
    described : bool
        Whether files are called by the description of a DICOM series, and not by its number alone.
    """

    scan: Scan
    plane: Plane
    path: Path
    index: int | None = None
    volume: int | None = None
    described: bool = False

    @property
    def name(self) -> str:
        neutral = None if self.described else series_label(self.scan.header)
        return neutral or self.scan.name or self.stem

    @property
    def stem(self) -> str:
        return stem_of(self.scan, self.path, described=self.described)

    @property
    def label(self) -> str:
        return source_label(self.scan, self.path)

    @property
    def units(self) -> str:
        return self.scan.units

    @property
    def extensions(self) -> tuple[str, str]:
        return ".nii.gz", ".nii.gz"

    @property
    def count(self) -> int:
        return self.scan.count(self.plane)

    @property
    def distance(self) -> float | None:
        """Of neighbouring slices along their normal, mm; None: they lean, and pixels do not lie above each other."""
        return distance_of(self.scan.slice(self.plane, 0).affine)

    @property
    def record(self) -> dict[str, Any]:
        return {"plane": self.plane, "volume": self.volume}

    def piece(self, index: int) -> Piece:
        place = self.scan.slice(self.plane, index)
        tag = f"{self.plane.capitalize()}{index:03d}"
        return Piece(place.image, place.spacing, self._title(index), tag, index, place)

    def stack(
        self, pieces: Sequence[Piece], seen: Callable[[int], npt.NDArray[Any]], spoilt: Set[int]
    ) -> Stack | None:  # fmt: skip
        distance = self.distance
        if self.count < 2 or distance is None:
            return None
        own = {piece.index for piece in pieces} | spoilt
        return Stack(
            tuple(distance * piece.index for piece in pieces),
            tuple((distance * i, Later(partial(seen, i))) for i in range(self.count) if i not in own),
        )

    def masks(self, path: Path, rules: MaskRules) -> SliceMasks:
        if not path.is_file():
            raise InputError(f"there is no mask file {path.name}; check the path")
        if self.index is not None and not 0 <= self.index < self.count:
            raise InputError(f"there is no {self.plane} slice {self.index}; choose --index 0 .. {self.count - 1}")
        if path.suffix.lower().removeprefix(".") not in ("npy", *FORMATS):
            return read_mask(path, self.scan, self.plane, self.index, rules)
        if self.index is None and self.count > 1:
            raise InputError(
                f"{path.name} is the mask of one slice but the scan has {self.count} {self.plane} slices; choose one "
                "with --index"
            )
        index = self.index or 0
        height, width = self.piece(index).image.shape
        return one_mask(path, (height, width), index, self._title(index), rules)

    def write(
        self, done: Sequence[Result], image: tuple[Path, dict[str, Any]], spread: tuple[Path, dict[str, Any]] | None
    ) -> None:
        written, varied, _ = self.restored(done)
        for note in written.notes[len(self.scan.notes) :]:
            say_note(note)
        write_nifti(written, *image)
        if spread is not None:
            write_nifti(replace(varied, units=f"{self.units}^2"), *spread)

    def restored(self, done: Sequence[Result]) -> tuple[Scan, Scan, npt.NDArray[np.bool_]]:
        """Restored image and its variance, in-painted slices in their volume, and where the image is not measured."""
        places = [(one.piece.place, one) for one in done if one.piece.place is not None]
        if done[0].missing is None:
            ((place, one),) = places
            new = ~one.restored.measured
            images = (one.restored.estimate, one.restored.variance, new.astype(np.float32))
            written, varied, free = (place.refined(image, one.factor) for image in images)
            return written, varied, free.array > 0
        written = self.scan.with_slices(
            (place, one.restored.estimate, ~one.missing) for place, one in places if one.missing is not None
        )
        nothing = replace(self.scan, array=np.zeros(self.scan.shape, np.float32))
        varied = nothing.with_slices((place, one.restored.variance, None) for place, one in places)
        no_flags = replace(self.scan, array=np.zeros(self.scan.shape, np.uint8))
        free = no_flags.with_slices((place, ~one.restored.measured, None) for place, one in places)
        return written, varied, free.array > 0

    def place(self, one: Result) -> dict[str, Any]:
        assert one.piece.place is not None
        piece = one.piece.place
        if one.missing is None:
            return placed(piece.refined(one.restored.estimate, one.factor), replace(piece, index=0))
        return placed(self.scan, piece)

    def _title(self, index: int) -> str:
        return f"{self.plane} slice {index}"
