"""The field 'Backend', with a real scheduler: asked once, a run there with preview and Cancel, and what is lost."""

from __future__ import annotations

import json
from importlib import import_module

import numpy as np
import pytest
import torch
from dask_cluster import dask_cluster

from napari_brgm.plugin.restore import backend_box
from napari_brgm.settings import InferenceSettings
from napari_brgm.zoo.files import write_prior
from napari_brgm.zoo.install import import_file

PATIENCE = 60_000  # ms


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, random_stylegan2):
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_BRGM_HOME", str(home))
        write_prior(random_stylegan2, home / "tiny.safetensors", torch.float32)
        import_file(home / "tiny.safetensors", "tiny")
    return home


@pytest.fixture(autouse=True)
def home(shelf, monkeypatch):
    monkeypatch.setenv("NAPARI_BRGM_HOME", str(shelf))
    (shelf / "backends.json").unlink(missing_ok=True)
    return shelf


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, shelf):
    with dask_cluster(tmp_path_factory.mktemp("dask"), shelf) as found:
        found.worker()
        found.wait_for_workers(1)
        yield found


@pytest.fixture
def questions(monkeypatch):
    """Addresses that were asked for; the answer is yes."""
    asked: list[str] = []
    monkeypatch.setattr(backend_box, "agrees_to_send", lambda parent, address: asked.append(address) or True)
    return asked


@pytest.fixture
def steps(monkeypatch):
    """``steps(n)``: runs of the widgets take n steps."""
    choices = import_module("napari_brgm.plugin.restore.choices")

    def take(count: int) -> None:
        settings = InferenceSettings(optimiser="adam", steps=count, preview_every=2)
        monkeypatch.setattr(choices, "settings_for", lambda preset, quality: settings)

    take(12)
    return take


@pytest.fixture
def filled(window, qtbot, random_stylegan2, steps):
    """A viewer with three slices and a mask on each, and the widget."""
    viewer, widget = window("In-paint")
    images = random_stylegan2.sample(3, seed=5)[:, 0].numpy() * 100 + 200
    viewer.add_image(images, name="scan", units=("mm",) * 3)
    qtbot.waitUntil(lambda: "tiny" in widget.prior.choices, timeout=PATIENCE)
    widget.prior.value, widget.samples.value, widget.together.value = "tiny", 3, False
    widget.while_painting.value = False
    widget.paint()
    widget.labels.value.data[:, 10:18, 12:20] = 1
    widget.labels.value.refresh()
    return viewer, widget


def finished(widget, qtbot) -> None:
    qtbot.waitUntil(lambda: widget.worker is None, timeout=PATIENCE)


def restored(viewer):
    return [layer for layer in viewer.layers if layer.metadata.get("brgm", {}).get("role") == "restored"]


def test_a_run_goes_there_once_agreed_to_and_is_remembered(filled, cluster, questions, qtbot, click, home):
    viewer, widget = filled
    assert widget.backend.line.text() == "Runs are done on this machine."
    click(widget.run_button)
    finished(widget, qtbot)
    widget.backend.value = f" {cluster.address} "
    said = f"Runs go to {cluster.address}: the pixels leave this machine."
    assert widget.backend.line.text() == widget.estimate.text() == said
    for _ in range(2):
        click(widget.run_button)
        finished(widget, qtbot)
    assert questions == [cluster.address]
    assert json.loads((home / "backends.json").read_text()) == [cluster.address]
    here, there, again = restored(viewer)
    np.testing.assert_allclose(there.data, here.data, rtol=1e-4)  # as many threads as there are, here
    np.testing.assert_array_equal(there.data, again.data)
    assert "added 'restored" in widget.status.text().lower()


