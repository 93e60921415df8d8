"""What is not measured as a Segmentation: one segment, so that a reader's workstation shows it over the images.

DICOM has no code for it, so that a private one says what it is.

Source: DICOM PS3.3 A.51 and C.8.20 (segmentation); PS3.16 CID 7150 (categories), CID 7162 (families of algorithms).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydicom.sr.codedict import codes

from napari_brgm.scans.dicom_subject import prior_hash, software_version
from napari_brgm.scans.record import SOFTWARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from napari_brgm.scans.dicom_derived import Series
    from napari_brgm.scans.dicom_planes import DicomPlane
    from napari_brgm.scans.dicom_subject import DicomSubject

__all__ = ["SYNTHETIC", "segmentation"]

SYNTHETIC = ("SYNTHETIC", "99BRGM", "Synthetic, not measured")
_LABEL = "synthetic: not measured"
_SEGMENTATION = ("113076", "DCM", "Segmentation")
_COLOUR = (255, 128, 0)  # sRGB; no tissue is orange
_BY_HAND = ("in-paint",)  # tasks in which a person says where


def segmentation(
    subject: DicomSubject, synthetic: Sequence[DicomPlane], series: Series, uid: str, number: int
) -> Dataset:  # fmt: skip
    """Make the object; ``synthetic`` are planes of booleans on the grid of the subject's."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import Segmentation, SegmentDescription
    from highdicom.sr import CodedConcept

    prior = series.record.get("prior")
    facts = {
        "prior": prior.get("name") if isinstance(prior, dict) else None,
        "weights sha256": prior_hash(series),
        **{name: series.record.get(name) for name in ("method", "seed")},
    }
    segment = SegmentDescription(
        1,
        _LABEL,
        codes.cid7150.SpatialAndRelationalConcept,
        CodedConcept(*SYNTHETIC),
        "SEMIAUTOMATIC" if series.task in _BY_HAND else "AUTOMATIC",
        AlgorithmIdentificationSequence(
            SOFTWARE,
            codes.cid7162.ArtificialIntelligence,
            software_version(series),
            parameters={name: str(value) for name, value in facts.items() if value not in (None, "")},
        ),
        display_color=CIELabColor.from_rgb(*_COLOUR),
    )
    made = Segmentation(
        subject.stand_ins(),
        subject.pixels(synthetic).astype(bool, copy=False),
        "BINARY",
        [segment],
        series.uid,
        series.series_number(subject.source),
        uid,
        number,
        f"{SOFTWARE} developers",
        SOFTWARE,
        software_version(series),
        prior_hash(series),
        content_label="SYNTHETIC",
        content_description="Synthetic: computed, not measured. Not for diagnosis",
        omit_empty_frames=False,
    )
    _pad_with_zeros(made)
    subject.finish(made, series, _SEGMENTATION)
    return made


def _pad_with_zeros(made: Dataset) -> None:
    """End pixels of an odd length with a zero byte."""
    length = -(-int(made.NumberOfFrames) * int(made.Rows) * int(made.Columns) // 8)
    if length < len(made.PixelData):
        made.PixelData = made.PixelData[:length] + b"\0"
