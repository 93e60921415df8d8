"""Honest DICOM: files that come with pydicom, and made-up ones of what those lack."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from fuzzing.damage import Sample
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

__all__ = ["jpeg_file", "lossless_file", "samples"]

_OF_PYDICOM = (
    "CT_small", "MR_small", "MR_small_RLE", "MR_small_bigendian", "MR_small_implicit", "MR_small_jp2klossless",
    "MR_small_jpeg_ls_lossless", "MR_small_padded", "MR_truncated", "JPEGLSNearLossless_16", "JPEG-lossy",
    "JPEG2000-embedded-sequence-delimiter", "no_meta", "ExplVR_BigEndNoMeta", "nested_priv_SQ", "rtdose_1frame",
    "SC_rgb_small_odd", "UN_sequence", "image_dfl",
)  # fmt: skip
_MR, _CT, _ENHANCED, _NM, _CR, _US = (
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("4", "2", "4.1", "20", "1", "6.1")
)  # fmt: skip
_LARGEST = 300_000  # bytes


def samples() -> list[Sample]:
    """All, the same at every call."""
    found = []
    for name in _OF_PYDICOM:
        path = get_testdata_file(f"{name}.dcm", download=False)
        if path is not None and (content := Path(str(path)).read_bytes()) and len(content) < _LARGEST:
            found.append(Sample(name, {"image.dcm": content}, "image.dcm"))
    made = _made()
    found += [Sample(name, {"image.dcm": content}, "image.dcm") for name, content in made.items()]
    return [*found, *(Sample(name, files, "") for name, files in _folders().items())]


def _made() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    slice_, frames = rng.integers(0, 4000, (9, 8), np.uint16), rng.integers(0, 4000, (6, 9, 8), np.uint16)
    bytes_ = rng.integers(0, 256, (24, 16), np.uint8)
    plain = _written(_plane(slice_, RescaleSlope="0.5", RescaleIntercept="-100"))
    large = np.kron(frames[:3], np.ones((4, 4), np.uint16))
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [256, 0, 16], "OD"
    table.LUTData = np.arange(256, dtype=np.uint16).tobytes()
    region = Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.02
    film = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "SOPClassUID": _CR, "Modality": "CR"}
    nowhere = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    ultrasound = nowhere | {"SOPClassUID": _US, "Modality": "US", "SequenceOfUltrasoundRegions": [region]}
    found = {
        "plain": plain, "implicit": _written(_plane(slice_), ImplicitVRLittleEndian),
        "big": _written(_plane(slice_), ExplicitVRBigEndian), "gzip": gzip.compress(plain, mtime=0),
        "deflated": _deflated(_plane(slice_)), "enhanced": _written(_enhanced(frames)),
        "enhanced-deflated": _deflated(_enhanced(frames)), "enhanced-rle": _compressed(_enhanced(frames), RLELossless),
        "enhanced-jp2k": _compressed(_enhanced(large), JPEG2000Lossless),
        "jpeg-ls": _compressed(_plane(slice_), JPEGLSLossless),
        "film": _written(_plane(bytes_, **film, PhotometricInterpretation="MONOCHROME1", PixelAspectRatio=[3, 2],
                                PatientOrientation=["L", "F"], PixelSpacing=None)),
        "table": _written(_plane(bytes_, **film, ModalityLUTSequence=Sequence([table]))),
        "ultrasound": _written(_plane(bytes_, **ultrasound)),
        "cine": _written(_plane(frames, NumberOfFrames=6, **nowhere, Modality="XA", FrameTime="40")),
        "nuclear": _written(_nuclear(frames)), "tiles": _written(_tiles(slice_[:8])),
        "float": _written(_float(slice_)), "jpeg": jpeg_file(bytes_), "jpeg-lossless": lossless_file(plain),
    }  # fmt: skip
    return found


def _folders() -> dict[str, dict[str, bytes]]:
    """Series: times by temporal position, diffusion, and an ordinary one of six slices."""
    rng = np.random.default_rng(1)

    def series(times: int, slices: int, said: Any) -> dict[str, bytes]:
        files = {}
        for t in range(times):
            for z in range(slices):
                number = t * slices + z + 1
                place = {"ImagePositionPatient": [-10, -20, 3.0 * z], "InstanceNumber": number,
                         "SOPInstanceUID": f"1.2.3.4.{number}"}  # fmt: skip
                dataset = _plane(rng.integers(0, 4000, (6, 5), np.uint16), **place, **said(t, z))
                files[f"{number}.dcm"] = _written(dataset)
        return files

    return {
        "series": series(1, 6, lambda t, z: {"SliceThickness": "3", "SpacingBetweenSlices": "3"}),
        "times": series(3, 3, lambda t, z: {"TemporalPositionIdentifier": t + 1, "AcquisitionTime": f"1200{t:02}.5",
                                            "TriggerTime": str(100 * t)}),
        "diffusion": series(2, 3, lambda t, z: {"DiffusionBValue": 1000.0 * t, "AcquisitionNumber": t,
                                                "DiffusionGradientOrientation": [0.0, 0.6, 0.8]}),
        "unplaced": series(1, 4, lambda t, z: {"ImageOrientationPatient": None, "SliceLocation": str(3 * z)}),
    }  # fmt: skip


def _plane(pixels: np.ndarray, **elements: Any) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.SeriesInstanceUID = _MR, "1.2.3.4.1", "1.2.3.4"
    dataset.StudyInstanceUID, dataset.PatientName, dataset.PatientID = "1.2.3", "Secret^Person", "7"
    dataset.Modality, dataset.SeriesNumber, dataset.SeriesDescription = "MR", 7, "made up"
    dataset.ImageType, dataset.SpecificCharacterSet = ["ORIGINAL", "PRIMARY"], "ISO_IR 100"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, 0
    dataset.PixelSpacing, dataset.ImageOrientationPatient = [2.0, 0.5], [1, 0, 0, 0, 1, 0]
    dataset.ImagePositionPatient, dataset.InstanceNumber = [-10.0, -20.0, 30.0], 1
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW" if pixels.itemsize > 1 else "OB"
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def _item(**elements: Any) -> Sequence:
    dataset = Dataset()
    dataset.is_undefined_length_sequence_item = True
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


def _enhanced(frames: np.ndarray) -> Dataset:
    """Three positions at two times."""
    groups = [
        _item(
            PlanePositionSequence=_item(ImagePositionPatient=[0, 0, 4.0 * (k % 3)]),
            FrameContentSequence=_item(DimensionIndexValues=[k // 3 + 1, k % 3 + 1], StackID="1",
                                       InStackPositionNumber=k % 3 + 1, TemporalPositionIndex=k // 3 + 1),
            MRDiffusionSequence=_item(DiffusionBValue=500.0 * (k // 3)),
            PixelValueTransformationSequence=_item(RescaleSlope="2", RescaleIntercept="1", RescaleType="US"),
        )[0]
        for k in range(len(frames))
    ]  # fmt: skip
    shared = _item(
        PixelMeasuresSequence=_item(PixelSpacing=[2.0, 0.5], SliceThickness="4"),
        PlaneOrientationSequence=_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    )
    dimensions = [_item(DimensionIndexPointer=tag)[0] for tag in (0x00209128, 0x00209057)]
    gone = dict.fromkeys(("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"))
    dataset = _plane(
        frames, NumberOfFrames=len(frames), SOPClassUID=_ENHANCED, SharedFunctionalGroupsSequence=shared,
        PerFrameFunctionalGroupsSequence=Sequence(groups), DimensionIndexSequence=Sequence(dimensions), **gone,
    )  # fmt: skip
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = True  # so that what is changed inside keeps the rest readable
    return dataset


def _nuclear(frames: np.ndarray) -> Dataset:
    detector = _item(ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    return _plane(
        frames, SOPClassUID=_NM, Modality="NM", NumberOfFrames=len(frames), SpacingBetweenSlices="3",
        DetectorInformationSequence=detector, SliceVector=list(range(1, 7)), ImagePositionPatient=None,
        ImageOrientationPatient=None, FrameIncrementPointer=[0x00540080],
        ImageType=["ORIGINAL", "PRIMARY", "RECON TOMO"],
    )  # fmt: skip


def _tiles(pixels: np.ndarray) -> Dataset:
    """A volume of four tiles as United Imaging writes it."""
    gone = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient"))
    dataset = _plane(pixels, ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"], **gone)
    block = dataset.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x50, "DS", "4")
    places = [_item(ImagePositionPatient=[-14, -14, 4.2 * k], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])[0]
              for k in range(4)]  # fmt: skip
    block.add_new(0x51, "SQ", places)
    return dataset


def _float(pixels: np.ndarray) -> Dataset:
    gone = dict.fromkeys(("PixelData", "BitsStored", "HighBit", "PixelRepresentation"))
    return _plane(pixels, **gone, BitsAllocated=32, FloatPixelData=(pixels / 7).astype(np.float32).tobytes())


def _written(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _deflated(dataset: Dataset) -> bytes:
    return _written(dataset, DeflatedExplicitVRLittleEndian)


def _compressed(dataset: Dataset, syntax: str) -> bytes:
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.compress(syntax, generate_instance_uid=False)
    return _written(dataset, syntax)


def jpeg_file(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    dataset = _plane(pixels, LossyImageCompression="01")
    dataset.PixelData = encapsulate([file.getvalue()])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    return _written(dataset, JPEGBaseline8Bit)


def lossless_file(content: bytes) -> bytes:
    """The same file with JPEG of process 14, which most scanners' archives use."""
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        path, out = Path(place) / "in.dcm", Path(place) / "out.dcm"
        path.write_bytes(content)
        reader = gdcm.ImageReader()
        reader.SetFileName(str(path))
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(str(out))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        frame = get_frame(dcmread(out).PixelData, 0, number_of_frames=1)
    dataset = dcmread(io.BytesIO(content))  # not gdcm's, whose identifiers are others each time
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    return _written(dataset, JPEGLosslessSV1)
