"""What the files of a derived series say: kept of the source, new, and gone because it described other pixels.

Source: DICOM PS3.3 C.7.6.1 (general image: derivation), C.12.1 (contributing equipment), C.7.6.16.2.6 (derivation
image); PS3.16 CID 7202 (purposes), CID 7203 (derivations), CID 7005 (equipment).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from napari_brgm.scans.dicom_private import write_record
from napari_brgm.scans.record import SOFTWARE, described, is_intensity, version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_brgm.scan import Scan
    from napari_brgm.scans.dicom_companions import Companion
    from napari_brgm.scans.dicom_frame import DicomFrame

__all__ = ["Series", "code", "public_copy", "source_items"]

_GONE = (
    "SmallestImagePixelValue", "LargestImagePixelValue", "SmallestPixelValueInSeries", "LargestPixelValueInSeries",
    "SmallestImagePixelValueInPlane", "LargestImagePixelValueInPlane", "IconImageSequence", "VOILUTSequence",
    "ModalityLUTSequence", "PixelDataProviderURL", "DataSetTrailingPadding", "DigitalSignaturesSequence",
    "MACParametersSequence", "EncryptedAttributesSequence", "OriginalAttributesSequence", "SourceImageSequence",
    "DerivationCodeSequence", "DerivationDescription", "HistogramSequence", "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths", "PixelData", "FloatPixelData", "DoubleFloatPixelData", "ConcatenationUID",
    "SOPInstanceUIDOfConcatenationSource", "InConcatenationNumber", "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber", "ImageComments", "DimensionOrganizationType", "InstanceCreatorUID",
    "CreatorVersionUID",
)  # fmt: skip
_WINDOW = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")
_OVERLAYS, _CURVES = range(0x6000, 0x6100), range(0x5000, 0x5100)  # groups; they are drawn on the old grid
_PRIVATE = "99BRGM"  # coding scheme for what DICOM has no code of
_DERIVATIONS = {
    "super-resolve": ("113085", "DCM", "Spatial resampling"),
    "in-paint": ("INPAINT", _PRIVATE, "In-painting by generative model"),
    "clean": ("CLEAN", _PRIVATE, "Clean-up by generative model"),
}
_ROLES = {
    "variance": ("VARIANCE", _PRIVATE, "Posterior variance"),
    "std": ("STD", _PRIVATE, "Posterior standard deviation"),
}
_TILED = ("MOSAIC", "VFRAME")  # words of image types; the result is no such one
_SERIES = 1000  # derived series of series n: 1000 n + 1, ...


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Make a coded entry."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def public_copy(dataset: Dataset) -> Dataset:
    """Copy a dataset and all of its sequences without private elements, and without those that cannot be read."""
    public = Dataset()
    for tag in list(dataset.keys()):
        if Tag(tag).is_private:
            continue
        try:
            element = dataset[tag]
            if element.VR == "SQ":
                public.add_new(tag, "SQ", Sequence([public_copy(item) for item in element.value or []]))
            else:
                public.add(copy(element))  # values are replaced here, never changed in place
        except Exception:  # damaged values of the source: pydicom raises almost anything
            continue
    return public


def source_items(frames: Iterable[DicomFrame], *, same_grid: bool) -> Sequence:
    """References to source images, each once, with the purpose and, of multi-frame files, the frame numbers."""
    numbers: dict[int, list[int]] = {}
    items: dict[int, Dataset] = {}  # by file: anonymisers write one instance UID into all of them
    for frame in frames:
        uid, file = str(frame.dataset.get("SOPInstanceUID") or ""), id(frame.dataset)
        if not uid:
            continue
        if file not in items:
            item = items[file] = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = frame.dataset.get("SOPClassUID"), uid
            item.SpatialLocationsPreserved = "YES" if same_grid else "NO"
            purpose = code("121322", "DCM", "Source image for image processing operation")
            item.PurposeOfReferenceCodeSequence = [purpose]
        if "NumberOfFrames" in frame.dataset:
            numbers.setdefault(file, []).append(frame.number + 1)
    for file, found in numbers.items():
        items[file].ReferencedFrameNumber = found if len(found) > 1 else found[0]
    return Sequence(items.values())


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What all files of one derived series share.

    Attributes
    ----------
    scan : Scan
        With its provenance.
    number : int
        1, 2, ... among the series that are saved together.
    beside : mapping of (int, int) to tuple of Companion
        What is written beside its images, by time and slice.
    frame_of_reference : str
        UID that it shares with what is beside it; '': the source's.
    captured : bool
        Whether its files are secondary captures, as the source's class may have no place for such values; those of
        several frames stay of that class.
    uid : str
    now : datetime
    """

    scan: Scan
    number: int = 1
    beside: Mapping[tuple[int, int], tuple[Companion, ...]] = field(default_factory=dict)
    frame_of_reference: str = ""
    captured: bool = False
    uid: str = field(default_factory=generate_uid)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def record(self) -> dict[str, Any]:
        return self.scan.provenance or {}

    @property
    def role(self) -> str:
        return str(self.record.get("role") or "restored")

    @property
    def task(self) -> str:
        return str(self.record.get("task") or "")

    @property
    def derivations(self) -> Sequence:
        """Codes of what was done and of what the values are."""
        codes = [_DERIVATIONS.get(self.task, ("RESTORE", _PRIVATE, "Restoration by generative model"))]
        codes += [_ROLES[self.role]] if self.role in _ROLES else []
        return Sequence(code(*parts) for parts in codes)

    def derive(self, source: Dataset, *, keep_window: bool) -> Dataset:
        """Make the attributes of one file from those of its source; pixels, geometry and references are not set."""
        dataset = public_copy(source)
        stale = _GONE if keep_window and is_intensity(self.record) else _GONE + _WINDOW
        for keyword in stale:
            if keyword in dataset:
                delattr(dataset, keyword)
        for tag in [tag for tag in dataset.keys() if tag.group in _OVERLAYS or tag.group in _CURVES]:  # noqa: SIM118
            del dataset[tag]
        kind = UID(str(dataset.get("SOPClassUID") or ""))
        if self.captured and "NumberOfFrames" not in dataset:
            kind, dataset.ConversionType = SecondaryCaptureImageStorage, "WSD"  # by a workstation
            if "ViewCodeSequence" in dataset:  # it may have no empty modifiers here, as radiographs have
                del dataset.ViewCodeSequence
        dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = kind, generate_uid(), self.uid
        dataset.SeriesNumber = self.series_number(source)
        dataset.SeriesDescription = self.description(source)
        own = [str(word) for word in source.get("ImageType") or ()][2:]
        dataset.ImageType = ["DERIVED", "SECONDARY", *(word for word in own if word not in _TILED)]
        dataset.DerivationDescription = described(self.record)
        dataset.DerivationCodeSequence = self.derivations
        dataset.ImageComments = self._comments()
        if dataset.get("BurnedInAnnotation") != "YES":
            dataset.BurnedInAnnotation = "NO"
        if self.frame_of_reference:
            dataset.FrameOfReferenceUID = self.frame_of_reference
            dataset.PositionReferenceIndicator = dataset.get("PositionReferenceIndicator")
        self.sign(dataset)
        meta = dataset.file_meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, dataset.SOPInstanceUID
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        return dataset

    def sign(self, dataset: Dataset) -> None:
        """Say who computed a file, when, by which codes, and put in the record."""
        dataset.ContributingEquipmentSequence = [*dataset.get("ContributingEquipmentSequence", ()), self._equipment()]
        scheme = Dataset()
        scheme.CodingSchemeDesignator, scheme.CodingSchemeName = _PRIVATE, f"{SOFTWARE} codes"
        scheme.CodingSchemeResponsibleOrganization = f"{SOFTWARE} developers"
        before = dataset.get("CodingSchemeIdentificationSequence", ())
        others = [one for one in before if one.get("CodingSchemeDesignator") != _PRIVATE]
        dataset.CodingSchemeIdentificationSequence = [*others, scheme]
        self._set_dates(dataset)
        write_record(dataset, self.record, self.scan.units)

    def series_number(self, source: Dataset) -> int:
        """1000 times that of the source, and its own."""
        number = int(source.get("SeriesNumber") or 0)
        return (number if 0 < number < 10**6 else 9) * _SERIES + self.number

    def description(self, source: Dataset) -> str:
        """The source's, and in brackets what this is; 64 characters at most."""
        mark = "[synthetic: not measured]" if self.role == "mask" else f"[{self.role}, synthetic]"
        before = str(source.get("SeriesDescription") or source.get("Modality") or "").split(" [")[0]
        return f"{before[: 63 - len(mark)]} {mark}".strip()

    def _comments(self) -> str:
        prior, software = (self.record.get(key) for key in ("prior", "software"))
        facts = {
            "prior": prior.get("name") if isinstance(prior, dict) else None,
            "weights sha256": prior.get("sha256") if isinstance(prior, dict) else None,
            "method": self.record.get("method"),
            "seed": self.record.get("seed"),
            "samples": self.record.get("samples"),
            "software": software.get("version") if isinstance(software, dict) else None,
            "units": self.scan.units,
        }
        listed = "; ".join(f"{name}: {value}" for name, value in facts.items() if value not in (None, ""))
        return f"{described(self.record)} {listed}".encode("ascii", "replace").decode().replace("\\", "/")[:10000]

    def _equipment(self) -> Dataset:
        prior = self.record.get("prior")
        named = prior if isinstance(prior, dict) else {}
        software = self.record.get("software")
        used = software.get("version") if isinstance(software, dict) else None
        item = Dataset()
        item.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
        item.Manufacturer, item.ManufacturerModelName = f"{SOFTWARE} developers", SOFTWARE
        item.SoftwareVersions = str(used or version())
        item.ContributionDateTime = self.now.strftime("%Y%m%d%H%M%S+0000")
        text = f"restoration with the prior {named.get('name')}, weights sha256 {named.get('sha256')}"
        item.ContributionDescription = text.encode("ascii", "replace").decode()[:1024]
        return item

    def _set_dates(self, dataset: Dataset) -> None:
        """Date and time of now, in the time zone of the file or, as DICOM has it, of this machine."""
        zone = str(dataset.get("TimezoneOffsetFromUTC") or "")
        try:
            minutes = (int(zone[1:3]) * 60 + int(zone[3:5])) * (-1 if zone[0] == "-" else 1)
            now = self.now.astimezone(timezone(timedelta(minutes=minutes)))
        except (ValueError, IndexError):
            now = self.now.astimezone()
        for event in ("Series", "Content", "InstanceCreation"):
            setattr(dataset, f"{event}Date", now.strftime("%Y%m%d"))
            setattr(dataset, f"{event}Time", now.strftime("%H%M%S.%f"))
