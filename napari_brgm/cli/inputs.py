"""What commands read: which scan of a path, which volume and plane of it, and which of its pixels are missing.

A NIfTI or DICOM mask lies on the scan's grid and may touch any number of slices. A PNG or NPY mask is one slice as it
is displayed (``Scan.slice``). Zero means measured; the one other value, whichever it is, means missing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import typer

from napari_brgm.errors import BrgmError, InputError
from napari_brgm.scan import Scan

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.cli.options import PlaneName
    from napari_brgm.priors.prior import PriorInfo
    from napari_brgm.scan import Plane

__all__ = ["choose_plane", "open_scan", "read_mask"]

Flags = npt.NDArray[np.bool_]
_SAME_PLACE = 0.05  # voxels between the corners of two grids that count as one


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


def read_mask(path: Path, scan: Scan, plane: Plane, index: int | None) -> dict[int, Flags]:
    """Read the missing pixels (H, W) of each slice to restore, by slice index.

    Parameters
    ----------
    index : int or None
        One slice; None: every slice that the mask touches, or the only one there is.

    Raises
    ------
    InputError, ScanError
        The file cannot be read, lies on another grid, or marks nothing or everything.
    """
    if not path.is_file():
        raise InputError(f"there is no mask file {path.name}; check the path")
    count = scan.count(plane)
    if index is not None and not 0 <= index < count:
        raise InputError(f"there is no {plane} slice {index}; choose --index 0 .. {count - 1}")
    if path.suffix.lower() in (".png", ".npy"):
        if index is None and count > 1:
            raise InputError(
                f"{path.name} is the mask of one slice but the scan has {count} {plane} slices; choose one with --index"
            )
        found = {index or 0: _picture(path)}
    else:
        found = _slices(path, scan, plane, index)
    for number, missing in found.items():
        shape = scan.slice(plane, number).image.shape
        if missing.shape != shape:
            raise InputError(
                f"the mask {path.name} has {missing.shape[0]} x {missing.shape[1]} pixels but the {plane} slice has "
                f"{shape[0]} x {shape[1]}; paint it on the same slice"
            )
        if missing.all():
            raise InputError(f"the mask covers all of {plane} slice {number}; leave some of the image to restore from")
    if not any(missing.any() for missing in found.values()):
        where = "" if index is None else f" on {plane} slice {index}"
        raise InputError(f"the mask {path.name} is empty{where}; mark the region to restore")
    return found


def _slices(path: Path, scan: Scan, plane: Plane, index: int | None) -> dict[int, Flags]:
    from napari_brgm.scans import read_scan

    masks = read_scan(path)
    if len(masks) != 1 or masks[0].volumes != 1:
        raise InputError(f"{path.name} must hold one 3-D mask; save it as one NIfTI volume")
    mask = masks[0]
    if mask.shape[:3] != scan.shape:
        raise InputError(
            f"the mask {path.name} has {_times(mask.shape[:3])} voxels but the scan {_times(scan.shape)}; "
            "it must be painted on the same grid"
        )
    corners = np.array(np.meshgrid(*((0, n - 1) for n in scan.shape))).reshape(3, -1)
    apart = (mask.affine - scan.affine) @ np.vstack([corners, np.ones(corners.shape[1])])
    if np.linalg.norm(apart[:3], axis=0).max() > _SAME_PLACE * scan.spacing.min():
        raise InputError(
            f"the mask {path.name} lies elsewhere in space than the scan (their affines differ); "
            "paint it on the same scan, or resample it to that grid"
        )
    flags = _flags(mask.array.reshape(scan.shape), path.name)
    numbered = Scan(flags, scan.affine)
    chosen = range(scan.count(plane)) if index is None else (index,)
    found = {i: numbered.slice(plane, i).image > 0 for i in chosen}
    touched = {i: missing for i, missing in found.items() if missing.any()}
    return touched or dict(list(found.items())[:1])


def _picture(path: Path) -> Flags:
    try:
        if path.suffix.lower() == ".npy":
            array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
        else:
            array = _png(path)
    except BrgmError:
        raise
    except Exception as error:  # pillow and numpy raise almost anything on damaged bytes
        raise InputError(f"the mask {path.name} cannot be read; it is damaged or of another kind") from error
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise InputError(f"the mask {path.name} must be one slice of (rows, columns), got the shape {array.shape}")
    return _flags(array, path.name)


def _png(path: Path) -> npt.NDArray[Any]:
    from PIL import Image

    with Image.open(path) as image:
        if image.mode == "P":
            image = image.convert("RGB")  # type: ignore[assignment]
        array = np.asarray(image)
    if array.ndim == 3:
        colours = array[..., : 3 if array.shape[2] >= 3 else 1]
        if (colours != colours[..., :1]).any():
            raise InputError(f"the mask {path.name} is in colour; save it in black (measured) and white (missing)")
        array = colours[..., 0]
    return array


def _flags(array: npt.NDArray[Any], name: str) -> Flags:
    if not np.isfinite(array).all():
        raise InputError(f"the mask {name} holds NaN or infinite values; save it with 0 (measured) and 1 (missing)")
    flags: Flags = array != 0
    if flags.any() and (array[flags] != array[flags][0]).any():
        raise InputError(f"the mask {name} holds more than two values; save it with 0 (measured) and 1 (missing)")
    return flags


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
