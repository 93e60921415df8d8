"""Small DICOM sources in which dciodvfy finds no error, cross-sections and a radiograph, and results of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from highdicom.legacy import LegacyConvertedEnhancedMRImage
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from napari_brgm.scans import read_scan

if TYPE_CHECKING:
    from napari_brgm.scan import Scan

RECORD = {
    "notice": "Synthetic: not measured. Not for diagnosis.", "software": {"name": "napari-brgm", "version": "0.1.0"},
    "prior": {"name": "brain-axial-128", "sha256": "ab" * 32}, "method": "map", "seed": 3, "samples": 32,
    "task": "in-paint", "role": "restored", "run": "0123456789ab",
}  # fmt: skip
SLICES = 5
TURN = np.array([[0.8, 0.6, 0], [-0.48, 0.64, 0.6], [0.36, -0.48, 0.8]])  # along rows, along columns, normal
FIRST, STEP, SPACING = np.array([-31.0, 12.5, 40.0]), 3.0, [1.25, 0.75]


def oblique(folder: Path, step: float = STEP, **elements: object) -> list[pydicom.Dataset]:
    """MR slices that lie obliquely, numbered against their normal; ``step`` below 0: they go the other way."""
    folder.mkdir(parents=True)
    written = []
    for k in range(SLICES):
        source = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
        source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        source.InstanceNumber = SLICES - k
        source.ImageOrientationPatient = [f"{x:.10g}" for x in TURN[:2].ravel()]
        source.ImagePositionPatient = [f"{x:.10g}" for x in FIRST + step * k * TURN[2]]
        source.PixelSpacing, source.SliceThickness, source.SpacingBetweenSlices = SPACING, 2, abs(step)
        source.SliceLocation = step * k
        del source.DataSetTrailingPadding  # which archives drop
        source.PixelData = np.random.default_rng(k).integers(0, 900, (64, 64)).astype("<i2").tobytes()
        for keyword, value in elements.items():
            if value is None:
                delattr(source, keyword)
            else:
                setattr(source, keyword, value)
        source.save_as(folder / f"{k}.dcm")
        written.append(source)
    return written


def enhanced(folder: Path) -> None:
    """The same in one file."""
    slices = oblique(folder.with_name(f"{folder.name}-classic"))
    one = LegacyConvertedEnhancedMRImage(
        slices, generate_uid(), 5, generate_uid(), 1, transfer_syntax_uid=ExplicitVRLittleEndian
    )
    one.Laterality = None
    folder.mkdir()
    one.save_as(folder / "enhanced.dcm")


def radiograph(folder: Path) -> None:
    """A chest of 60 x 50 pixels (CR); it has no place in the patient."""
    like = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False), stop_before_pixels=True)
    image = Dataset()
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
                    "StudyTime", "AccessionNumber", "StudyID", "ReferringPhysicianName", "Manufacturer"):  # fmt: skip
        setattr(image, keyword, like.get(keyword))
    image.SOPClassUID, image.SOPInstanceUID = ComputedRadiographyImageStorage, generate_uid()
    image.SeriesInstanceUID, image.SeriesNumber, image.InstanceNumber = generate_uid(), 2, 1
    image.Modality, image.BodyPartExamined, image.ViewPosition = "CR", "CHEST", "PA"
    image.PatientOrientation = ["L", "F"]
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME1"
    image.Rows, image.Columns, image.ImagerPixelSpacing = 60, 50, [0.4, 0.4]
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelData = np.random.default_rng(0).integers(0, 4096, (60, 50)).astype("<u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    folder.mkdir(parents=True)
    image.save_as(folder / "chest.dcm", enforce_file_format=True)


def digital_radiograph(folder: Path) -> None:
    """The same as DX, which asks for more."""
    radiograph(folder)
    image = pydicom.dcmread(folder / "chest.dcm")
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    image.Modality, image.PresentationIntentType, image.ImageType = (
        "DX",
        "FOR PRESENTATION",
        ["ORIGINAL", "PRIMARY", ""],
    )
    image.PixelIntensityRelationship, image.PixelIntensityRelationshipSign = "LOG", 1
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType, image.PresentationLUTShape = 0, 1, "US", "INVERSE"
    image.WindowCenter, image.WindowWidth, image.LossyImageCompression = 2048, 4096, "00"
    image.BurnedInAnnotation, image.ImageLaterality, image.DetectorType = "NO", "U", "DIRECT"
    image.PositionerType, image.AcquisitionContextSequence = None, []
    chest, view = Dataset(), Dataset()
    for item, value, meaning in ((chest, "51185008", "Chest"), (view, "399348003", "antero-posterior")):
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    view.ViewModifierCodeSequence = []
    image.AnatomicRegionSequence, image.ViewCodeSequence = [chest], [view]
    image.save_as(folder / "chest.dcm")


def tomogram(folder: Path) -> None:
    """A slice of a CT."""
    folder.mkdir(parents=True)
    (folder / "ct.dcm").write_bytes(Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes())


KINDS = {"MR": oblique, "CT": tomogram, "enhanced": enhanced, "CR": radiograph, "DX": digital_radiograph}


def result(kind: str, folder: Path, factor: tuple[int, int, int] = (1, 1, 1)) -> tuple[Scan, Scan, np.ndarray]:
    """An estimate on the source's grid or a finer one, its standard deviation, and where it is synthetic."""
    KINDS[kind](folder)
    (scan,) = read_scan(folder)
    array, index = scan.array, np.eye(4)
    for axis, n in enumerate(factor):
        array = np.repeat(array, n, axis)
        index[axis, axis], index[axis, 3] = 1 / n, (1 / n - 1) / 2
    task = "in-paint" if max(factor) == 1 else "super-resolve"
    estimate = replace(scan, array=array, affine=scan.affine @ index, provenance=RECORD | {"task": task})
    synthetic = np.zeros(array.shape, bool)
    synthetic[3:9, 20:41, len(array.T) // 3 :] = True  # neither square nor in the middle: a flip would be seen
    synthetic[3, 20, -1] = False
    std = np.where(synthetic, np.random.default_rng(0).gamma(2.0, 3.7, array.shape), 0).astype(np.float32)
    return estimate, replace(estimate, array=std), synthetic


def errors(file: Path) -> list[str]:
    """What dciodvfy of dicom3tools finds wrong in a file."""
    program = shutil.which("dciodvfy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert program is not None, "dicom3tools is not installed"
    done = subprocess.run([program, "-new", file], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
