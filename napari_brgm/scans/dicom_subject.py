"""What an object beside a derived series speaks of: images of that series, and the frames that these came from.

highdicom writes such objects (parametric maps, segmentations) from headers of their source images. It is given plain
stand-ins, one for each image, that hold no more than the geometry: it refuses enhanced sources whose frames are turned
against each other by a rounding, and logs names of patients that it finds odd. Patient, study, references and record
are put in afterwards.

Source: DICOM PS3.3 A.51 (segmentation), A.75 (parametric map), C.7.6.16.2.6 (derivation image).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from napari_brgm.scans.dicom_companions import DicomInstance, instance_item, instance_of, list_instances
from napari_brgm.scans.dicom_derived import code, source_items
from napari_brgm.scans.dicom_stored import decimals
from napari_brgm.scans.record import described, version

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from highdicom.base import SOPClass

    from napari_brgm.scans.dicom_derived import Series
    from napari_brgm.scans.dicom_planes import DicomPlane

__all__ = ["DicomSubject", "is_placed", "prior_hash", "software_version"]

_STAND_IN = "2.25."  # a stand-in's UID is this and its number; it is never written


def is_placed(plane: DicomPlane) -> bool:
    """Whether the source says where an image lies in the patient, by itself and not by a guess of ours.

    It does not of a projection, of an image whose position or orientation is gone, and in the volume of an ultrasound
    probe.
    """
    frame = plane.template
    if frame.kind.alone or frame.lacks:
        return False
    groups = frame.dataset.get("PerFrameFunctionalGroupsSequence")
    if groups is None:
        return True
    shared = frame.dataset.get("SharedFunctionalGroupsSequence") or ()
    return any("PlanePositionSequence" in item for item in (groups[frame.number], *shared))


@dataclass(frozen=True, slots=True, eq=False)
class DicomSubject:
    """Images of one derived series, in the order of its slices.

    Attributes
    ----------
    planes : sequence of DicomPlane
        What they were made of.
    headers : sequence of Dataset
        Of the written file that holds each.
    frames : sequence of (int or None)
        Frame number in that file, from 1; None: its only one.
    frame_of_reference : str
        '' where they have no place in the patient; there is one image then.
    """

    planes: Sequence[DicomPlane]
    headers: Sequence[Dataset]
    frames: Sequence[int | None]
    frame_of_reference: str

    @property
    def source(self) -> Dataset:
        """Header of what the first image was made of."""
        return self.planes[0].template.dataset

    def pixels(self, planes: Sequence[DicomPlane]) -> npt.NDArray[Any]:
        """(N, rows, columns): the values of other planes on this grid."""
        return np.stack([np.ascontiguousarray(plane.values) for plane in planes])

    def stand_ins(self) -> list[Dataset]:
        """The images as highdicom is shown them."""
        axes = decimals(self.planes[0].axes.ravel())  # one grid: they differ by rounding
        made = []
        for number, plane in enumerate(self.planes):
            image = Dataset()
            image.SOPClassUID, image.SOPInstanceUID = SecondaryCaptureImageStorage, f"{_STAND_IN}{number + 1}"
            image.StudyInstanceUID = instance_of(self.headers[0]).study
            image.SeriesInstanceUID = instance_of(self.headers[0]).series
            for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
                setattr(image, keyword, None)
            image.StudyDate = image.StudyTime = None
            image.Modality = self.headers[0].get("Modality")
            image.Rows, image.Columns = plane.values.shape
            if self.frame_of_reference:
                image.FrameOfReferenceUID = self.frame_of_reference
                image.ImagePositionPatient, image.ImageOrientationPatient = decimals(plane.position), axes
                image.PixelSpacing = decimals(plane.spacing)
                thickness = plane.template.thickness if plane.thickness is None else plane.thickness
                image.SliceThickness, image.SpacingBetweenSlices = decimals([thickness, plane.step])
            made.append(image)
        return made

    def finish(self, made: SOPClass, series: Series, derivation: tuple[str, str, str]) -> None:
        """Put into an object what highdicom was not told: whose it is, what it refers to, how it was computed."""
        header = self.headers[0]
        who = Dataset({tag: copy(header[tag]) for tag in header.keys()})  # noqa: SIM118
        who.SOPClassUID = SecondaryCaptureImageStorage  # that of the source may be one that highdicom does not know
        made.copy_patient_and_study_information(who)
        for keyword in ("SpecificCharacterSet", "TimezoneOffsetFromUTC"):
            if keyword in header:
                setattr(made, keyword, header.get(keyword))
        if self.frame_of_reference:
            made.PositionReferenceIndicator = header.get("PositionReferenceIndicator")
        else:
            made.PatientOrientation = header.get("PatientOrientation")
        made.SeriesDescription = series.description(self.source)
        self._refer(made, series, derivation)
        series.sign(made)

    def _refer(self, made: SOPClass, series: Series, derivation: tuple[str, str, str]) -> None:
        """Point from each frame to its derived image and to the source images, and list them all."""
        for groups in made.PerFrameFunctionalGroupsSequence:
            stood_in = str(groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
            number = int(stood_in.removeprefix(_STAND_IN)) - 1
            item = Dataset()
            item.DerivationDescription = described(series.record)
            item.DerivationCodeSequence = [code(*derivation)]
            plane = self.planes[number]
            item.SourceImageSequence = [self._image(number), *source_items(plane.sources, same_grid=plane.own_grid)]
            groups.DerivationImageSequence = [item]
        instances: list[DicomInstance] = [instance_of(header) for header in self.headers]
        instances += [instance_of(frame.dataset) for plane in self.planes for frame in plane.sources]
        made.SourceImageSequence = [instance_item(one) for one in dict.fromkeys(instances) if one.uid]
        list_instances(made, instances)

    def _image(self, number: int) -> Dataset:
        """Reference to one of the derived images."""
        item = instance_item(instance_of(self.headers[number]))
        item.SpatialLocationsPreserved = "YES"
        item.PurposeOfReferenceCodeSequence = [code("121322", "DCM", "Source image for image processing operation")]
        if self.frames[number] is not None:
            item.ReferencedFrameNumber = self.frames[number]
        return item


def software_version(series: Series) -> str:
    """Of the software that computed a result, as its record says it."""
    software = series.record.get("software")
    return str((software.get("version") if isinstance(software, dict) else None) or version())


def prior_hash(series: Series) -> str:
    """SHA-256 of the prior's weights, which tell one device from another more than the software does."""
    prior = series.record.get("prior")
    return str((prior.get("sha256") if isinstance(prior, dict) else None) or software_version(series))[:64]
