"""The Weights widget, driven by its own buttons: what it shows, asks, does in a thread, and says when that fails."""

from __future__ import annotations

import json
import os
import threading
from importlib import import_module
from pathlib import Path

import pytest
import torch
from qtpy.QtCore import Qt, QUrl

from napari_brgm.errors import WeightsError
from napari_brgm.plugin import background
from napari_brgm.plugin.weights import dialogs
from napari_brgm.plugin.weights.widget import WeightsWidget
from napari_brgm.priors.prior import LatentStatistics, PriorInfo
from napari_brgm.priors.stylegan2 import Synthesis
from napari_brgm.priors.stylegan2_prior import StyleGAN2Prior
from napari_brgm.zoo import fetch as fetching
from napari_brgm.zoo.files import sha256_of, write_prior
from napari_brgm.zoo.folder import installed
from napari_brgm.zoo.install import import_file

ADDRESS = "https://example.org/<b>toy</b>.pkl"


@pytest.fixture(scope="module")
def weights(tmp_path_factory, random_stylegan2) -> Path:
    path = tmp_path_factory.mktemp("weights") / "toy.safetensors"
    write_prior(random_stylegan2, path)
    return path


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def shipped(tmp_path, monkeypatch, weights) -> Path:
    """A registry of one shipped and two published priors."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "ours.safetensors").write_bytes(weights.read_bytes())
    ours = {"file": "ours.safetensors", "sha256": sha256_of(weights), "modality": "MR", "plane": "axial"}
    ours |= {"resolution": 32, "licence": "ODbL", "card": "ours.md"}
    toy = {"title": "Toy net", "file": "toy.safetensors", "licence": "none | stated", "source": "the web"}
    far = {"title": "Far net", "licence": "CC BY", "source": "Some page"}
    (folder / "ours.md").write_text("# The card\n\n![samples](ours.png) <script>alert(1)</script>\n")
    (folder / "registry.json").write_text(json.dumps({"ours": ours}))
    (folder / "published.json").write_text(json.dumps({"toy": toy | {"download": ADDRESS}, "far": far}))
    monkeypatch.setattr(import_module("napari_brgm.zoo.registry"), "weights_folder", lambda: folder)
    return folder


@pytest.fixture
def sentences(monkeypatch) -> list[str]:
    """What napari shows as an error."""
    said: list[str] = []
    monkeypatch.setattr(background, "show_error", said.append)
    return said


@pytest.fixture
def widget(qtbot, shipped, sentences) -> WeightsWidget:
    made = WeightsWidget()
    qtbot.addWidget(made)
    return made


@pytest.fixture
def agreed(monkeypatch) -> list[str]:
    """A person who says yes to everything; the names they were asked about."""
    asked: list[str] = []
    monkeypatch.setattr(dialogs, "agrees_to_fetch", lambda parent, entry: asked.append(entry.name) or True)
    monkeypatch.setattr(dialogs, "agrees_to_remove", lambda parent, name: asked.append(name) or True)
    return asked


class Download:
    """Stands in for ``fetch``: reports bytes until it is told to end."""

    def __init__(self, weights: Path) -> None:
        self.weights, self.go, self.error = weights, threading.Event(), None
        self.threads: set[int] = set()

    def __call__(self, name, *, agreed, progress):
        assert agreed
        self.threads.add(threading.get_ident())
        done = 0
        while not self.go.wait(0.01):
            done += 1
            progress("fetching", done * 1_000_000, 400_000_000)
        if self.error is not None:
            raise self.error
        return import_file(self.weights, name)


@pytest.fixture
def download(monkeypatch, weights) -> Download:
    fake = Download(weights)
    monkeypatch.setattr(fetching, "fetch", fake)
    return fake


def click(qtbot, button) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def ended(qtbot, widget: WeightsWidget) -> str:
    qtbot.waitUntil(lambda: widget.task is None, timeout=20_000)
    return widget.status.text()


def test_the_table_and_what_can_be_done(widget):
    table = widget.table
    names = [table.item(row, 0).text() for row in range(table.rowCount())]
    assert names == ["ours", "far", "toy"]
    assert [table.status(name) for name in names] == ["shipped", "by hand", "to fetch"]
    assert table.item(0, 5).text().endswith("MB") and table.item(2, 6).text() == "none | stated"
    for name, can_fetch in (("ours", False), ("far", False), ("toy", True)):
        table.choose(name)
        assert widget.fetch_button.isEnabled() is can_fetch
        assert not widget.remove_button.isEnabled()
    assert not widget.progress.isVisibleTo(widget)


def test_the_status_is_read_on_any_theme(widget):
    """Its text has the theme's colour, and only the dot beside it one of its own."""
    item = widget.table.item(0, 1)
    assert item.foreground().style() == Qt.BrushStyle.NoBrush
    middle = item.icon().pixmap(20, 20).toImage().pixelColor(10, 10)
    assert middle.alpha() == 255 and middle.green() > middle.red()


