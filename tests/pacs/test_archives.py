"""Looking up, fetching and sending with a real archive on loopback, in each of the ways that it is spoken to."""

from __future__ import annotations

import json
import logging
import stat
from typing import TYPE_CHECKING

import pydicom
import pytest
from archive import TITLE, Archive, free_port, running_archive
from dicom_sources import oblique, result
from typer.testing import CliRunner

from napari_brgm.cli import app
from napari_brgm.errors import ArchiveError, Cancelled, InputError
from napari_brgm.pacs.address_book import Address, add_address, addresses, book_file
from napari_brgm.pacs.archive import SeriesQuery
from napari_brgm.pacs.opening import open_archive
from napari_brgm.pacs.outgoing import results_in
from napari_brgm.scans.dicom_study import write_study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMED = {"PatientName": "Secret^Person", "PatientID": "secret-4711", "StudyInstanceUID": "1.2.840.4711"}
LISTEN = free_port()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """It delivers to our port, and holds a series of five images."""
    folder = tmp_path_factory.mktemp("archive")
    known = {"us": ["NAPARI-BRGM", "127.0.0.1", LISTEN]}
    with running_archive(folder, DicomModalities=known, DicomAlwaysAllowGet=True, DicomAlwaysAllowMove=True) as found:
        files = [folder / f"in/{k}.dcm" for k in range(len(oblique(folder / "in", **NAMED)))]
        opened(found, "web").send(files, lambda done: None)
        yield found


def address(archive: Archive, way: str) -> Address:
    if way == "web":
        return Address("clinic", url=archive.web)
    listen = LISTEN if way == "move" else 0
    return Address("clinic", host="127.0.0.1", port=archive.port, title=TITLE, listen=listen)


def opened(archive: Archive, way: str):
    return open_archive(address(archive, way))


@pytest.mark.parametrize("way", ["web", "get", "move"])
def test_a_series_is_found_and_comes_as_it_was_sent(archive: Archive, tmp_path: Path, way: str, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    there = opened(archive, way)
    (found,) = there.find(SeriesQuery(patient_id=NAMED["PatientID"], modality="MR"))
    assert (found.modality, found.images, found.number) == ("MR", 5, "1")
    counts: list[int] = []
    files = there.fetch(found, tmp_path, counts.append)
    assert counts == [1, 2, 3, 4, 5]
    sent = {image.SOPInstanceUID: image for image in map(pydicom.dcmread, source_files(archive))}
    for file in files:
        image = pydicom.dcmread(file)
        assert image == sent.pop(image.SOPInstanceUID)
    assert not sent
    assert there.find(SeriesQuery(patient_id="nobody")) == []
    assert "ecret" not in caplog.text


@pytest.mark.parametrize("way", ["web", "get", "move"])
def test_fetching_ends_when_it_is_cancelled(archive: Archive, tmp_path: Path, way: str) -> None:
    """What a handler of pynetdicom raises vanishes, and the archive goes on."""
    there, counts = opened(archive, way), list[int]()
    (found,) = there.find(SeriesQuery(patient_id=NAMED["PatientID"], modality="MR"))

    def stop(count: int) -> None:
        counts.append(count)
        if count == 2:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        there.fetch(found, tmp_path, stop)
    assert counts == [1, 2] and len(list(tmp_path.iterdir())) == 2
    assert len(there.fetch(found, tmp_path, lambda count: None)) == 5  # it answers again


def source_files(archive: Archive) -> list[Path]:
    return sorted((archive.folder / "in").iterdir())


@pytest.mark.parametrize("way", ["web", "get"])
def test_results_are_sent_and_sources_are_not(archive: Archive, tmp_path: Path, way: str) -> None:
    write_study(*result("MR", tmp_path / "in"), tmp_path / "out")
    files, kinds = results_in([tmp_path / "out"])
    assert kinds == {"MR Image Storage": 5, "Parametric Map Storage": 1, "Segmentation Storage": 1}
    before = len(archive.instances())
    opened(archive, way).send(files, lambda done: None)
    assert len(archive.instances()) == before + len(files)
    with pytest.raises(InputError, match="is no result of this program, and nothing was sent"):
        results_in([tmp_path / "out", tmp_path / "in"])


def shell(*arguments: object, answer: str = ""):
    return CliRunner().invoke(app, [str(one) for one in arguments], input=answer)


def test_the_shell_lists_fetches_and_asks_before_it_sends(archive: Archive, tmp_path: Path) -> None:
    assert shell("archives", "add", "clinic", "--url", archive.web).exit_code == 0
    assert shell("archives", "list").stdout == f"clinic\t{archive.web}\tDICOMweb\n"
    assert stat.S_IMODE(book_file().stat().st_mode) & 0o077 == 0
    listed = shell("pull", "clinic", "--patient-id", NAMED["PatientID"])
    (line,) = listed.stdout.splitlines()
    assert "ecret" not in line
    series = line.split("\t")[-1]
    done = shell("pull", "clinic", "--patient-id", NAMED["PatientID"], "--series", series, "--out", tmp_path / "got")
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "got").iterdir())) == 5
    assert "ecret" not in done.output
    write_study(*result("CT", tmp_path / "in"), tmp_path / "made")
    before = len(archive.instances())
    declined = shell("push", "clinic", tmp_path / "made", answer="n\n")
    assert declined.exit_code == 1
    assert "send 3 files (1 of CT Image Storage, 1 of Parametric Map Storage" in declined.stderr
    assert len(archive.instances()) == before
    assert shell("push", "clinic", tmp_path / "made", answer="y\n").exit_code == 0
    assert len(archive.instances()) == before + 3


