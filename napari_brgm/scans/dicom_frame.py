"""DicomFrame: one plane of a DICOM file and its place, whatever the kind (classic, enhanced, mosaic, projection).

    LPS mm of pixel (r, c) = position + axes[0] * spacing[1] * c + axes[1] * spacing[0] * r

Source: DICOM PS3.3 C.7.6.2.1.1 (plane equation), C.7.6.16 (functional groups), C.7.6.1.1.1 (patient orientation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import ScanError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from pathlib import Path

    from pydicom.dataset import Dataset

__all__ = ["CINE_NOTE", "PIXEL_SIZE_NOTE", "DicomFrame", "frames_of"]

_NO_IMAGE = {"RTDOSE": "a radiotherapy dose", "SEG": "a segmentation", "RTPLAN": "a radiotherapy plan"}
_LETTERS = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}
_CROOKED = 0.05  # of the two unit vectors' products; headers round to 1e-3 or better
_FAR = 1e6  # mm
PIXEL_SIZE_NOTE = "no pixel size is known: 1 mm is assumed"
CINE_NOTE = "the file does not place its frames: they are taken as times"


@dataclass(frozen=True, slots=True, eq=False)
class DicomFrame:
    """One plane of pixels in the patient.

    Attributes
    ----------
    dataset : Dataset
        Of its file, without pixels.
    path : Path
    number : int
        Frame of the file, from 0.
    tile : (int, int)
        Row and column of the first pixel in the file's frame; (0, 0) but for mosaics.
    shape : (int, int)
        Rows, columns.
    spacing : (float, float)
        Between rows, between columns, mm.
    axes : (2, 3) ndarray
        LPS unit vectors along a row (columns grow) and along a column (rows grow).
    position : (3,) ndarray
        LPS mm of the centre of the first pixel.
    thickness : float
        mm; used only where a stack has a single position.
    slope, intercept : float
        Stored value to real value.
    kind : tuple
        What else must be equal within one scan: series, echo, image type, stack.
    order : tuple of float
        Order in time among frames at one position.
    notes : tuple of str
        What was assumed.
    """

    dataset: Dataset
    path: Path
    number: int
    tile: tuple[int, int]
    shape: tuple[int, int]
    spacing: tuple[float, float]
    axes: npt.NDArray[np.float64]
    position: npt.NDArray[np.float64]
    thickness: float
    slope: float
    intercept: float
    kind: tuple[Hashable, ...]
    order: tuple[float, ...]
    notes: tuple[str, ...] = ()


def frames_of(dataset: Dataset, path: Path) -> list[DicomFrame]:
    """List the planes of a dataset.

    Raises
    ------
    ScanError
        It is not a grey-level image.
    """
    _check_grey(dataset, path.name)
    count = int(dataset.get("NumberOfFrames") or 1)
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is None:
        return [_frame(dataset, path, number, []) for number in range(count)]
    if len(groups) != count:
        raise ScanError(f"{path.name} is damaged: it describes {len(groups)} of its {count} frames; export it again")
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    return [_frame(dataset, path, number, [group, *shared]) for number, group in enumerate(groups)]


def _check_grey(dataset: Dataset, name: str) -> None:
    modality = str(dataset.get("Modality") or "")
    if modality in _NO_IMAGE:
        raise ScanError(f"{name} is {_NO_IMAGE[modality]}, not a scan; choose the images it belongs to")
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise ScanError(f"{name} holds no image; choose a file of an image series")
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise ScanError(f"{name} is a colour image; only grey-level scans can be restored")
    if "PALETTE" in str(dataset.get("PhotometricInterpretation") or ""):
        raise ScanError(f"{name} is coloured through a palette; only grey-level scans can be restored")


def _frame(dataset: Dataset, path: Path, number: int, groups: list[Dataset]) -> DicomFrame:
    def find(sequence: str, keyword: str) -> Any:  # in the frame's group, the shared group, the file's top level
        for group in groups:
            items = group.get(sequence)
            if items and items[0].get(keyword) not in (None, ""):
                return items[0].get(keyword)
        value = dataset.get(keyword)
        return None if value in (None, "") else value

    def real(sequence: str, keyword: str, otherwise: float) -> float:
        value = find(sequence, keyword)
        return otherwise if value is None else float(value)

    spacing, notes = _spacing(find("PixelMeasuresSequence", "PixelSpacing"), dataset)
    position = find("PlanePositionSequence", "ImagePositionPatient")
    orientation = find("PlaneOrientationSequence", "ImageOrientationPatient")
    kind = _kind(dataset, find)
    if position is None or orientation is None:
        if groups:
            raise ScanError(f"{path.name} does not say where its frames lie; export it with positions")
        position, axes = np.zeros(3), _projection_axes(dataset)
        kind = (*kind, str(dataset.get("SOPInstanceUID") or path))  # never stacked with others
    else:
        axes, position = np.array(orientation, dtype=float).reshape(2, 3), np.array(position, dtype=float).reshape(3)
    square = np.abs(axes @ axes.T - np.eye(2)).max()
    if not (square < _CROOKED and np.abs(position).max() < _FAR and 0 < min(spacing) <= max(spacing) < _FAR):
        raise ScanError(f"{path.name} has an impossible position, orientation or pixel size; export it again")
    temporal = find("FrameContentSequence", "TemporalPositionIndex") or dataset.get("TemporalPositionIdentifier")
    order = (temporal, dataset.get("AcquisitionNumber"), dataset.get("InstanceNumber"), number)
    if not groups and int(dataset.get("NumberOfFrames") or 1) > 1:
        notes += (CINE_NOTE,)
    thickness = real("PixelMeasuresSequence", "SpacingBetweenSlices", 0.0) or real(
        "PixelMeasuresSequence", "SliceThickness", 0.0
    )
    return DicomFrame(
        dataset=dataset, path=path, number=number, tile=(0, 0), shape=(int(dataset.Rows), int(dataset.Columns)),
        spacing=spacing, axes=axes, position=position,
        thickness=abs(thickness) or max(spacing),
        slope=real("PixelValueTransformationSequence", "RescaleSlope", 1.0),
        intercept=real("PixelValueTransformationSequence", "RescaleIntercept", 0.0),
        kind=kind, order=tuple(float(value or 0) for value in order), notes=notes,
    )  # fmt: skip


def _spacing(value: Any, dataset: Dataset) -> tuple[tuple[float, float], tuple[str, ...]]:
    if value is None:  # at the detector of a projection; magnification is not known
        value = dataset.get("ImagerPixelSpacing") or dataset.get("NominalScannedPixelSpacing")
    if not value:
        return (1.0, 1.0), (PIXEL_SIZE_NOTE,)
    return (float(value[0]), float(value[1])), ()


def _kind(dataset: Dataset, find: Callable[[str, str], Any]) -> tuple[Hashable, ...]:
    sequences = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
    image_type = next((kind for name in sequences if (kind := find(name, "FrameType"))), dataset.get("ImageType") or ())
    values = (
        dataset.get("SeriesInstanceUID") or "",
        dataset.get("SOPClassUID"),
        image_type if isinstance(image_type, str) else " ".join(image_type),
        find("MRImageFrameTypeSequence", "ComplexImageComponent") or "",
        find("FrameContentSequence", "StackID") or "",
        dataset.get("EchoNumbers") or "",
        float(find("MREchoSequence", "EffectiveEchoTime") or dataset.get("EchoTime") or 0),
    )
    return tuple(str(value) for value in values)


def _projection_axes(dataset: Dataset) -> npt.NDArray[np.float64]:
    """Directions of an image without position: its PatientOrientation if usable, else an upright frontal view.

    Frontal: columns grow to the patient's left, rows to the feet, so that a coronal slice shows the file's own pixels.
    """
    letters = dataset.get("PatientOrientation") or ()
    if len(letters) == 2 and all(str(letter)[:1] in _LETTERS for letter in letters):
        axes = np.array([_LETTERS[str(letter)[0]] for letter in letters], dtype=float)
        if axes[0] @ axes[1] == 0:
            return axes
    return np.array([_LETTERS["L"], _LETTERS["F"]], dtype=float)