def test_cards(widget, shipped):
    widget.table.choose("ours")
    assert "The card" in widget.card.toPlainText()
    assert "<script>" in widget.card.toPlainText()  # shown as text: HTML in a card means nothing
    widget.table.choose("toy")
    assert "Toy net" in widget.card.toPlainText() and "Press Fetch" in widget.card.toPlainText()
    widget.table.choose("far")
    assert "Some page" in widget.card.toPlainText()


def test_pictures_come_from_the_folder_of_the_card_only(widget, shipped):
    from qtpy.QtGui import QImage

    picture = QImage(1500, 100, QImage.Format.Format_RGB32)
    picture.fill(0)
    assert picture.save(str(shipped / "ours.png"))
    widget.table.choose("ours")
    widget.resize(500, 800)
    assert 100 < widget.card.loadResource(2, QUrl("ours.png")).width() < 700
    for elsewhere in ("http://example.org/ours.png", f"file://{shipped}/ours.png"):
        assert widget.card.loadResource(2, QUrl(elsewhere)) is None


def test_fetch_in_a_thread(widget, qtbot, agreed, download, sentences):
    widget.table.choose("toy")
    click(qtbot, widget.fetch_button)
    assert agreed == ["toy"]
    qtbot.waitUntil(lambda: "of 400.0 MB" in widget.status.text())
    assert widget.progress.isVisibleTo(widget) and widget.progress.value() > 0
    assert not widget.fetch_button.isEnabled() and not widget.import_button.isEnabled()
    widget.table.choose("far")
    widget.table.choose("toy")
    assert not widget.fetch_button.isEnabled()  # still under way
    download.go.set()
    assert "installed toy" in ended(qtbot, widget).lower()
    assert download.threads != {threading.get_ident()}
    assert widget.table.chosen() == "toy" and widget.table.status("toy") == "installed"
    assert widget.remove_button.isEnabled() and not widget.fetch_button.isEnabled() and not sentences


def test_nothing_is_fetched_without_consent(widget, qtbot, download, monkeypatch):
    monkeypatch.setattr(dialogs, "agrees_to_fetch", lambda parent, entry: False)
    widget.table.choose("toy")
    click(qtbot, widget.fetch_button)
    assert widget.task is None and not download.threads


def test_cancel(widget, qtbot, agreed, download, sentences):
    widget.table.choose("toy")
    click(qtbot, widget.fetch_button)
    qtbot.waitUntil(lambda: bool(download.threads))
    click(qtbot, widget.cancel_button)
    assert "cancelled" in ended(qtbot, widget).lower()
    assert not installed() and not sentences and widget.fetch_button.isEnabled()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (WeightsError("toy cannot be fetched"), "toy cannot be fetched"),
        (RuntimeError("oh"), "The work on weights stopped: oh"),
        (ZeroDivisionError("oh"), "Unexpected ZeroDivisionError: oh"),
    ],
)
def test_a_failure_is_one_sentence(widget, qtbot, agreed, download, sentences, error, says):
    download.error = error
    download.go.set()
    widget.table.choose("toy")
    click(qtbot, widget.fetch_button)
    assert says.lower() in ended(qtbot, widget).lower()
    assert len(sentences) == 1 and says.lower() in sentences[0].lower()
    assert widget.fetch_button.isEnabled()


def test_taking_the_widget_away_stops_the_download(widget, qtbot, agreed, download):
    from qtpy.QtWidgets import QWidget

    window = QWidget()
    qtbot.addWidget(window)
    widget.setParent(window)
    widget.table.choose("toy")
    widget.fetch()
    widget.setParent(None)
    ended(qtbot, widget)
    assert not installed()


