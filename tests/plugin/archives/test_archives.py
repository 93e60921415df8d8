"""The docks for archives in a real window, with a real archive on loopback."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from archive import TITLE, Archive, free_port, running_archive
from dicom_sources import KINDS, oblique, result
from qtpy.QtWidgets import QMessageBox

from napari_brgm.pacs.address_book import Address, add_address, addresses
from napari_brgm.pacs.opening import open_archive
from napari_brgm.plugin.archives.address_bar import AddressBar
from napari_brgm.plugin.archives.address_dialog import AddressDialog
from napari_brgm.plugin.layers.results import Extras, add_results
from napari_brgm.plugin.layers.shown import shown_slice
from napari_brgm.scans.dicom_study import write_study

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMED = {"PatientName": "Secret^Person", "PatientID": "secret-4711", "StudyInstanceUID": "1.2.840.4711"}
LONG = 60_000


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty address book, and a place of our own for files that are not kept."""
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(tmp_path / "home"))
    (tmp_path / "passing").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "passing"))
    return tmp_path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """It holds a series of five images, and of the same patient a result."""
    folder = tmp_path_factory.mktemp("archive")
    known = {"us": ["NAPARI-BRGM", "127.0.0.1", free_port()]}
    with running_archive(folder, DicomModalities=known, DicomAlwaysAllowGet=True) as found:
        oblique(folder / "in", **NAMED)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(KINDS, "MR", lambda path: oblique(path, **NAMED))
            write_study(*result("MR", folder / "source"), folder / "out")
        files = [*sorted((folder / "in").iterdir()), *sorted((folder / "out").rglob("*.dcm"))]
        open_archive(Address("x", url=found.web)).send(files, lambda done: None)
        yield found


def known(archive: Archive) -> None:
    add_address(Address("clinic", host="127.0.0.1", port=archive.port, title=TITLE))


def passing(folder: Path) -> list[Path]:
    return list((folder / "passing").iterdir())


def test_what_is_chosen_is_fetched_and_opened_whole(
    window, archive: Archive, qtbot, click, picture, tmp_path: Path
) -> None:
    known(archive)
    viewer, panel = window("Open from an archive", show=True)
    assert panel.archive.choice.value == "clinic" and panel.archive.where.text() == f"{TITLE}@127.0.0.1:{archive.port}"
    click(panel.find_button)
    assert "say whose images are wanted" in panel.status.text().lower()
    panel.patient_id.value = NAMED["PatientID"]
    click(panel.find_button)
    qtbot.waitUntil(lambda: panel.task is None, timeout=LONG)
    table = panel.table
    cells = [[table.item(row, column).text() for column in (1, 2, 3)] for row in range(table.rowCount())]
    assert cells == [["MR", "1", "5"], ["MR", "1001", "5"], ["OT", "1002", "1"], ["SEG", "1003", "1"]]
    assert table.isColumnHidden(4) and not panel.fetch_button.isEnabled()
    panel.with_descriptions.value = True
    assert not table.isColumnHidden(4) and "synthetic" in table.item(1, 4).text()
    table.setSelectionMode(table.SelectionMode.MultiSelection)
    for row in (1, 2, 3):
        table.selectRow(row)
    picture(viewer, "pull", (1280, 720))
    click(panel.fetch_button)
    qtbot.waitUntil(lambda: panel.task is None, timeout=LONG)
    assert [layer.metadata["brgm"]["role"] for layer in viewer.layers] == ["mask", "restored", "std"]
    assert viewer.layers[0].data.any() and "no file of them is kept" in panel.status.text()
    assert passing(tmp_path) == []
    table.clearSelection()
    table.selectRow(0)
    panel.folder.value = tmp_path / "kept"
    click(panel.fetch_button)
    qtbot.waitUntil(lambda: panel.task is None, timeout=LONG)
    assert len(viewer.layers) == 4 and "brgm" not in viewer.layers[-1].metadata
    kept = [file for file in (tmp_path / "kept").rglob("*") if file.is_file()]
    assert len(kept) == 5 and all(file.stat().st_mode & 0o077 == 0 for file in kept)
    assert kept[0].parent.parent.name == "series-1"
    panel.patient_id.value = "nobody"
    click(panel.find_button)
    qtbot.waitUntil(lambda: panel.task is None, timeout=LONG)
    assert "holds no such series" in panel.status.text() and not table.rowCount()


def test_a_cancelled_fetch_leaves_nothing(window, archive: Archive, qtbot, click, tmp_path: Path, monkeypatch) -> None:
    known(archive)
    viewer, panel = window("Open from an archive")
    panel.patient_id.value = NAMED["PatientID"]
    panel.look_up()
    qtbot.waitUntil(lambda: panel.task is None, timeout=LONG)
    panel.table.selectRow(0)
    panel.folder.value = tmp_path / "kept"
    for folder in (tmp_path / "kept", None):
        panel.folder.value = folder
        panel.fetch()
        panel.cancel()
        qtbot.waitUntil(lambda: panel.task is None, timeout=LONG)
        assert "nothing was opened or kept" in panel.status.text()
    assert not viewer.layers and passing(tmp_path) == [] and not (tmp_path / "kept").exists()


