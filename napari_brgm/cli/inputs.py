"""What a path holds for a command: which scan, volume and plane; or a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_brgm.cli.picture_source import PictureSource
from napari_brgm.cli.scan_source import ScanSource
from napari_brgm.cli.terminal import say_note
from napari_brgm.errors import InputError
from napari_brgm.scan import Scan
from napari_brgm.scans import read_scan
from napari_brgm.scans.dicom_file import looks_like_dicom, opening
from napari_brgm.scans.names import series_label
from napari_brgm.scans.nifti import looks_like_nifti
from napari_brgm.scans.picture import read_picture
from napari_brgm.scans.picture_file import FORMATS, picture_kind

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.cli.options import PlaneName, SliceChoice
    from napari_brgm.cli.source import Source
    from napari_brgm.priors.info import PriorInfo
    from napari_brgm.scan import Plane
    from napari_brgm.scans.picture import Picture

__all__ = ["choose_plane", "open_input", "open_scan", "source_of"]

_UNREAD = ("gif", "bmp", "webp", "jp2", "heic", "pdf", "svg")  # pictures that are not read


def open_scan(
    path: Path, series: int | None, volume: int | None, which: str = "", described: bool = False
) -> Scan:  # fmt: skip
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
    described : bool
        Series to choose from are told by their descriptions, which may name the patient, not by numbers alone.

    Raises
    ------
    ScanError
        It cannot be read.
    InputError
        There are several scans or volumes and none is chosen, or not such a one.
    """
    scans = read_scan(path)
    if series is None and len(scans) > 1:
        told = [(not described and series_label(scan.header)) or scan.name or "unnamed" for scan in scans]
        names = ", ".join(f"{i} = {name}" for i, name in enumerate(told, 1))
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
        say_note(note)
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
        say_note(f"the prior {prior.name} was made from {prior.plane} slices, this one is {plane}")
    return plane


def open_input(path: Path, choice: SliceChoice) -> Scan | Picture:
    """Read a scan or a picture, as its content says; what is to be known of it goes to stderr.

    Raises
    ------
    ScanError
        It cannot be read.
    InputError
        There are several scans or volumes and none is chosen, or an option is given that does not go with it.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if path.is_file():
        head = opening(path)
        if not (looks_like_dicom(head) or looks_like_nifti(head)):
            if picture_kind(head) or suffix in FORMATS:
                return _open_picture(path, choice)
            if suffix in _UNREAD:
                raise InputError(f"{path.name} is of a kind that is not read; save the picture as PNG or TIFF")
    if choice.pixel_mm is not None:
        raise InputError(f"--pixel-mm is for pictures, and {path.name} says itself how large its pixels are")
    return open_scan(path, choice.series, choice.volume, described=choice.described)


def source_of(found: Scan | Picture, path: Path, choice: SliceChoice, prior: PriorInfo) -> Source:
    """The slices of what a path holds, as this prior sees them; what it assumes goes to stderr."""
    if isinstance(found, Scan):
        return ScanSource(
            found, choose_plane(found, choice.plane, prior), path, choice.index, choice.volume, choice.described
        )
    return PictureSource.for_prior(found, choice.pixel_mm, prior)


def _open_picture(path: Path, choice: SliceChoice) -> Picture:
    for name in ("plane", "index", "volume", "series"):
        if getattr(choice, name) is not None:
            raise InputError(f"{path.name} is a picture, which is one slice; leave --{name} out")
    picture = read_picture(path)
    for note in picture.notes:
        say_note(note)
    return picture
