"""An enhanced multi-frame file derived from enhanced sources: its functional groups redone for the new frames.

Groups that are the same in all frames are shared, the others go per frame. Image Type of enhanced files has four
values, the second of which can only be PRIMARY.

Source: DICOM PS3.3 C.7.6.16 (functional groups), C.7.6.17 (dimensions), C.8.16.1 (image and frame type), C.8.13.4 (MR
pulse sequence).
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import generate_uid

from napari_brgm.scans.dicom_companions import companion_item, evidence_of, instance_of, instances_in, list_instances
from napari_brgm.scans.dicom_derived import public_copy, source_items
from napari_brgm.scans.dicom_stored import decimals, scale_of, set_pixels
from napari_brgm.scans.record import described

if TYPE_CHECKING:
    from collections.abc import Sequence as Several

    from napari_brgm.scans.dicom_derived import Series
    from napari_brgm.scans.dicom_planes import DicomPlane
    from napari_brgm.scans.dicom_stored import Encoding

__all__ = ["enhanced_file"]

_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
_CONTRAST = {"super-resolve": "RESAMPLED"}  # fourth value of the image type, by task; the second by role
_CONTRAST_OF_ROLE = {"std": "STD_DEVIATION", "variance": "NONE"}
_ORIGINAL_ALONE = (  # may not be there in derived images: they say how the source was acquired
    "PulseSequenceName", "MRAcquisitionType", "EchoPulseSequence", "MultipleSpinEcho", "MultiPlanarExcitation",
    "PhaseContrast", "VelocityEncodingAcquisitionSequence", "TimeOfFlightContrast", "ArterialSpinLabelingContrast",
    "SteadyStatePulseSequence", "EchoPlanarPulseSequence", "SaturationRecovery", "SpectrallySelectedSuppression",
    "OversamplingPhase", "GeometryOfKSpaceTraversal", "RectilinearPhaseEncodeReordering", "SegmentedKSpaceTraversal",
    "CoverageOfKSpace", "NumberOfKSpaceTrajectories", "BulkMotionCompensationTechnique", "BulkMotionSignalSource",
    "CardiacRRIntervalSpecified", "IntervalsAcquired", "IntervalsRejected",
)  # fmt: skip
_ALWAYS_PER_FRAME = ("FrameContentSequence", "PlanePositionSequence", "DerivationImageSequence")


def enhanced_file(series: Series, planes: Several[DicomPlane], encoding: Encoding, *, keep_window: bool) -> Dataset:
    """Make the one file of a series whose source is enhanced."""
    base = planes[0].template.dataset
    without: dict[Any, Any] = {tag: base[tag] for tag in base.keys() if tag not in (Tag(_SHARED), Tag(_PER_FRAME))}  # noqa: SIM118
    dataset = series.derive(Dataset(without), keep_window=keep_window and encoding.as_source)
    own = [str(word) for word in base.get("ImageType") or ()]
    kind = ["DERIVED", "PRIMARY", own[2] if len(own) > 2 and own[2] else "VOLUME", _contrast(series)]
    dataset.ImageType, dataset.InstanceNumber, dataset.NumberOfFrames = kind, 1, len(planes)
    for keyword in _ORIGINAL_ALONE:
        if keyword in dataset:
            delattr(dataset, keyword)
    if "ContentQualification" in dataset:
        dataset.ContentQualification = "RESEARCH"
    originals: dict[int, Dataset] = {}
    frames = [_groups(plane, series, encoding, kind, originals) for plane in planes]
    _set_dimensions(dataset, frames, planes)
    shared = _common(frames)
    for frame in frames:
        for tag in shared:
            del frame[tag]
    setattr(dataset, _SHARED, Sequence([Dataset(shared)]))
    setattr(dataset, _PER_FRAME, Sequence([Dataset(frame) for frame in frames]))
    sources = [instance_of(frame.dataset) for plane in planes for frame in plane.sources]
    if evidence := evidence_of(sources):
        dataset.SourceImageEvidenceSequence = evidence
    if beside := [one.instance for plane in planes for one in series.beside.get((plane.time, plane.slice), ())]:
        before = instances_in(dataset.get("ReferencedImageEvidenceSequence") or ())
        dataset.ReferencedImageEvidenceSequence = evidence_of([*before, *beside])
        list_instances(dataset, [*sources, *beside])
    set_pixels(dataset, planes, encoding)
    return dataset


def _contrast(series: Series) -> str:
    return _CONTRAST_OF_ROLE.get(series.role) or _CONTRAST.get(series.task, "NONE")


def _groups(
    plane: DicomPlane, series: Series, encoding: Encoding, kind: list[str], originals: dict[int, Dataset]
) -> dict[Any, Any]:
    """All functional groups of a frame, by tag: those of the template, then what is new."""
    frame = plane.template
    shared = list(frame.dataset.get(_SHARED) or [])
    items = [*shared, frame.dataset[_PER_FRAME].value[frame.number]]  # the frame's own come last, and win
    groups = Dataset({e.tag: e for item in items for e in _cached(item, originals)})
    stale = ["FrameVOILUTSequence", *([] if encoding.as_source else ["RealWorldValueMappingSequence"])]
    for keyword in stale:  # the window of the old pixels, and what their integers meant
        if keyword in groups:
            delattr(groups, keyword)
    for keyword in _FRAME_TYPES:
        if keyword in groups:
            _replace(groups, keyword, FrameType=kind)
    if not plane.own_grid:
        measures: dict[str, Any] = {"PixelSpacing": decimals(plane.spacing)}
        measures["SpacingBetweenSlices"] = decimals([plane.step])[0]
        if plane.thickness is not None:
            measures["SliceThickness"] = decimals([plane.thickness])[0]
        _replace(groups, "PixelMeasuresSequence", **measures)
        _replace(groups, "PlaneOrientationSequence", ImageOrientationPatient=decimals(plane.axes.ravel()))
        _replace(groups, "PlanePositionSequence", ImagePositionPatient=decimals(plane.position))
    if encoding.slope is not None:
        units = {"RescaleSlope": encoding.slope, "RescaleIntercept": encoding.intercept, "RescaleType": "US"}
        _replace(groups, "PixelValueTransformationSequence", **units)
    elif "PixelValueTransformationSequence" in groups:
        changed = scale_of(frame, groups["PixelValueTransformationSequence"].value[0])
        if changed:
            _replace(groups, "PixelValueTransformationSequence", **changed)
    derivation = Dataset()
    derivation.DerivationDescription = described(series.record)
    derivation.DerivationCodeSequence = series.derivations
    derivation.SourceImageSequence = source_items(plane.sources, same_grid=plane.own_grid)
    _put(groups, "DerivationImageSequence", derivation)
    if beside := series.beside.get((plane.time, plane.slice)):
        _put(
            groups, "ReferencedImageSequence", *groups.get("ReferencedImageSequence", ()), *map(companion_item, beside)
        )
    return {element.tag: element for element in groups}


def _cached(item: Dataset, originals: dict[int, Dataset]) -> Dataset:
    """Public copy of a group item, made once: equal groups stay the same object."""
    if id(item) not in originals:
        originals[id(item)] = public_copy(item)
    return originals[id(item)]


def _replace(groups: Dataset, keyword: str, **elements: Any) -> None:
    """Change elements of a group without touching the item that other frames share."""
    before = groups[keyword].value if keyword in groups else []
    item = deepcopy(before[0]) if before else Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    _put(groups, keyword, item)


def _put(groups: Dataset, keyword: str, *items: Dataset) -> None:
    """Set a group by a new element: setting the value of the old one would change it in other frames too."""
    groups.add(DataElement(Tag(keyword), "SQ", Sequence(items)))


def _set_dimensions(dataset: Dataset, frames: list[dict[Any, Any]], planes: Several[DicomPlane]) -> None:
    """Number the frames by slice and, if there are several, by time."""
    timed = any(plane.time for plane in planes)
    pointers = ["InStackPositionNumber", *(["TemporalPositionIndex"] if timed else [])]
    organization = Dataset()
    organization.DimensionOrganizationUID = generate_uid()
    dataset.DimensionOrganizationSequence = [organization]
    indices = []
    for pointer in pointers:
        index = Dataset()
        index.DimensionOrganizationUID = organization.DimensionOrganizationUID
        index.DimensionIndexPointer, index.FunctionalGroupPointer = Tag(pointer), Tag("FrameContentSequence")
        indices.append(index)
    dataset.DimensionIndexSequence = indices
    for frame, plane in zip(frames, planes, strict=True):
        groups = Dataset(frame)
        numbers: dict[str, Any] = {"StackID": _stack_id(groups), "InStackPositionNumber": plane.slice + 1}
        if timed:
            numbers["TemporalPositionIndex"] = plane.time + 1
        values = [plane.slice + 1, *([plane.time + 1] if timed else [])]
        _replace(groups, "FrameContentSequence", **numbers, DimensionIndexValues=values)
        frame[Tag("FrameContentSequence")] = groups["FrameContentSequence"]


def _stack_id(groups: Dataset) -> str:
    content = groups["FrameContentSequence"].value if "FrameContentSequence" in groups else []
    return str((content[0].get("StackID") if content else None) or "1")


def _common(frames: list[dict[Any, Any]]) -> dict[Any, Any]:
    """Groups that all frames have alike."""
    apart = {Tag(keyword) for keyword in _ALWAYS_PER_FRAME}
    first, *others = frames
    return {
        tag: element
        for tag, element in first.items()
        if tag not in apart
        and all(tag in frame and (frame[tag] is element or frame[tag] == element) for frame in others)
    }
