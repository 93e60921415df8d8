"""DICOM files written by the tests: one plane of a made-up series, with any element changed."""

from __future__ import annotations

import lzma
import tarfile
import warnings
from typing import TYPE_CHECKING

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import numpy as np

MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def write_dicom(tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, pixels: np.ndarray, folder: Path | None = None, **elements: object) -> Path:
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = MR, generate_uid(entropy_srcs=[name])
        dataset.SeriesInstanceUID, dataset.PatientName = "1.2.3.4", "Secret^Person"
        dataset.Modality, dataset.SeriesNumber, dataset.SeriesDescription = "MR", 7, "made up"
        dataset.Rows, dataset.Columns = pixels.shape[-2:]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.itemsize
        dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(pixels.dtype.kind == "i")
        dataset.PixelSpacing, dataset.ImageOrientationPatient = [2.0, 0.5], [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [-10.0, -20.0, 30.0]
        dataset.PixelData = pixels.tobytes()
        path = (folder or tmp_path) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():  # some are meant to be odd
            warnings.simplefilter("ignore", UserWarning)
            for keyword, value in elements.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value)
            dataset.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture(scope="session")
def unpacked(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Unpack a set of real scans once; skip where it is not there."""
    root = tmp_path_factory.mktemp("real")

    def unpack(name: str) -> Path:
        archive = shared_data / "dicom_nifti" / f"{name}.tar.xz"
        if not archive.is_file():
            pytest.skip(f"needs {archive.name} in ../shared/data/dicom_nifti")
        if not (root / name).exists():
            with lzma.open(archive) as stream, tarfile.open(fileobj=stream) as content:
                content.extractall(root, filter="data")
        return root / name

    yield unpack
