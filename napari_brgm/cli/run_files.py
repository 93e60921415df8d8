"""RunFiles: what the files of one run say of each other in their records, so that the window opens them together.

``plugin/layers/saved_run.py`` reads it. Posteriors lie as slices are shown; where their rows and columns run in the
file of the image is told beside their place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from napari_brgm.scans.record import RUN_KEY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_brgm.cli.source import Source
    from napari_brgm.cli.treatment import Treatment
    from napari_brgm.scan import Scan, ScanSlice

__all__ = ["RunFiles", "new_run", "placed"]


def new_run() -> str:
    """What tells a run from others."""
    return uuid4().hex[:12]


@dataclass(frozen=True, slots=True)
class RunFiles:
    """One run in files.

    Attributes
    ----------
    run, task, role, source, units : str
        What tells it from others; 'in-paint', 'super-resolve' or 'clean'; the role of its image: 'restored', 'x4' or
        'cleaned'; what was restored, without a folder; and the units of its intensities.
    images : tuple of (str, str)
        File and role of each, the lowest layer first.
    planes : tuple of (str, dict)
        File of each slice's posterior, and what ``placed`` gives of it.
    """

    run: str
    task: str
    role: str
    source: str
    units: str
    images: tuple[tuple[str, str], ...]
    planes: tuple[tuple[str, dict[str, Any]], ...] = ()

    @classmethod
    def of(
        cls, run: str, what: Treatment, source: Source, factor: Sequence[float], images: Sequence[str],
        planes: Sequence[tuple[str, dict[str, Any]]] = (),
    ) -> RunFiles:  # fmt: skip
        """Those of a treatment; ``images``: of the estimate, the variance and the samples, as far as there are any."""
        task = "in-paint" if what.missing else "super-resolve" if max(factor) != 1 else "clean"
        role = {"in-paint": "restored", "clean": "cleaned"}.get(task, f"x{max(round(f, 2) for f in factor):g}")
        roles = (role, "variance", "samples")
        return cls(run, task, role, source.stem, source.units, tuple(zip(images, roles, strict=False)), tuple(planes))

    def record(self, file: str) -> dict[str, Any]:
        """What one of the images says of itself and of the others."""
        own = {"run": self.run, "task": self.task, "role": dict(self.images)[file], "source_layer": self.source}
        group = {
            "run": self.run,
            "task": self.task,
            "source": self.source,
            "units": self.units,
            "layers": [{"file": name, "look": self._look(role)} for name, role in self.images],
            "mask": "",
            "planes": [{"file": name} | place for name, place in self.planes],
            "pinned": None,
        }
        return own | {RUN_KEY: group}

    def _look(self, role: str) -> dict[str, Any]:
        """As the window shows results of its own."""
        tint = role == "variance"
        shown = role != "samples" and not (tint and self.task == "super-resolve")
        return {"visible": shown} | ({"opacity": 0.5} if tint and self.task == "clean" else {})


def placed(scan: Scan, place: ScanSlice) -> dict[str, Any]:
    """Where a slice lies among the voxels of a scan: its index, and how its rows and columns run there.

    ``turned``: whether rows are a later axis than columns, and whether the file's first and second axis of the plane
    run backwards.
    """
    steps = np.linalg.solve(scan.affine[:3, :3], place.affine[:3, :2])  # voxels per row and column
    rows, columns = (int(np.argmax(np.abs(steps[:, axis]))) for axis in (0, 1))
    index: list[int | None] = [place.index] * 3
    index[rows] = index[columns] = None
    backwards = {axis: bool(steps[axis, shown] < 0) for shown, axis in enumerate((rows, columns))}
    return {"index": index, "turned": [rows > columns, *(backwards[axis] for axis in sorted(backwards))]}
