"""read_slices: training data of any kind -> SliceSet."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import numpy as np

from napari_brgm.datasets.image_archive import ImageArchive
from napari_brgm.datasets.image_file import SUFFIXES
from napari_brgm.datasets.images import chosen_images, slices_of_images
from napari_brgm.datasets.volume_files import volume_files
from napari_brgm.datasets.volumes import slices_of_volumes
from napari_brgm.errors import InputError, ScanError
from napari_brgm.scan import Plane

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.datasets.framing import Framing
    from napari_brgm.datasets.slice_set import SliceSet

__all__ = ["holds_images", "read_slices"]


def read_slices(
    source: Path,
    framing: Framing,
    *,
    pixel_mm: float | tuple[float, float] | None = None,
    plane: Plane = "axial",
    slices: tuple[int, int] | None = None,
    stride: int = 1,
    deblock: bool = False,
) -> SliceSet:
    """Read training slices into the frame.

    Parameters
    ----------
    source : Path
        A zip or a folder of images (png, jpg, tif; 8 or 16 bits; grey or colour), or a NIfTI file, or a folder of NIfTI
        files or DICOM series.
    framing : Framing
    pixel_mm : float or (float, float), optional
        Pixel size (row, column). Images need it unless the frame takes their pixels as they are; for volumes it
        replaces what their headers say.
    plane : {'axial', 'coronal', 'sagittal'}
        Of volumes.
    slices : (int, int), optional
        First slice and the one after the last: of each subject's images in the order of their names, or of each volume
        from the feet, the back or the left.
    stride : int
        Take every so-many-th of them all.
    deblock : bool
        Smooth the blocks of images that come as JPEG.

    Raises
    ------
    ScanError
        Something there cannot be read, or is not training data.
    InputError
        An argument does not fit the data.
    """
    if stride < 1:
        raise InputError(f"the stride must be 1 or more, got {stride}")
    if plane not in get_args(Plane):
        raise InputError(f"there is no plane {plane!r}; choose one of {', '.join(get_args(Plane))}")
    size = (pixel_mm, pixel_mm) if isinstance(pixel_mm, int | float) else pixel_mm
    if holds_images(source):
        if size is None and framing.spacing_mm > 0:
            raise InputError("image files do not tell their pixel size; give it in mm (--pixel-mm)")
        with ImageArchive(source) as archive:
            if not archive.names:
                raise ScanError(f"{source.name} holds no png, jpg or tif image; unpack it if it holds volumes")
            chosen = chosen_images(archive, slices, stride)
            return _without_blank(slices_of_images(archive, framing, size or (1.0, 1.0), chosen, deblock))
    files = volume_files(source)
    if not files:
        raise ScanError(f"{source.name} holds no images, NIfTI files or DICOM series; check the path")
    return _without_blank(slices_of_volumes(files, framing, pixel_mm=size, plane=plane, slices=slices, stride=stride))


def holds_images(source: Path) -> bool:
    """Tell whether the source is a zip or folder of images, rather than volumes.

    Raises
    ------
    ScanError
        There is nothing there, a folder holds both, or it is an image by itself.
    """
    if source.is_dir():
        with ImageArchive(source) as archive:
            images = bool(archive.names)
        if images and volume_files(source, beside_images=True):
            raise ScanError(f"the folder {source.name} holds both images and volumes; give a folder of one kind")
        return images
    if not source.is_file():
        raise ScanError(f"there is no file or folder {source.name}; check the path")
    suffix = source.suffix.lower().removeprefix(".")
    if suffix in SUFFIXES:
        raise ScanError(f"{source.name} is a single image; give a zip or folder of many")
    with source.open("rb") as stream:
        return suffix == "zip" or stream.read(2) == b"PK"


def _without_blank(found: SliceSet) -> SliceSet:
    """Leave out slices that show nothing."""
    flat = found.images.reshape(len(found), -1)
    alive = np.array([row.min() < row.max() for row in flat])
    if not alive.any():
        raise ScanError("every slice is of one even grey level; give images that show something")
    return found if alive.all() else found.taking(np.flatnonzero(alive), f"{int((~alive).sum())} blank slices left out")