def test_nothing_is_sent_where_the_person_does_not_agree(filled, cluster, qtbot, click, monkeypatch, home):
    viewer, widget = filled
    monkeypatch.setattr(backend_box, "agrees_to_send", lambda parent, address: False)
    widget.backend.value = cluster.address
    click(widget.run_button)
    assert widget.worker is None and widget.status.text().startswith("Nothing was sent")
    assert not (home / "backends.json").exists() and not restored(viewer)
    widget.backend.value = "head"
    assert "'head' is no address of a dask scheduler" in widget.backend.line.text()
    click(widget.run_button)
    assert "'head' is no address of a dask scheduler" in widget.status.text()


def test_the_question_says_what_leaves_and_that_it_is_readable(qtbot, monkeypatch):
    seen = []
    box = backend_box.QMessageBox
    monkeypatch.setattr(box, "exec", lambda self: seen.append(self.informativeText()) or box.StandardButton.No)
    assert not backend_box.agrees_to_send(None, "tcp://head:8786")
    assert not backend_box.agrees_to_send(None, "tls://head:8786")
    assert "not encrypted" in seen[0] and "not encrypted" not in seen[1]


def test_previews_come_back_and_cancel_ends_it(filled, cluster, questions, steps, qtbot, click, monkeypatch):
    viewer, widget = filled
    monkeypatch.setattr(import_module("napari_brgm.plugin.restore.panel"), "_TELL_SECONDS", 0.1)
    steps(5000)
    widget.backend.value = cluster.address
    before = list(viewer.layers)
    click(widget.run_button)
    (preview,) = [layer for layer in viewer.layers if layer not in before]
    start = preview.data.copy()
    qtbot.waitUntil(lambda: "MAP step" in widget.status.text(), timeout=PATIENCE)
    qtbot.waitUntil(lambda: not np.array_equal(preview.data, start), timeout=PATIENCE)
    click(widget.cancel_button)
    qtbot.waitUntil(lambda: widget.worker is None, timeout=5000)
    assert widget.status.text() == "Cancelled; nothing was changed" and list(viewer.layers) == before
    assert widget.here_button.isHidden()


def test_a_lost_worker_is_told_and_the_rest_is_done_here(filled, cluster, questions, steps, qtbot, click, sentences):
    """The last test of this cluster. What had come back is not restored again."""
    viewer, widget = filled
    steps(100)
    widget.backend.value = cluster.address
    click(widget.run_all_button)
    qtbot.waitUntil(lambda: widget._run is not None and bool(widget._run.previews), timeout=PATIENCE)
    qtbot.waitUntil(lambda: list(widget._run.previews) == [1], timeout=PATIENCE)
    cluster.processes[1].kill()
    finished(widget, qtbot)
    assert sentences[-1].endswith("was lost while it restored") and not restored(viewer)
    assert not widget.here_button.isHidden() and widget.keep_button.text() == "Keep the finished slice"
    wanted, engine = [], import_module("napari_brgm.engine.run")
    run = engine.run

    def noted(job, tell, only=None):
        wanted.append(only)
        return run(job, tell, only=only)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "run", noted)
        click(widget.here_button)
        finished(widget, qtbot)
    assert wanted == [[1, 2]] and widget.here_button.isHidden() and widget.keep_button.isHidden()
    (layer,) = restored(viewer)
    assert layer.data.shape == (3, 32, 32)
    hole = widget.labels.value.data > 0
    assert (layer.data[hole] != viewer.layers["scan"].data[hole]).all()
    np.testing.assert_array_equal(layer.data[~hole], viewer.layers["scan"].data[~hole])


def test_no_server_is_one_sentence_with_the_offer(filled, questions, qtbot, click, monkeypatch, sentences):
    viewer, widget = filled
    monkeypatch.setattr(import_module("napari_brgm.remote.run"), "CONNECT_SECONDS", 1.0)
    widget.backend.value = "tcp://127.0.0.1:9"
    click(widget.run_button)
    finished(widget, qtbot)
    assert sentences[-1].startswith("There is no scheduler at tcp://127.0.0.1:9")
    click(widget.here_button)
    finished(widget, qtbot)
    assert len(restored(viewer)) == 1
