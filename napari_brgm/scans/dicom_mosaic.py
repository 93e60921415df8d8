"""Siemens mosaics: one 2-D file that tiles all slices of a volume, taken apart into frames.

The file's position is that of the corner of the mosaic as if it were one large slice; the true corner of a tile lies
half the difference of the two sizes further in. Tiles follow the slice normal of the private CSA header. Their distance
is the one place where SpacingBetweenSlices is needed: a mosaic holds a single position.

Source: nibabel's ``MosaicWrapper`` and its note "Siemens mosaic format".
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom_elements import number_of
from napari_brgm.scans.dicom_grid import tile_grid
from napari_brgm.scans.dicom_vendors import private_value

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["is_mosaic", "mosaic_tiles"]

_MAKER = "SIEMENS MR HEADER"
_COUNT, _WORDS = (0x0019, _MAKER, 0x0A), (0x0051, _MAKER, 0x16)


def is_mosaic(dataset: Dataset) -> bool:
    """Whether a file says that it is a mosaic, in its image type or, where that was cleaned, in private elements."""
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        return True
    private = any(tag.group in (0x19, 0x29, 0x51) for tag in dataset.keys())  # noqa: SIM118
    if not private or int(dataset.get("NumberOfFrames") or 1) > 1:
        return False
    if (number_of(private_value(dataset, *_COUNT)) or 0) > 1 or "MOSAIC" in str(private_value(dataset, *_WORDS)):
        return True
    count = _csa(dataset)[0]
    return bool(count and count > 1 and _divides(dataset, count))


def mosaic_tiles(frame: DicomFrame) -> list[DicomFrame]:
    """Split a mosaic frame into its tiles.

    Raises
    ------
    ScanError
        The private header that says how the tiles lie is missing, or does not fit.
    """
    count, normal = _csa(frame.dataset)
    distance = number_of(frame.dataset.get("SpacingBetweenSlices"))
    if not count or normal is None or not distance or frame.lacks:
        raise ScanError(
            f"{frame.path.name} is a Siemens mosaic without the private header that places its slices; "
            "export the series again with private tags, or as NIfTI"
        )
    (rows, columns), corners = tile_grid(frame.shape, count, frame.path.name)
    down, right = ((size - tile) / 2 for size, tile in zip(frame.shape, (rows, columns), strict=True))
    corner = frame.position + frame.axes[0] * frame.spacing[1] * right + frame.axes[1] * frame.spacing[0] * down
    step = np.asarray(normal, dtype=float) * distance
    return [
        replace(frame, tile=tile, shape=(rows, columns), position=corner + index * step)
        for index, tile in enumerate(corners)
    ]


def _csa(dataset: Dataset) -> tuple[int | None, Any]:
    """Number of tiles and slice normal of the CSA header; None where it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nibabel calls the whole sub-package experimental
        from nibabel.nicom import csareader as untyped
    csareader = cast("Any", untyped)
    try:
        header = csareader.get_csa_header(dataset)
        return (csareader.get_n_mosaic(header), csareader.get_slice_normal(header)) if header else (None, None)
    except Exception:  # damaged, or another thing under its number
        return None, None


def _divides(dataset: Dataset, count: int) -> bool:
    """Whether an image can be so many tiles: headers of tiles already taken apart keep the number."""
    try:
        tile_grid((int(dataset.Rows), int(dataset.Columns)), count, "")
    except ScanError:
        return False
    return True
