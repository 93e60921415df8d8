"""Which scan of a path, which volume of it, which plane."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from napari_brgm.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.cli.options import PlaneName
    from napari_brgm.priors.prior import PriorInfo
    from napari_brgm.scan import Plane, Scan

__all__ = ["choose_plane", "open_scan"]


def open_scan(path: Path, series: int | None, volume: int | None, which: str = "") -> Scan:
    """Read one 3-D scan; its notes go to stderr.

    Parameters
    ----------
    path : Path
        NIfTI file, DICOM file or folder of DICOM series.
    series : int or None
        1-based, where the path holds several scans.
    volume : int or None
        0-based, where the scan has four axes.
    which : str
        What the names of the options end with, for the sentences.

    Raises
    ------
    ScanError
        It cannot be read.
    InputError
        There are several scans or volumes and none is chosen, or not such a one.
    """
    from napari_brgm.scans import read_scan

    scans = read_scan(path)
    if series is None and len(scans) > 1:
        names = ", ".join(f"{i} = {scan.name or 'unnamed'}" for i, scan in enumerate(scans, 1))
        raise InputError(f"{path.name} holds {len(scans)} scans ({names}); choose one with --series{which} N")
    if series is not None and not 1 <= series <= len(scans):
        raise InputError(f"there is no series {series} in {path.name}; choose one of 1 .. {len(scans)}")
    scan = scans[(series or 1) - 1]
    if volume is None and scan.volumes > 1:
        raise InputError(
            f"{path.name} is 4-D with {scan.volumes} volumes; choose one with --volume{which} 0 .. {scan.volumes - 1}"
        )
    if not 0 <= (volume or 0) < scan.volumes:
        raise InputError(f"there is no volume {volume} in {path.name}; choose one of 0 .. {scan.volumes - 1}")
    for note in scan.notes:
        typer.echo(f"note: {note}", err=True)
    return replace(scan, array=scan.array[..., volume or 0]) if scan.array.ndim == 4 else scan


def choose_plane(scan: Scan, wanted: PlaneName | None, prior: PriorInfo) -> Plane:
    """Give the wanted plane, else that of a scan of one slice, else the prior's, else that of the acquisition."""
    known: dict[str, Plane] = {"axial": "axial", "coronal": "coronal", "sagittal": "sagittal"}
    if wanted is not None:
        plane = known[str(wanted)]
    elif 1 in scan.shape[:3]:
        plane = scan.plane
    else:
        plane = known.get(prior.plane, scan.plane)
    if prior.plane in known and plane != prior.plane:
        typer.echo(f"note: the prior {prior.name} was made from {prior.plane} slices, this one is {plane}", err=True)
    return plane
