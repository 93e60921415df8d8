"""One slice through ``restore``, and the record that goes beside its image files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_brgm.cli.progress import loss_bar
from napari_brgm.engine.restore import restore
from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from napari_brgm.cli.options import Run
    from napari_brgm.corruptions import Corruption
    from napari_brgm.priors.prior import Prior
    from napari_brgm.scan import ScanSlice

__all__ = ["Job", "RestoredSlice", "Written", "restore_slice", "sidecar"]


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What restorations to files have in common.

    Attributes
    ----------
    folder : Path
        Of the results.
    sources : tuple of Path
        The scan and what else was read, for names and records.
    volume : int or None
        Volume of a 4-D scan.
    overwrite : bool
        Replace results that exist.
    """

    prior: Prior
    run: Run
    folder: Path
    sources: tuple[Path, ...]
    volume: int | None = None
    overwrite: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class RestoredSlice:
    """What is kept of a restored slice once its samples are on disk; images (H', W') in the scan's units."""

    piece: ScanSlice
    estimate: npt.NDArray[Any]
    variance: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """Files of a finished job, the restored image first, and the slices in them."""

    files: list[Path]
    slices: list[RestoredSlice]


def restore_slice(
    piece: ScanSlice, corruption: Corruption, job: Job, file: Path, noise_sigma: float | None = None
) -> RestoredSlice:
    """Restore a slice under a progress bar and save its whole posterior to ``file``.

    ``noise_sigma`` is in the scan's units; None: as ``napari_brgm.restore`` finds it.

    Raises
    ------
    BrgmError
        As ``napari_brgm.restore``, with the slice named.
    """
    where = f"{piece.plane} slice {piece.index}"
    try:
        with loss_bar(where) as tell:
            result = restore(
                piece.image, corruption, job.prior, spacing=piece.spacing, noise_sigma=noise_sigma, callback=tell,
                **job.run.arguments(job.prior),
            )  # fmt: skip
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    result.save(file)
    return RestoredSlice(piece, result.estimate, result.variance, result.std, result.provenance)


def sidecar(slices: Sequence[RestoredSlice], job: Job, *, description: str, units: str) -> dict[str, Any]:
    """Record of an image file: what all its slices share at the top, the rest under 'slices'."""
    records = [one.provenance for one in slices]
    shared = {k: v for k, v in records[0].items() if all(record[k] == v for record in records)}
    return {
        "Description": description,
        "Sources": [source.name for source in job.sources],
        "Units": units,
        "plane": slices[0].piece.plane,
        "volume": job.volume,
        **shared,
        "slices": [
            {"index": one.piece.index} | {k: v for k, v in one.provenance.items() if k not in shared} for one in slices
        ],
    }
