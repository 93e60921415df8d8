"""ResultNames: what the files of one run are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_brgm.cli.dicom_result import dicom_folder
from napari_brgm.scans.names import ESTIMATE, derivative_name, json_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.cli.source import Piece, Source
    from napari_brgm.cli.treatment import Treatment

__all__ = ["ResultNames"]


@dataclass(frozen=True, slots=True)
class ResultNames:
    """Names in the folder of a run.

    Attributes
    ----------
    images : tuple of str
        The restored image and, where samples are drawn, its variance.
    none : tuple of str
        The variance, where none are.
    sheet : str
    table : tuple of str
        Of regions; empty without.
    posteriors : tuple of str
        One for each piece.
    dicom : str or None
        Folder of the result as DICOM.
    """

    images: tuple[str, ...]
    none: tuple[str, ...]
    sheet: str
    table: tuple[str, ...]
    posteriors: tuple[str, ...]
    dicom: str | None

    @classmethod
    def of(
        cls, source: Source, what: Treatment, pieces: Sequence[Piece], *, spread: bool, regions: bool
    ) -> ResultNames:  # fmt: skip
        """Those of a treatment; ``spread``: whether samples are drawn, ``regions``: whether a table is written."""
        stem = source.stem
        both = tuple(
            derivative_name(stem, what.name + role, ending)
            for role, ending in zip((ESTIMATE, "Variance"), source.extensions, strict=True)
        )
        many = 2 if spread else 1
        return cls(
            both[:many], both[many:], derivative_name(stem, f"{what.name}Sheet", ".png"),
            (derivative_name(stem, f"{what.name}Regions", ".csv"),) if regions else (),
            tuple(derivative_name(stem, what.name + piece.tag, ".safetensors") for piece in pieces),
            dicom_folder(source, what),
        )  # fmt: skip

    @property
    def told(self) -> tuple[str, ...]:
        """Files that are told at the end, the image first."""
        return *self.images, self.sheet, *self.table, *self.posteriors

    @property
    def every(self) -> tuple[str, ...]:
        """All that an earlier run may have written."""
        folders = () if self.dicom is None else (self.dicom,)
        both = *self.images, *self.none
        return *both, self.sheet, *self.table, *self.posteriors, *map(json_name, both), *folders
