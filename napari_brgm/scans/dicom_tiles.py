"""Tiled images: one 2-D file that holds all slices of a volume side by side, taken apart or refused.

They are told by what makes them such, not by a word in ImageType that one maker uses and anonymisers take away: the
private elements that count and place the tiles; else a field that is larger than any magnet.

    Siemens            MOSAIC in ImageType, NumberOfImagesInMosaic in the CSA header or (0019,xx0A), (0051,xx16)
    United Imaging     VFRAME in ImageType, (0065,xx50) the number of tiles, (0065,xx51) a sequence with their places

Tiles run row by row in a square grid, ceil(sqrt(n)) wide; those of United Imaging also in others (``dicom_grid``).

Frames of a whole slide are the reverse, tiles of one picture; they are refused.

Source: DICOM PS3.3 C.8.12.4 (total pixel matrix), C.7.6.17.3 (tiled dimension organization).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.values import convert_SQ

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom_claims import frame_count
from napari_brgm.scans.dicom_elements import Elements, FileElements, number_of
from napari_brgm.scans.dicom_frame import frame_of, frames_of
from napari_brgm.scans.dicom_grid import fitted_grid
from napari_brgm.scans.dicom_mosaic import is_mosaic, mosaic_tiles
from napari_brgm.scans.dicom_pixel_size import PIXEL_SIZE_NOTE, pixel_size
from napari_brgm.scans.dicom_vendors import private_value

if TYPE_CHECKING:
    from pathlib import Path

    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["tiles_of"]

_UNITED = (0x0065, "Image Private Header")
_COUNT, _PLACES = 0x50, 0x51
_WIDEST = 600.0  # mm; fields of whole-body magnets end at 500 to 550


def tiles_of(dataset: Dataset, path: Path) -> list[DicomFrame]:
    """Frames of the tiles of a file; none if it is not tiled.

    Raises
    ------
    ScanError
        It is tiled, and what says how the tiles lie is missing or does not fit; or its frames are tiles of a slide.
    """
    _check_slide(dataset, path.name)
    places = _places(dataset)
    if places or "VFRAME" in (dataset.get("ImageType") or ()):
        return _united(dataset, path, places)
    if is_mosaic(dataset):
        return mosaic_tiles(frames_of(dataset, path)[0])
    _check_field(dataset, path.name)
    return []


def _places(dataset: Dataset) -> list[Dataset]:
    """Items that place the tiles of United Imaging; in files that went through implicit VR they are bytes."""
    value: Any = private_value(dataset, *_UNITED, _PLACES)
    if isinstance(value, bytes):
        try:
            value = convert_SQ(value, True, True)
        except Exception:  # no sequence
            return []
    return [item for item in value or () if isinstance(item, Dataset)]


def _united(dataset: Dataset, path: Path, places: list[Dataset]) -> list[DicomFrame]:
    count = number_of(private_value(dataset, *_UNITED, _COUNT)) or len(places)
    if not places or count != len(places):
        raise ScanError(
            f"{path.name} is tiled without the private elements that place its {int(count) or ''} slices".rstrip()
            + "; export the series again with private elements, or as NIfTI"
        )
    image, spacing = (
        (int(dataset.Rows), int(dataset.Columns)),
        pixel_size(Elements(FileElements(dataset, path.name)))[0],
    )
    shape, corners = fitted_grid(image, len(places), spacing, _acquired(dataset), path.name)
    tiles = []
    for item, corner in zip(places, corners, strict=True):
        group = Dataset()
        group.PlanePositionSequence = group.PlaneOrientationSequence = [item]
        frame = frame_of(Elements(FileElements(dataset, path.name), 0, group), path)
        tiles.append(replace(frame, tile=corner, shape=shape))
    return tiles


def _matrix(dataset: Dataset) -> list[float]:
    """Acquisition matrix: rows and columns of the frequencies, rows and columns of the phases; some are 0."""
    value = dataset.get("AcquisitionMatrix")
    several = value if isinstance(value, MultiValue | list) else [value]
    return [number_of(size) or 0 for size in several]


def _acquired(dataset: Dataset) -> tuple[int, int] | None:
    """Rows and columns that were acquired; None where the file does not say."""
    numbers = _matrix(dataset)
    if len(numbers) != 4:
        return None
    rows, columns = (int(max(numbers[k], numbers[k + 2])) for k in (0, 1))
    return (rows, columns) if rows > 0 and columns > 0 else None


def _check_slide(dataset: Dataset, name: str) -> None:
    """Refuse frames that are parts of one larger picture: neither slices nor times."""
    rows, columns = (number_of(dataset.get(f"TotalPixelMatrix{side}")) or 0 for side in ("Rows", "Columns"))
    if frame_count(dataset, name) > 1 and (rows > dataset.Rows or columns > dataset.Columns):
        raise ScanError(
            f"{name} is a slide of {columns:.0f} x {rows:.0f} pixels cut into {dataset.NumberOfFrames} tiles of "
            f"{dataset.Columns} x {dataset.Rows}, not a scan; export the region you need as one picture"
        )


def _check_field(dataset: Dataset, name: str) -> None:
    """Refuse an MR image that is wider and higher than a magnet: tiles whose marks were taken away."""
    spacing, assumed = pixel_size(Elements(FileElements(dataset, name)))
    if dataset.get("Modality") != "MR":
        return
    height, width = dataset.Rows * spacing[0], dataset.Columns * spacing[1]
    acquired = max(_matrix(dataset), default=0)
    if min(height, width) <= _WIDEST or (not acquired and PIXEL_SIZE_NOTE in assumed):
        return
    if not acquired or min(dataset.Rows, dataset.Columns) >= 2 * acquired:
        than = "many times what was acquired" if acquired else "more than a magnet holds"
        raise ScanError(
            f"{name} is {height:.0f} x {width:.0f} mm large, {than}: it looks like tiles without "
            "the private header that places them; export the series again with private elements, or as NIfTI"
        )
