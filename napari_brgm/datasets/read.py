"""read_slices: training data of any kind -> SliceSet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_brgm.datasets.image_archive import ImageArchive
from napari_brgm.datasets.images import chosen_images, slices_of_images
from napari_brgm.errors import InputError, ScanError

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.datasets.framing import Framing
    from napari_brgm.datasets.slice_set import SliceSet
    from napari_brgm.scan import Plane

__all__ = ["read_slices"]


def read_slices(
    source: Path,
    framing: Framing,
    *,
    pixel_mm: float | tuple[float, float] | None = None,
    plane: Plane = "axial",
    slices: tuple[int, int] | None = None,
    stride: int = 1,
) -> SliceSet:
    """Read training slices into the frame.

    Parameters
    ----------
    source : Path
        A zip or a folder of images (png, jpg, tif; 8 or 16 bits; grey or colour).
    framing : Framing
    pixel_mm : float or (float, float), optional
        Pixel size (row, column) of the images, which do not tell it themselves.
    plane : {'axial', 'coronal', 'sagittal'}
        Of volumes.
    slices : (int, int), optional
        First slice and the one after the last, of each subject's images.
    stride : int
        Take every so-many-th of these.

    Raises
    ------
    ScanError
        Something there cannot be read, or is not training data.
    InputError
        An argument does not fit the data.
    """
    if stride < 1:
        raise InputError(f"the stride must be 1 or more, got {stride}")
    with ImageArchive(source) as archive:
        if not archive.names:
            raise ScanError(f"{source.name} holds no png, jpg or tif image; give a zip or folder of slices")
        size = _pixel_size(pixel_mm, framing)
        return _without_blank(slices_of_images(archive, framing, size, chosen_images(archive, slices, stride)))


def _pixel_size(pixel_mm: float | tuple[float, float] | None, framing: Framing) -> tuple[float, float]:
    if pixel_mm is None:
        if framing.spacing_mm > 0:
            raise InputError("image files do not tell their pixel size; give it in mm")
        return 1.0, 1.0
    return (pixel_mm, pixel_mm) if isinstance(pixel_mm, int | float) else pixel_mm


def _without_blank(found: SliceSet) -> SliceSet:
    """Leave out slices that show nothing."""
    flat = found.images.reshape(len(found), -1)
    alive = np.array([row.min() < row.max() for row in flat])
    if not alive.any():
        raise ScanError("every slice is of one even grey level; give images that show something")
    return found if alive.all() else found.taking(np.flatnonzero(alive), f"{int((~alive).sum())} blank slices left out")