REFUSED: dict[str, tuple[Callable[[Archive], Address], str]] = {
    "no port": (lambda a: Address("x", host="127.0.0.1", port=free_port(), title=TITLE), "cannot be reached"),
    "title": (lambda a: Address("x", host="127.0.0.1", port=a.port, title="OTHER"), "check both AE titles"),
    "no server": (lambda a: Address("x", url=f"http://127.0.0.1:{free_port()}/dicom-web"), "cannot be reached"),
    "no DICOMweb": (lambda a: Address("x", url=f"{a.url}/nowhere"), r"refused \(HTTP 404\)"),
    "no TLS": (
        lambda a: Address("x", host="127.0.0.1", port=a.port, title=TITLE, tls=True),
        "whether it speaks TLS there",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_goes_wrong_is_one_sentence_without_a_name(archive: Archive, case: str, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    made, why = REFUSED[case]
    with pytest.raises(ArchiveError, match=why) as caught:
        open_archive(made(archive)).find(SeriesQuery(patient_id=NAMED["PatientID"]))
    assert "ecret" not in str(caught.value) + caplog.text and "\n" not in str(caught.value)


def test_everybody_s_images_are_not_asked_for() -> None:
    blank_or_open = ({"patient_id": " "}, {"study_date": "yesterday"}, {"study_date": "20260101-"})
    for wrong in ({}, {"modality": "MR"}, {"patient_id": "*"}, {"patient_id": "a\\b"}, *blank_or_open):
        with pytest.raises(InputError):
            SeriesQuery(**wrong)
    SeriesQuery(study_date="20260131")
    SeriesQuery(study_date="20260101-20260131")


def test_address_book_is_text_that_holds_no_login(home: Path) -> None:
    for wrong in ("ftp://a", "https://user:word@a", "https://"):
        with pytest.raises(InputError, match="must begin with https"):
            Address("a", url=wrong)
    add_address(Address("one", host="h", port=104, title="T"))
    add_address(Address("two", url="https://a/b"))
    assert {"one", "two"} == addresses().keys() == {e["name"] for e in json.loads(book_file().read_text())["archives"]}
    assert (addresses()["one"].encrypted, addresses()["two"].encrypted) == (False, True)
    book_file().write_text('{"archives": [{}]}')
    with pytest.raises(ArchiveError, match="cannot be read; mend or remove it"):
        addresses()