def test_what_goes_wrong_is_one_sentence(window, qtbot, sentences: list[str]) -> None:
    add_address(Address("gone", host="127.0.0.1", port=free_port(), title=TITLE))
    _, panel = window("Open from an archive")
    panel.patient_id.value = NAMED["PatientID"]
    panel.look_up()
    qtbot.waitUntil(lambda: panel.task is None, timeout=LONG)
    assert "cannot be reached" in panel.status.text() and "ecret" not in panel.status.text()
    panel.archive.choice.choices = []
    panel.look_up()
    assert "no archive is chosen" in sentences[-1].lower()


def test_a_run_is_sent_when_a_person_agrees_and_not_before(
    window, archive: Archive, fake_restoration, qtbot, click, picture, tmp_path: Path, monkeypatch
) -> None:
    known(archive)
    oblique(tmp_path / "in", **NAMED)
    viewer, panel = window("Send to an archive", show=True)
    (source,) = viewer.open(tmp_path / "in", plugin="napari-brgm")
    viewer.dims.set_current_step(0, 2)
    shown = shown_slice(source, viewer.dims)
    missing = np.zeros(shown.image.shape, bool)
    missing[2:4, 5:12] = True
    add_results(viewer, source, [(shown, fake_restoration(shown.image, missing))], "in-paint", Extras())
    assert panel.result.value is not None and not panel.folder.visible
    picture(viewer, "push", (1280, 720))
    asked: list[str] = []

    def answer(button):
        def exec_(box: QMessageBox) -> object:
            asked.append(f"{box.text()} {box.informativeText()}")
            assert box.defaultButton() is box.button(QMessageBox.StandardButton.No)
            return button

        return exec_

    before = len(archive.instances())
    monkeypatch.setattr(QMessageBox, "exec", answer(QMessageBox.StandardButton.No))
    click(panel.send_button)
    qtbot.waitUntil(lambda: panel.task is None and bool(asked), timeout=LONG)
    assert "nothing was sent" in panel.status.text().lower() and len(archive.instances()) == before
    assert f"Send 7 files to clinic ({TITLE}@127.0.0.1" in asked[0]
    assert "5 of MR Image Storage, 1 of Parametric Map Storage, 1 of Segmentation Storage" in asked[0]
    monkeypatch.setattr(QMessageBox, "exec", answer(QMessageBox.StandardButton.Yes))
    click(panel.send_button)
    qtbot.waitUntil(lambda: "sent 7 files" in panel.status.text().lower(), timeout=LONG)
    qtbot.waitUntil(lambda: panel.task is None, timeout=LONG)
    assert len(archive.instances()) == before + 7 and passing(tmp_path) == []
    viewer.layers.clear()
    assert panel.result.value is None and panel.folder.visible
    panel.folder.value = tmp_path / "in"  # a scan
    panel.send()
    qtbot.waitUntil(lambda: panel.task is None, timeout=LONG)
    assert "no result of this program, and nothing was sent" in panel.status.text() and len(asked) == 2


def test_an_archive_is_added_and_removed(qtbot, monkeypatch, tmp_path: Path) -> None:
    bar = AddressBar()
    qtbot.addWidget(bar)
    assert "No archive is known" in bar.where.text() and not bar.remove_button.isEnabled()
    dialog = AddressDialog(bar, ["old"])
    assert not dialog.add_button.isEnabled()
    dialog.name.value, dialog.url.value = "web", "https://user:word@a"
    assert "hold no login" in dialog._hint.text() and not dialog.add_button.isEnabled()
    dialog.url.value = "https://a/dicom-web"
    assert dialog.add_button.isEnabled() and dialog.address() == Address("web", url="https://a/dicom-web")
    dialog.way.value = dialog.way.choices[1]
    dialog.name.value, dialog.host.value, dialog.title.value, dialog.listen.value = "old", "pacs", "CLINIC", 11113
    assert "takes the place" in dialog._hint.text() and "read along" in dialog._hint.text()
    dialog.authority.value = tmp_path / "none.pem"
    assert "there is no file none.pem" in dialog._hint.text() and not dialog.add_button.isEnabled()
    dialog.authority.value, dialog.tls.value = None, True
    assert dialog.address().encrypted and dialog.address().listen == 11113
    monkeypatch.setattr(AddressDialog, "exec", lambda made: True)
    monkeypatch.setattr(AddressDialog, "address", lambda made: Address("one", host="h", port=104, title="T"))
    monkeypatch.setattr(bar, "_agrees", lambda name: True)
    bar.add()
    assert list(addresses()) == ["one"] and bar.choice.value == "one" and "Not encrypted" in bar.where.text()
    add_address(Address("two", url="https://b"))  # in the shell, meanwhile
    bar.read(bar.choice.value)
    assert bar.choice.choices == ("one", "two") and bar.choice.value == "one"
    bar.remove()
    assert list(addresses()) == ["two"] == list(bar.choice.choices)
