"""DicomFrame: one plane of a DICOM file and its place, whatever the kind (classic, enhanced, mosaic, projection).

    LPS mm of pixel (r, c) = position + axes[0] * spacing[1] * c + axes[1] * spacing[0] * r

Source: DICOM PS3.3 C.7.6.2.1.1 (plane equation), C.7.6.16 (functional groups), C.7.6.5 (cine).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_brgm.errors import ScanError
from napari_brgm.scans.dicom_claims import frame_count
from napari_brgm.scans.dicom_elements import Elements, FileElements, number_of, printable
from napari_brgm.scans.dicom_keys import keys_of
from napari_brgm.scans.dicom_pixel_size import PIXEL_SIZE_NOTE, pixel_size
from napari_brgm.scans.dicom_place import offset_along, place_of
from napari_brgm.scans.dicom_projection import beam_of, upright_axes
from napari_brgm.scans.scaling import usable_scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pydicom.dataset import Dataset

__all__ = ["CINE_NOTE", "PIXEL_SIZE_NOTE", "DicomFrame", "FrameKind", "check_grey", "frame_of", "frames_of"]

_NO_IMAGE = {"RTDOSE": "a radiotherapy dose", "SEG": "a segmentation", "RTPLAN": "a radiotherapy plan"}
_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
_SCALE = {"RescaleSlope": 1.0, "RescaleIntercept": 0.0}
_CROOKED = 0.05  # of the two unit vectors' products; headers round to 1e-3 or better
_FAR = 1e6  # mm
CINE_NOTE = "the file does not place its frames: they are taken as times"
UPRIGHT_NOTE = "the file does not say how the patient lies: an upright frontal view is assumed"


class FrameKind(NamedTuple):
    """What must be equal within one scan; ``alone`` is '' but for images that are never stacked with others.

    Patient, number and description stand beside the UID of the series: anonymisers write one UID into all files.
    """

    series: str
    patient: str
    series_number: str
    description: str
    sop_class: str
    image_type: str
    component: str
    stack: str
    echo_number: str
    energy_window: str
    lacks: str
    alone: str


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
    kind : FrameKind
    echo : float
        Echo time, ms; 0 where there is none.
    keys : mapping
        Claims about its volume (``dicom_keys``).
    lacks : tuple of str
        'position', 'orientation': what the file does not say of a cross-section, and others have to tell.
    line : float or None
        Number of its slice in the file, where it has one (in-stack position).
    offset : float or None
        mm along the normal from the first frame of its file, where the file places no other.
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
    kind: FrameKind
    echo: float = 0.0
    keys: Mapping[str, tuple[float, ...] | str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    line: float | None = None
    offset: float | None = None
    notes: tuple[str, ...] = ()


def frames_of(dataset: Dataset, path: Path) -> list[DicomFrame]:
    """List the planes of a dataset.

    Raises
    ------
    ScanError
        It is not a grey-level image.
    """
    check_grey(dataset, path.name)
    count = frame_count(dataset, path.name)
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    file = FileElements(dataset, path.name, list(dataset.get("SharedFunctionalGroupsSequence") or []))
    if groups is None:
        return [frame_of(Elements(file, number), path) for number in range(count)]
    if len(groups) != count:
        raise ScanError(f"{path.name} is damaged: it describes {len(groups)} of its {count} frames; export it again")
    return [frame_of(Elements(file, number, group), path) for number, group in enumerate(groups)]


def check_grey(dataset: Dataset, name: str) -> None:
    """Refuse what is no grey-level image.

    Raises
    ------
    ScanError
        Says what it is.
    """
    modality = str(dataset.get("Modality") or "")
    if modality in _NO_IMAGE:
        raise ScanError(f"{name} is {_NO_IMAGE[modality]}, not a scan; choose the images it belongs to")
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise ScanError(f"{name} holds no image; choose a file of an image series")
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise ScanError(f"{name} is a colour image; only grey-level scans can be restored")
    if "PALETTE" in str(dataset.get("PhotometricInterpretation") or ""):
        raise ScanError(f"{name} is coloured through a palette; only grey-level scans can be restored")


def _check_geometry(frame: DicomFrame) -> None:
    """Refuse axes that are not perpendicular unit vectors, and a position or pixel size out of this world."""
    square = np.abs(frame.axes @ frame.axes.T - np.eye(2)).max()
    spacing = frame.spacing
    if not (square < _CROOKED and np.abs(frame.position).max() < _FAR and 0 < min(spacing) <= max(spacing) < _FAR):
        raise ScanError(f"{frame.path.name} has an impossible position, orientation or pixel size; export it again")


def frame_of(elements: Elements, path: Path) -> DicomFrame:
    """Make the frame that these elements speak of.

    Raises
    ------
    ScanError
        Its geometry or scale cannot be read, or cannot be.
    """
    dataset = elements.dataset
    several = int(dataset.get("NumberOfFrames") or 1) > 1
    spacing, notes = pixel_size(elements)
    position, axes, told = place_of(elements)
    lacks = tuple(what for what, found in (("position", position), ("orientation", axes)) if found is None)
    line = elements.number_at("FrameContentSequence", "InStackPositionNumber")
    beam = elements.file.once(beam_of, lambda: beam_of(dataset))
    alone = ""
    if lacks and beam != "section":  # never stacked with others
        axes, lacks, alone = upright_axes(dataset) if axes is None else axes, (), str(path)
        notes += (UPRIGHT_NOTE,) if beam == "unknown" and not dataset.get("PatientOrientation") else ()
    elif lacks and elements.groups and line is None:
        raise ScanError(f"{path.name} does not say where its frames lie; export it with positions")
    offset = None if elements.groups else offset_along(elements)
    if several and (alone or (not elements.groups and offset is None)):
        told += (CINE_NOTE,)
    slope, intercept, scale_notes = usable_scale(*(_scale(elements, keyword) for keyword in _SCALE))
    thickness = elements.number_at("PixelMeasuresSequence", "SpacingBetweenSlices") or elements.number_at(
        "PixelMeasuresSequence", "SliceThickness"
    )
    frame = DicomFrame(
        dataset=dataset, path=path, number=elements.number, tile=(0, 0),
        shape=(int(dataset.Rows), int(dataset.Columns)), spacing=spacing,
        axes=np.eye(3)[:2] if axes is None else axes, position=np.zeros(3) if position is None else position,
        thickness=abs(thickness or 0.0) or max(spacing), slope=slope, intercept=intercept,
        kind=_kind(elements, lacks, alone),
        echo=abs(elements.number_at("MREchoSequence", "EffectiveEchoTime") or elements.number_at("", "EchoTime") or 0),
        keys=keys_of(elements), lacks=lacks, line=line, offset=offset,
        notes=notes + told + scale_notes,
    )  # fmt: skip
    _check_geometry(frame)
    return frame


def _scale(elements: Elements, keyword: str) -> float:
    """Slope or intercept, whatever number it is."""
    value = elements.find("PixelValueTransformationSequence", keyword)
    try:
        return _SCALE[keyword] if value is None else float(value)
    except (TypeError, ValueError) as error:
        raise ScanError(f"{elements.name} has a {keyword} that is no number; export it again") from error


def _kind(elements: Elements, lacks: Sequence[str], alone: str) -> FrameKind:
    image_type = next((kind for name in _FRAME_TYPES if (kind := elements.word(name, "FrameType"))), None)
    number = number_of(elements.word("", "SeriesNumber"))
    return FrameKind(
        series=elements.word("", "SeriesInstanceUID"),
        patient=elements.word("", "PatientID"),
        series_number="" if number is None else f"{number:g}",
        description=printable(elements.word("", "SeriesDescription")),
        sop_class=elements.word("", "SOPClassUID"),
        image_type=image_type or elements.word("", "ImageType"),
        component=elements.word("MRImageFrameTypeSequence", "ComplexImageComponent"),
        stack=elements.word("FrameContentSequence", "StackID"),
        echo_number=elements.word("", "EchoNumbers"),
        energy_window=f"{elements.vector_at('EnergyWindowVector') or ''}",
        lacks=" and ".join(lacks),
        alone=alone,
    )
