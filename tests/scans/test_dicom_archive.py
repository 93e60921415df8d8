"""What a real archive takes in by C-STORE and gives back through DICOMweb must be what was written, and valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pydicom
import pytest
from archive import TITLE, running_archive
from dicom_sources import errors, result
from dicomweb_client.api import DICOMwebClient
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from napari_brgm.scans import read_scan
from napari_brgm.scans.dicom_study import write_study

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archive import Archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    with running_archive(tmp_path_factory.mktemp("archive")) as found:
        yield found


def store(archive: Archive, files: list[Path]) -> None:
    sender = AE("BRGM-TEST")
    for kind in {pydicom.dcmread(file, stop_before_pixels=True).SOPClassUID for file in files}:
        sender.add_requested_context(kind, ExplicitVRLittleEndian)
    association = sender.associate("127.0.0.1", archive.port, ae_title=TITLE)
    assert association.is_established
    assert [association.send_c_store(file).Status for file in files] == [0] * len(files)
    association.release()


@pytest.mark.parametrize("kind", ["MR", "enhanced", "CR"])
def test_objects_come_back_from_an_archive_as_they_were(tmp_path: Path, archive: Archive, kind: str) -> None:
    estimate, std, synthetic = result(kind, tmp_path / "in")
    files = write_study(estimate, std, synthetic, tmp_path / "out")
    store(archive, [*(tmp_path / "in").iterdir(), *files])
    client = DICOMwebClient(archive.web)
    written = [pydicom.dcmread(file) for file in files]
    study = written[0].StudyInstanceUID
    series = {one["0020000E"]["Value"][0] for one in client.search_for_series(study)}
    assert {image.SeriesInstanceUID for image in written} | {estimate.header[0].SeriesInstanceUID} <= series
    for image, file in zip(written, files, strict=True):
        back = client.retrieve_instance(study, image.SeriesInstanceUID, image.SOPInstanceUID)
        assert back == image  # every element: references, geometry, pixels
        again = tmp_path / "back" / file.parent.name / file.name
        again.parent.mkdir(parents=True, exist_ok=True)
        back.save_as(again, enforce_file_format=True)
        assert errors(file) == errors(again) == []
    scans = {scan.provenance["role"]: scan for scan in read_scan(tmp_path / "back")}
    np.testing.assert_array_equal(scans["restored"].array, estimate.array)
    if kind != "CR":  # whose standard deviation is stored in 16 bits
        held = scans["std"].array
        np.testing.assert_array_equal(held, std.array[..., std.shape[2] - held.shape[2] :])
