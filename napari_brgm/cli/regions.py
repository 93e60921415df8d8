"""Regions of ``inpaint --roi``: figures of what was restored and of what was measured in them, as a table (CSV)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_brgm.cli.scan_source import ScanSource
from napari_brgm.engine.region import RegionDraws
from napari_brgm.engine.region_table import write_region_table
from napari_brgm.engine.restoration import Restoration
from napari_brgm.errors import InputError
from napari_brgm.scan import Scan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from napari_brgm.cli.source import Source

__all__ = ["RegionTable"]


@dataclass(frozen=True, slots=True, eq=False)
class RegionTable:
    """Regions on the grid of a scan.

    Attributes
    ----------
    source : ScanSource
    labels : Scan
        0 outside, whole numbers inside.
    above : float or None
        Threshold of volumes, in the scan's units.
    """

    source: ScanSource
    labels: Scan
    above: float | None = None

    @classmethod
    def of(cls, source: Source, path: Path, above: float | None) -> RegionTable:
        """Read the regions.

        Raises
        ------
        InputError, ScanError
            They cannot be read, are none, or lie on another grid; or the source is a picture.
        """
        from napari_brgm.cli.mask_input import read_labels

        if not isinstance(source, ScanSource):
            raise InputError("--roi is for scans, whose pixels have a size; leave it out")
        return cls(source, Scan(read_labels(path, source.scan), source.scan.affine), above)

    @property
    def digest(self) -> str:
        """Of all that decides the table beside the restored slices."""
        found = hashlib.sha256(np.ascontiguousarray(self.labels.array).tobytes())
        return f"{found.hexdigest()} {self.above}"

    def write(self, path: Path, posteriors: Mapping[int, Path]) -> None:
        """Write the table.

        Parameters
        ----------
        posteriors : mapping of int to Path
            By slice index, the file of each restored slice; all others are as they were measured.
        """
        plane, scan = self.source.plane, self.source.scan
        volume = float(abs(np.linalg.det(scan.affine[:3, :3])))
        numbers = [int(label) for label in np.unique(self.labels.array) if label]
        gathered = {number: RegionDraws(scan.units, self.above) for number in numbers}
        for index in range(scan.count(plane)):
            shown: npt.NDArray[Any] = self.labels.slice(plane, index).image
            if not shown.any():
                continue
            images, measured = self._draws(index, posteriors)
            for number in np.unique(shown[shown > 0]).tolist():
                gathered[int(number)].add(images, shown == number, measured, volume)
        write_region_table(path, {number: draws.figures() for number, draws in gathered.items()})

    def _draws(
        self, index: int, posteriors: Mapping[int, Path]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        """Images (S, H, W) of a slice, and which pixels of it were measured; None: all."""
        if index not in posteriors:
            return np.asarray(self.source.piece(index).image)[None], None
        found = Restoration.load(posteriors[index])
        return found.samples, found.measured
