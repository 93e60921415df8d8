"""Siemens mosaics: one 2-D file that tiles all slices of a volume, taken apart into frames.

The file's position is that of the corner of the mosaic as if it were one large slice; the true corner of a tile lies
half the difference of the two sizes further in. Tiles follow the slice normal of the private CSA header. Their distance
is the one place where SpacingBetweenSlices is needed: a mosaic holds a single position.

Source: nibabel's ``MosaicWrapper`` and its note "Siemens mosaic format".
"""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_brgm.errors import ScanError

if TYPE_CHECKING:
    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["tiles_of"]


def tiles_of(frame: DicomFrame) -> list[DicomFrame]:
    """Split a mosaic frame into its tiles; any other frame is returned alone.

    Raises
    ------
    ScanError
        The private header that says how the tiles lie is missing.
    """
    if "MOSAIC" not in (frame.dataset.get("ImageType") or ()):
        return [frame]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nibabel calls the whole sub-package experimental
        from nibabel.nicom import csareader as untyped
    csareader = cast("Any", untyped)
    header = csareader.get_csa_header(frame.dataset)
    count = csareader.get_n_mosaic(header) if header else None
    normal = csareader.get_slice_normal(header) if header else None
    distance = frame.dataset.get("SpacingBetweenSlices")
    if not count or normal is None or not distance:
        raise ScanError(
            f"{frame.path.name} is a Siemens mosaic without the private header that places its slices; "
            "export the series again with private tags, or as NIfTI"
        )
    grid = math.ceil(math.sqrt(count))
    if any(size % grid for size in frame.shape):
        size = f"{frame.shape[0]} x {frame.shape[1]}"
        raise ScanError(
            f"{frame.path.name} is a Siemens mosaic of {grid} x {grid} tiles but {size} pixels; export the series again"
        )
    rows, columns = (size // grid for size in frame.shape)
    down, right = ((size - tile) / 2 for size, tile in zip(frame.shape, (rows, columns), strict=True))
    corner = frame.position + frame.axes[0] * frame.spacing[1] * right + frame.axes[1] * frame.spacing[0] * down
    step = np.asarray(normal, dtype=float) * float(distance)
    return [
        replace(
            frame,
            tile=(index // grid * rows, index % grid * columns),
            shape=(rows, columns),
            position=corner + index * step,
        )
        for index in range(count)
    ]