def test_import_then_remove(widget, qtbot, agreed, weights, monkeypatch):
    monkeypatch.setattr(dialogs, "chosen_file", lambda parent: weights)

    def fill(dialog: dialogs.ImportDialog) -> bool:
        dialog.name.setText("ours")
        assert not dialog.import_button.isEnabled()
        dialog.name.setText("knee-32")
        dialog.licence.setText("CC0")
        return dialog.import_button.isEnabled()

    monkeypatch.setattr(dialogs.ImportDialog, "exec", fill)
    click(qtbot, widget.import_button)
    ended(qtbot, widget)
    assert installed()["knee-32"].licence == "CC0" and widget.table.chosen() == "knee-32"
    assert "CC0" in widget.card.toPlainText()
    click(qtbot, widget.remove_button)
    assert agreed == ["knee-32"] and not installed()
    assert "removed" in widget.status.text().lower() and widget.table.status("knee-32") == ""


def test_the_import_dialogue_knows_published_files(widget, tmp_path):
    dialog = dialogs.ImportDialog(widget, tmp_path / "toy.safetensors")
    assert dialog.name.text() == "toy" and dialog.licence.placeholderText() == "none | stated"
    assert dialogs.ImportDialog(widget, tmp_path / "My net (2).pkl").name.text() == "my-net--2"


def test_the_question_shows_the_terms_as_text(widget, monkeypatch):
    shown = []

    def answer(box) -> int:
        shown.append(box.informativeText())
        return box.defaultButton() and box.standardButton(box.defaultButton())

    monkeypatch.setattr(dialogs.QMessageBox, "exec", answer)
    assert not dialogs.agrees_to_fetch(widget, fetching.fetchable("toy"))  # 'no' is the default
    assert "&lt;b&gt;toy" in shown[0] and "none | stated" in shown[0]
    assert not dialogs.agrees_to_remove(widget, "toy")


def test_verify(widget, qtbot, shipped, sentences):
    click(qtbot, widget.verify_button)
    assert "intact" in ended(qtbot, widget).lower()
    assert widget.table.status("ours") == "intact" and not sentences
    (shipped / "ours.safetensors").write_bytes(b"?")
    click(qtbot, widget.verify_button)
    ended(qtbot, widget)
    assert widget.table.status("ours") == "FAILED"
    assert len(sentences) == 1 and "hash differs" in sentences[0]


def test_a_broken_registry_is_one_sentence(qtbot, shipped, sentences):
    (shipped / "registry.json").write_text("?")
    broken = WeightsWidget()
    qtbot.addWidget(broken)
    assert len(sentences) == 1 and "install napari-brgm again" in sentences[0]
    click(qtbot, broken.verify_button)
    ended(qtbot, broken)
    assert len(sentences) == 2


def test_other_widgets_offer_what_was_installed(make_napari_viewer, qtbot, agreed, download, tmp_path):
    """With the registry as it ships; what is served has the size that it lists."""
    torch.manual_seed(0)
    synthesis = Synthesis({4 * 2**i: 2 for i in range(7)}, 4)
    served = StyleGAN2Prior(synthesis, LatentStatistics.standard(4), PriorInfo("toy"))
    download.weights = tmp_path / "brains.safetensors"
    write_prior(served, download.weights)
    show = bool(os.environ.get("BRGM_SCREENSHOTS"))
    viewer = make_napari_viewer(show=show)
    _, inpaint = viewer.window.add_plugin_dock_widget("napari-brgm", "In-paint")
    _, widget = viewer.window.add_plugin_dock_widget("napari-brgm", "Weights", tabify=True)
    before = inpaint.prior.choices
    download.go.set()
    widget.table.choose("brgm-brains")
    widget.fetch()
    ended(qtbot, widget)
    assert set(inpaint.prior.choices) == {*before, "brgm-brains"} and inpaint.prior.value == before[0]
    inpaint.prior.value = "brgm-brains"
    widget.remove()
    assert inpaint.prior.choices == before and inpaint.prior.value == before[0]
    if show:  # a picture of the window, where the variable names a folder for it
        widget.table.choose(before[0])
        widget.verify()
        ended(qtbot, widget)
        viewer.window._qt_window.resize(1400, 900)
        viewer.open_sample("napari-brgm", "brain-artefact")
        qtbot.wait(1000)
        viewer.reset_view()
        folder = Path(os.environ["BRGM_SCREENSHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        viewer.screenshot(str(folder / "weights.png"), canvas_only=False, flash=False)
