"""Companions: objects that are written beside a derived series and speak of its pixels; and lists of references.

Source: DICOM PS3.3 C.12.4 (general reference), C.12.2 (common instance reference), C.7.6.16.2.5 (referenced image).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pydicom.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Companion", "DicomInstance", "companion_item", "evidence_of", "instance_item", "instance_of", "instances_in",
    "list_instances",
]  # fmt: skip


class DicomInstance(NamedTuple):
    """What tells one DICOM object from all others, and where it stands."""

    study: str
    series: str
    sop_class: str
    uid: str


@dataclass(frozen=True, slots=True)
class Companion:
    """An object beside a derived series.

    Attributes
    ----------
    instance : DicomInstance
    purpose : (str, str, str)
        Code value, coding scheme and meaning of what it says of the pixels.
    """

    instance: DicomInstance
    purpose: tuple[str, str, str]


def instance_of(dataset: Dataset) -> DicomInstance:
    """Read from a header; '' for what it does not say."""
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
    return DicomInstance(*(str(dataset.get(keyword) or "") for keyword in keywords))


def instance_item(instance: DicomInstance) -> Dataset:
    """Reference to one object."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.sop_class, instance.uid
    return item


def companion_item(companion: Companion) -> Dataset:
    """Reference of an image to what is beside it."""
    item, purpose = instance_item(companion.instance), Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = companion.purpose
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def list_instances(dataset: Dataset, instances: Iterable[DicomInstance]) -> None:
    """List what a dataset refers to, each once, by series; those of other studies apart."""
    for keyword in ("ReferencedSeriesSequence", "StudiesContainingOtherReferencedInstancesSequence"):
        if keyword in dataset:  # those of the source
            delattr(dataset, keyword)
    studies = evidence_of(instances, "ReferencedInstanceSequence")
    own = [item for item in studies if item.StudyInstanceUID == dataset.get("StudyInstanceUID")]
    if own:
        dataset.ReferencedSeriesSequence = own[0].ReferencedSeriesSequence
    others = [item for item in studies if item not in own]
    if others:
        dataset.StudiesContainingOtherReferencedInstancesSequence = others


def evidence_of(instances: Iterable[DicomInstance], keyword: str = "ReferencedSOPSequence") -> list[Dataset]:
    """Study, series and objects of references, each once; the objects stand under ``keyword``."""
    studies: dict[str, dict[str, dict[str, DicomInstance]]] = {}
    for one in instances:
        if one.uid:
            studies.setdefault(one.study, {}).setdefault(one.series, {})[one.uid] = one
    items = []
    for study, series in studies.items():
        item = Dataset()
        item.StudyInstanceUID, item.ReferencedSeriesSequence = study, []
        for uid, found in series.items():
            group = Dataset()
            group.SeriesInstanceUID = uid
            setattr(group, keyword, [instance_item(one) for one in found.values()])
            item.ReferencedSeriesSequence.append(group)
        items.append(item)
    return items


def instances_in(evidence: Iterable[Dataset]) -> list[DicomInstance]:
    """The objects that ``evidence_of`` lists."""
    return [
        DicomInstance(
            str(study.get("StudyInstanceUID") or ""),
            str(series.get("SeriesInstanceUID") or ""),
            str(one.get("ReferencedSOPClassUID") or ""),
            str(one.get("ReferencedSOPInstanceUID") or ""),
        )
        for study in evidence
        for series in study.get("ReferencedSeriesSequence") or ()
        for one in series.get("ReferencedSOPSequence") or ()
    ]
